"""The command line: one small module per group of verbs. Heavy imports live inside the verbs."""
