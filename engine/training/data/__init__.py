"""The pictures that a model learns from, and those that it is measured with."""
