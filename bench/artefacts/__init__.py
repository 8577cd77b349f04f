"""The weight files an engine is given: located, requantised, pruned, cached. Knows no scores."""
