"""A mark for tests that need the typefaces, which not every machine has."""

from __future__ import annotations

from typing import Final

import pytest

from engine.training.data.typefaces import missing_packages

with_typefaces: Final = pytest.mark.skipif(
    bool(missing_packages("train") or missing_packages("test")), reason="only training needs the typefaces"
)
