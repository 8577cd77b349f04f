"""Where does it run? Processes, limits, isolation. Knows no tokens, models or scores."""
