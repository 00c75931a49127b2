"""Bodies of requests: received within limits, cut into files, and packed into one record."""
