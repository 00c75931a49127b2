"""Stages of a training: which are done again, and after what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.progress import Progress

from engine.training.data.labelled import Labelled
from engine.training.fit import code as sources
from engine.training.fit import other_hands
from engine.training.fit import train as training
from engine.training.fit.code import code
from engine.training.fit.stages import Stages, fingerprint

MODULES = {
    "project/__init__.py": "",
    "project/draw.py": "from project import pens\nimport project.paper.sheet\nimport elsewhere\n",
    "project/pens.py": "WIDTH = 2\n",
    "project/paper/__init__.py": "",
    "project/paper/sheet.py": "from project.paper.colours import WHITE\n",
    "project/paper/colours.py": "WHITE = 255\n",
    "project/alone.py": "",
    "elsewhere.py": "",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, source in MODULES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


def changes(project: Path, name: str, **options: Any) -> bool:
    before = code("project.draw", home=project, **options)
    with (project / name).open("a") as file:
        file.write("CHANGED = True\n")
    return code("project.draw", home=project, **options) != before


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("project/draw.py", True),
        ("project/pens.py", True),
        ("project/paper/colours.py", True),
        ("project/alone.py", False),
        ("elsewhere.py", False),
    ],
)
def test_the_code_of_a_stage_is_all_that_it_imports_from_its_package(project: Path, name: str, *, counts: bool) -> None:
    assert changes(project, name) == counts


def test_a_package_that_is_left_out_may_change(project: Path) -> None:
    assert not changes(project, "project/paper/colours.py", apart_from="project.paper")
    assert changes(project, "project/pens.py", apart_from="project.paper")


def test_a_new_version_of_a_library_counts_as_another_code(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code("project.draw", home=project)
    monkeypatch.setattr("engine.training.fit.code.version", lambda name: f"{name} 0")
    assert code("project.draw", home=project) != before


PICTURES, NEGATIVES = "engine.training.data.samples", "engine.training.data.negatives.kinds"
HANDS, LEARN, REJECT = "engine.training.hands.samples", "engine.training.fit.learn", "engine.training.fit.reject"


@pytest.mark.parametrize(
    ("root", "module"),
    [
        (PICTURES, "engine.canvas.scenes.surfaces"),
        (PICTURES, "engine.codecs.pixels.jpeg"),
        (PICTURES, "engine.training.scenes.plates"),
        (PICTURES, "engine.training.data.handwriting"),
        (HANDS, "engine.canvas.scenes.surfaces"),
        (HANDS, "engine.training.hands.skeletons.fours"),
        (LEARN, "engine.model.hog"),
        (LEARN, "engine.training.data.augmentation"),
        (NEGATIVES, "engine.training.data.negatives.signs"),
    ],
)
def test_what_makes_a_stage_is_part_of_its_code(root: str, module: str) -> None:
    apart_from = "" if root == NEGATIVES else "engine.training.data.negatives"
    assert module in sources._sources(root, apart_from, sources._HOME)


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        (PICTURES, {"disturbed", "machine", "negatives", "reject"}),
        (HANDS, {"hands", "machine", "reject"}),
        (LEARN, {"machine", "reject"}),
        (NEGATIVES, {"negatives", "reject"}),
        (REJECT, {"reject"}),
    ],
)
def test_a_stage_is_done_again_after_its_code_has_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: str, again: set[str]
) -> None:
    def made_from(changed: str) -> dict[str, str]:
        """Return the fingerprints of all stages of a training in which nothing is computed."""
        seen: dict[str, str] = {}
        for module in (training, other_hands):
            monkeypatch.setattr(module, "code", lambda root, **_: f"{root} {root == changed}")
        monkeypatch.setattr(Stages, "run", lambda *given: seen.setdefault(*given[1:3]))
        for name in ("machine_of", "held_out_hands", "save"):
            monkeypatch.setattr(training, name, lambda *_: None)
        data = Labelled(np.zeros((12, 28, 28), np.float32), np.arange(12) % 10)
        options: dict[str, Any] = {"folder": tmp_path, "work": tmp_path, "bars": Progress(disable=True)}
        training.train(data, None, training.Settings(), **options)
        return seen

    before, after = made_from("nothing"), made_from(changed)
    assert list(before) == ["disturbed", "hands", "machine", "negatives", "reject"]
    assert {name for name in before if before[name] != after[name]} == again


def test_a_stage_whose_file_is_empty_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "stage.npz").touch()  # as a machine may leave it that lost its power
    assert Stages(tmp_path).run("stage", "x", lambda: {"value": np.ones(1)})["value"] == 1


def test_a_kept_stage_is_done_again_only_if_it_was_made_from_something_else(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, NDArray[Any]]:
        made.append(1)
        return {"value": np.arange(3)}

    stages = Stages(tmp_path)
    for seed in (1, 1, 2):
        np.testing.assert_array_equal(stages.run("stage", fingerprint(seed), make)["value"], np.arange(3))
    assert len(made) == 2


def test_a_stage_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "stage.npz").write_bytes(b"PK\x03\x04 the machine was switched off here")
    assert Stages(tmp_path).run("stage", "x", lambda: {"value": np.ones(1)})["value"] == 1
