"""The proof that every request has its results: once, in order."""
