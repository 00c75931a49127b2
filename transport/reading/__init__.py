"""Records from a partition: the batch format, fetches, and where the log ends."""
