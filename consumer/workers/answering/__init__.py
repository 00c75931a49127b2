"""How a worker answers records: from the bytes of their batches to the bytes of finished batches of results."""
