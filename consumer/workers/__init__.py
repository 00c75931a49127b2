"""The worker processes: scheduled, watched, replaced."""
