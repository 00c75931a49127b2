"""The table of all folders and modules in docs/architecture.md, made of the first sentences of their docstrings.

``python -m tests.harness.modules`` writes it again; a test compares it with the tree.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "architecture.md"
PACKAGES: Final = ("contract", "transport", "consumer", "engine", "producer", "models", "broker", "release")
BEGIN: Final = "<!-- made by python -m tests.harness.modules: begin -->\n"
END: Final = "<!-- end -->\n"


def table() -> str:
    """Return the table in Markdown: a heading for each folder, a line for each module in it."""
    return "".join(line for package in PACKAGES for line in _folder(ROOT / package))


def split(page: str) -> tuple[str, str, str]:
    """Cut the page into what stands before the table, the table, and what stands after it."""
    before, _, rest = page.partition(BEGIN)
    kept, _, after = rest.partition(END)
    return before + BEGIN, kept, END + after


def _folder(folder: Path) -> Iterator[str]:
    yield f"### `{folder.relative_to(ROOT).as_posix()}/`\n\n{_sentence(folder / '__init__.py')}\n\n"
    modules = [path for path in sorted(folder.glob("*.py")) if path.name not in {"__init__.py", "__main__.py"}]
    if modules:
        yield "| module | what it is |\n| --- | --- |\n"
        yield from (f"| `{path.name}` | {_sentence(path)} |\n" for path in modules)
        yield "\n"
    for each in sorted(folder.iterdir()):
        if (each / "__init__.py").exists():
            yield from _folder(each)


def _sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    before, _, after = split(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(f"{before}\n{table()}{after}", encoding="utf-8")
