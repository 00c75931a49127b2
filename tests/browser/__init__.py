"""The page at ``/`` in a real Chromium, against a played gateway that uses the real engine."""
