"""Any picture to the 28x28 digit that the model reads, in small steps."""
