"""The record: one append-only log per session, and the folds that read it."""
