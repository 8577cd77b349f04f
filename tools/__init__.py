"""What may I do? The verbs agents call and, under `record/`, the truth they share."""
