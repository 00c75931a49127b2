"""What the documents name exists: tests, files, and where their links lead."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engine.training.report.side_by_side import page as page_of_models
from tests.harness import modules
from tests.harness.markdown import anchors, code, links

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
WITH_FOLDER = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/(?:[\w.-]+/)*[\w.-]*\w")
ALONE = re.compile(r"[\w-]+\.(?:md|py|ya?ml)")
REFERENCE = sorted((ROOT / "docs/reference").glob("*.rst"))
PLACES = [ROOT.glob("*"), *((ROOT / folder).rglob("*") for folder in FOLDERS)]
NAMES = {path.name for place in PLACES for path in place if ALONE.fullmatch(path.name)}
MADE_BY_READERS = {"models/NAME-VERSION", "models/mine"}
DEFINED = {
    name
    for module in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^ *(?:async )?def (test_\w+)", module.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_no_merge_has_left_its_conflict_in_a_page(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith(("<<<<<<<", ">>>>>>>", "=======", "|||||||"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"(?<![\w/])(test_\w+)(?![\w.])", page.read_text(encoding="utf-8")))
    assert named <= DEFINED, f"{page.name} names tests that do not exist: {sorted(named - DEFINED)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page.read_text(encoding="utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    for piece in code(page.read_text(encoding="utf-8")):
        for path in WITH_FOLDER.findall(piece):
            assert (ROOT / path).exists() or path in MADE_BY_READERS, path
        if ALONE.fullmatch(piece):
            assert piece in NAMES, piece


def test_the_promises_about_delivery_name_their_tests() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs/delivery.md").read_text(encoding="utf-8"))
    assert len(named) > 20


def test_the_figures_of_the_model_are_those_of_its_card() -> None:
    figures = json.loads((ROOT / "models/digits/figures.json").read_text(encoding="utf-8"))
    readme, operations = (
        (ROOT / page).read_text(encoding="utf-8").replace("\n", " ") for page in ("README.md", "docs/operations.md")
    )
    clean, speed = figures["clean"], figures["speed"]
    low, high = clean["error_pct_interval"]
    at_99 = clean["error_at_99_coverage_pct"]
    assert f"| {clean['error_pct']:.2f} % ({low:.2f} to {high:.2f} %); {at_99:.2f} % at 99 % coverage |" in readme
    assert f"calibration error of the confidence | {clean['ece_pct']:.2f} % |" in readme
    per_s = f"{round(speed['images_per_s_core'], -2):,} images/s"
    assert f"| {per_s}, {speed['times_plain_chain']:.0f} times as fast as Pillow" in readme
    assert f"one core of a worker alone, 28 px PNG | {per_s};" in operations
    assert f"On clean digits it is {clean['unsure_pct']:.1f} % ([its card]" in operations


def test_the_models_side_by_side_have_the_figures_of_their_cards() -> None:
    written = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    folders = [ROOT / "models/digits", ROOT / "models/digits-cnn"]
    assert written == page_of_models(folders), "run `digit-engine cards models/digits models/digits-cnn`"


def test_the_architecture_lists_every_folder_and_module() -> None:
    _, kept, _ = modules.split(modules.PAGE.read_text(encoding="utf-8"))
    assert kept.strip() == modules.table().strip(), "run `python -m tests.harness.modules`"


@pytest.mark.parametrize("page", REFERENCE, ids=lambda page: page.name)
def test_every_module_of_the_reference_exists(page: Path) -> None:
    named = re.findall(r"^\.\. automodule:: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert named
    for module in named:
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
