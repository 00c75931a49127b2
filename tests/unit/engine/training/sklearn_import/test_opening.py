"""Files of pickle, joblib and skops: which are opened, and what is refused."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from engine.training.sklearn_import import opening
from engine.training.sklearn_import.errors import SklearnError
from engine.training.sklearn_import.opening import open_file


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self._file, "harm")


def test_a_pickle_is_not_opened_unless_it_is_trusted(tmp_path: Path) -> None:
    path, harm = tmp_path / "model.pkl", tmp_path / "harm"
    path.write_bytes(pickle.dumps(Harmful(harm)))
    with pytest.raises(SklearnError, match="add --i-trust-this-file, or save the model by skops"):
        open_file(path, trusted=False)
    assert not harm.exists()
    open_file(path, trusted=True)
    assert harm.exists(), "it would have done harm"


def test_a_pickle_by_the_name_of_a_skops_file_is_not_unpickled(tmp_path: Path) -> None:
    path, harm = tmp_path / "model.skops", tmp_path / "harm"
    path.write_bytes(pickle.dumps(Harmful(harm)))
    with pytest.raises(SklearnError, match="cannot be read as a file of skops"):
        open_file(path, trusted=True)
    assert not harm.exists()


def test_types_that_are_not_trusted_are_named(tmp_path: Path) -> None:
    skops.io.dump([FunctionTransformer(opening.open_file), LogisticRegression()], tmp_path / "model.skops")
    with pytest.raises(SklearnError, match=r"types that are not trusted: engine\.training\S+open_file$"):
        open_file(tmp_path / "model.skops", trusted=True)


def test_a_file_of_skops_that_inflates_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "ARRAYS_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "model.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * (2 << 20))
    with pytest.raises(SklearnError, match="inflates to 2,097,152 bytes; the most is 1,048,576"):
        open_file(tmp_path / "model.skops", trusted=False)


@pytest.mark.parametrize("name", ["model.pkl", "model.skops"])
def test_a_file_that_is_missing_or_damaged_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(SklearnError, match="is not a file"):
        open_file(tmp_path / name, trusted=True)
    (tmp_path / name).write_bytes(b"no model")
    with pytest.raises(SklearnError, match=r"cannot be (unpickled|read as a file of skops)"):
        open_file(tmp_path / name, trusted=True)


@pytest.mark.parametrize("name", ["model.pkl", "model.skops"])
def test_the_version_of_scikit_learn_that_saved_the_file_is_kept(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("sklearn.base.__version__", "1.2.0")
        if name == "model.pkl":
            (tmp_path / name).write_bytes(pickle.dumps(SVC()))
        else:
            skops.io.dump(SVC(), tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = open_file(tmp_path / name, trusted=True)
    assert isinstance(opened.estimator, SVC)
    assert opened.sklearn_version == "1.2.0"
