"""The judge: what a record has to show on texts nobody saw. The organiser alone may import it."""
