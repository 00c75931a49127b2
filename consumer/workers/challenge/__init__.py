"""The challenger: another model that reads a share of the pictures again, after they are answered."""
