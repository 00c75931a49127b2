"""The model file: what is saved comes back, and nothing damaged is served."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.model import store as model
from engine.model.compact import Compact, to_arrays
from engine.model.files import ARRAYS, KINDS, MANIFEST, ModelError, ModelFiles
from engine.model.store import load
from models import default_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped model that a test may damage."""
    copy = tmp_path / "model"
    copy.mkdir()
    for name in (ARRAYS, MANIFEST):
        shutil.copy(default_model() / name, copy)
    return copy


def change_arrays(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change arrays and make the checksum right again: what is wrong then is only what the test made wrong."""
    with np.load(folder / ARRAYS) as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    np.savez(folder / ARRAYS, **arrays)
    change_manifest(folder, sha256=hashlib.sha256((folder / ARRAYS).read_bytes()).hexdigest())


def change_manifest(folder: Path, **fields: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | fields))


def test_the_shipped_model_loads_and_is_one_file_of_at_most_a_megabyte() -> None:
    loaded = load(default_model())
    content = (default_model() / ARRAYS).read_bytes()
    assert len(content) <= 1_000_000
    assert loaded.info.sha256 == hashlib.sha256(content).hexdigest()


def test_the_shipped_manifest_states_what_its_thresholds_stand_for() -> None:
    manifest = load(default_model()).manifest
    assert set(manifest["thresholds"]) == {
        "confidence",
        "digitness",
        "presence_slope",
        "presence_offset",
        "coverage_pct",
        "error_pct_recognised",
    }
    assert manifest["thresholds"]["coverage_pct"] >= 99
    assert manifest["held_out"]["n"] == 10_000
    assert manifest["held_out"]["error_pct"] <= 0.5


def test_one_changed_byte_is_noticed(folder: Path) -> None:
    content = bytearray((folder / ARRAYS).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / ARRAYS).write_bytes(content)
    with pytest.raises(ModelError, match="sha256"):
        load(folder)


def test_an_array_that_changed_a_little_fails_the_self_test(folder: Path) -> None:
    change_arrays(folder, lambda arrays: arrays.update(weights=arrays["weights"] * np.float16(1.1)))
    with pytest.raises(ModelError, match="reference digits come out differently"):
        load(folder)


@pytest.mark.parametrize("name", ["projection", "centres", "weights", "thresholds", "canary_digits"])
def test_a_missing_array_is_named(folder: Path, name: str) -> None:
    change_arrays(folder, lambda arrays: arrays.pop(name))
    with pytest.raises(ModelError, match=name):
        load(folder)


def test_an_array_of_another_shape_is_named(folder: Path) -> None:
    change_arrays(folder, lambda arrays: arrays.update(bias=arrays["bias"][:-1]))
    with pytest.raises(ModelError, match=r"bias must have shape \(10,\)"):
        load(folder)


def test_a_model_without_presence_takes_the_digitness_for_it(folder: Path) -> None:
    change_arrays(folder, lambda arrays: arrays.update(thresholds=arrays["thresholds"][:2]))
    thresholds = load(folder).thresholds
    assert (thresholds.presence_slope, thresholds.presence_offset) == (1, 0)


def test_a_model_with_the_former_reject_head_must_be_trained_again(folder: Path) -> None:
    change_arrays(folder, lambda arrays: arrays.update(evidence_weights=np.zeros(12, np.float16)))
    with pytest.raises(ModelError, match=r"version 0\.1\.0 and must be trained again"):
        load(folder)


def test_a_model_whose_reject_head_does_not_know_the_scores_is_served(folder: Path) -> None:
    shipped = load(folder)
    assert isinstance(shipped.predictor, Compact)
    arrays = to_arrays(shipped.predictor.machine)
    del arrays["from_scores"]
    served = model.save(folder, arrays, shipped.thresholds, shipped.manifest).predictor
    assert isinstance(served, Compact)
    assert not served.machine.reject.from_scores.any()


def test_an_array_of_another_type_is_named(folder: Path) -> None:
    change_arrays(folder, lambda arrays: arrays.update(centres=arrays["centres"].astype(np.float64)))
    with pytest.raises(ModelError, match="centres must be float16"):
        load(folder)


def test_a_number_that_is_not_finite_is_noticed(folder: Path) -> None:
    change_arrays(folder, lambda arrays: arrays["weights"].__setitem__((0, 0), np.nan))
    with pytest.raises(ModelError, match="weights has a value that is not finite"):
        load(folder)


def test_an_array_that_would_need_pickle_is_refused(folder: Path) -> None:
    change_arrays(folder, lambda arrays: arrays.update(extra=np.array([print], dtype=object)))
    with pytest.raises(ModelError, match="not an archive of arrays"):
        load(folder)


def test_what_is_no_archive_at_all_is_refused(folder: Path) -> None:
    (folder / ARRAYS).write_bytes(b"anything")
    change_manifest(folder, sha256=hashlib.sha256(b"anything").hexdigest())
    with pytest.raises(ModelError, match="not an archive of arrays"):
        load(folder)


@pytest.mark.parametrize("missing", [MANIFEST, ARRAYS])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=f"{missing} cannot be read"):
        load(folder)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"format": 2}, "format 1"),
        ({"kind": "tree"}, "kind 'tree'"),
        ({"name": None}, "lacks the field name"),
    ],
)
def test_a_manifest_that_this_version_cannot_read_is_refused(folder: Path, fields: dict[str, Any], says: str) -> None:
    change_manifest(folder, **fields)
    with pytest.raises(ModelError, match=says):
        load(folder)


def test_a_manifest_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        load(folder)


def test_the_kinds_that_are_named_are_the_kinds_that_can_be_loaded() -> None:
    assert set(KINDS) == set(model._KINDS)


def test_a_file_larger_than_any_model_is_refused_without_being_read_whole(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b" " * (2**20 + 1))
    with pytest.raises(ModelError, match=r"manifest\.json has more than 1,048,576 bytes"):
        load(folder)


def test_a_model_whose_files_have_been_read_is_loaded_without_them(folder: Path) -> None:
    files = ModelFiles.read(folder)
    shutil.rmtree(folder)
    assert model.load_files(files).info == load(default_model()).info


def test_what_is_saved_reads_the_same_after_loading(folder: Path, tmp_path: Path) -> None:
    loaded = load(folder)
    with np.load(folder / ARRAYS) as file:
        arrays = {name: file[name] for name in file.files if not name.startswith(("canary", "thresholds"))}
    again = model.save(tmp_path / "again", arrays, loaded.thresholds, {**loaded.manifest, "version": "2"})
    digits, evidence = np.random.default_rng(0).random((5, 28, 28), np.float32), np.zeros((5, 12), np.float32)
    before, after = loaded.predictor.decide(digits, evidence), again.predictor.decide(digits, evidence)
    np.testing.assert_array_equal(before.probabilities, after.probabilities)
    assert (again.info.name, again.info.version) == (loaded.info.name, "2")
