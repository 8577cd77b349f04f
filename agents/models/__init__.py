"""Models that decide: each file is one way of thinking, behind one protocol."""
