"""Training and evaluation: never imported by the running engine."""
