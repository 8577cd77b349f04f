"""Who am I? Personas, the model protocol and one agent's turn. Acts only through tools."""
