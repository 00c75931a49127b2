"""How good a model is: measurements, the model card and its plots."""
