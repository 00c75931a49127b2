"""Turns models that scikit-learn has trained into model folders, which are served without it."""
