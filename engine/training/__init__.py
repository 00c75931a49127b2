"""Training and evaluation: what the running engine never imports."""
