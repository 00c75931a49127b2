"""The page at ``/``: draw a digit, or give pictures, and see what the stream answers. It needs no build."""
