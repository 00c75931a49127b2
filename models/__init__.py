"""The shipped model: arrays, manifest and card, one folder for each model."""

from pathlib import Path

__all__ = ["default_model"]


def default_model() -> Path:
    """Name the folder of the model that is used if nobody names another."""
    return Path(__file__).parent / "digits"
