"""Models that scikit-learn has trained: they decide as it does, from arrays, without it."""
