"""Record batches in a worker: inflated within a limit, and scanned by compiled code."""
