"""Bytes in, predictions out: no Kafka, no event loop, usable from a notebook."""
