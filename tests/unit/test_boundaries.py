"""What import-linter cannot see: who uses the insides of the Kafka client, and where folders depend on each other."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path
from typing import Final

import grimp
import pytest

ROOT: Final = Path(__file__).parents[2]
PARTS: Final = [ROOT / name for name in ("consumer", "producer", "engine", "contract", "release")]
MODULES: Final = sorted(path for part in PARTS for path in part.rglob("*.py"))
MOST_MODULES: Final = 13
"""In one folder, its ``__init__`` aside: more do not fit into one look."""


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_the_transport_imports_what_is_inside_the_client(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    named = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert [name for name in named if name.startswith("aiokafka.")] == []


@pytest.mark.parametrize(
    "module",
    [*MODULES, *sorted(path for path in (ROOT / "transport").rglob("*.py") if path.name != "internals.py")],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_only_one_module_of_the_transport_uses_private_names_of_others(module: Path) -> None:
    """Ruff finds private names (SLF001). This test allows its exceptions for scikit-learn's machine only."""
    lines = module.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "noqa: SLF001" in line and "machine._" not in line] == []


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in [*MODULES, *(ROOT / "transport").rglob("*.py")]}),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_a_folder_can_be_seen_at_one_look(folder: Path) -> None:
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert docstring.endswith("."), "a folder says in a sentence what it is"


@pytest.mark.parametrize("package", ["consumer", "engine", "producer", "transport"])
def test_no_cycle_leads_from_a_folder_through_others_back_to_it(package: str) -> None:
    graph = grimp.build_graph(package)
    parts = sorted(graph.find_children(package))
    imported: dict[str, set[str]] = {part: set() for part in parts}
    for importer in graph.modules - {package}:
        for each in graph.find_modules_directly_imported_by(importer):
            imported[_part(importer)].add(_part(each))
    order = graphlib.TopologicalSorter({part: others - {part, package} for part, others in imported.items()})
    try:
        order.prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def _part(module: str) -> str:
    """Return the sub-package, or the module, directly below the package."""
    return ".".join(module.split(".")[:2])
