"""Hashes the code that makes a training stage, since a stage has to run again if its code changes.

The code is a module's source, and that of every module of the same package that it imports, directly or not.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

LIBRARIES: Final = ("numpy", "numba", "opencv-python-headless", "pillow", "pi-heif", "matplotlib", "scikit-image")
"""Their versions count as code, too: they decode, draw and compute."""

_HOME: Final = Path(__file__).parents[3]  # the folder of the package `engine`


def code(root: str, apart_from: str = "", home: Path = _HOME) -> str:
    """Hash the source of a module and of the modules that it imports, and the versions of `LIBRARIES`.

    Parameters
    ----------
    root
        Name of the module; modules of other top-level packages are left out.
    apart_from
        Name of a package that is left out, with what only its modules import.
    home
        The folder of the top-level package.
    """
    digest = hashlib.sha256(repr([(name, version(name)) for name in LIBRARIES]).encode())
    for name, source in sorted(_sources(root, apart_from, home).items()):
        digest.update(f"{name} {len(source)} ".encode())
        digest.update(source)
    return digest.hexdigest()


def _sources(root: str, apart_from: str, home: Path) -> dict[str, bytes]:
    """Read the module and all that it imports, by their names."""
    found: dict[str, bytes] = {}
    waiting = [root]
    while waiting:
        name = waiting.pop()
        path = None if name in found or _lies_in(name, apart_from) else _file(home, name)
        if path is not None:
            found[name] = path.read_bytes()
            waiting += [other for other in _imported(found[name]) if _lies_in(other, root.partition(".")[0])]
    return found


def _imported(source: bytes) -> Iterator[str]:
    """List names that may be modules; the project has no relative imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(home: Path, name: str) -> Path | None:
    """Find the file of a module; None if the name is not one, but something within a module."""
    path = home.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _lies_in(name: str, package: str) -> bool:
    return bool(package) and (name == package or name.startswith(f"{package}."))
