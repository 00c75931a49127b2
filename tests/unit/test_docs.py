"""What the documents say is shown by a test is shown by a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DEFINED = {
    name
    for module in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^ *(?:async )?def (test_\w+)", module.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"(?<![\w/])(test_\w+)(?![\w.])", page.read_text(encoding="utf-8")))
    assert named <= DEFINED, f"{page.name} names tests that do not exist: {sorted(named - DEFINED)}"


def test_the_promises_about_delivery_name_their_tests() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs/delivery.md").read_text(encoding="utf-8"))
    assert len(named) > 20
