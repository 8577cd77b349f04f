"""How fast, and how true? Configs, engines, the harness and its arithmetic. Knows no record."""
