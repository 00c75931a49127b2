"""Exchanges the model while the service runs: looks for another one, tries it, and lets it serve or refuses it."""
