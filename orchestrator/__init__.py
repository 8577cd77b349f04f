"""Who works next? Command line, sessions and the supervisor. Nothing imports this package."""
