"""The documentation site: Sphinx builds it from the pages of this repository and from the docstrings (`make docs`).

The source folder is the repository itself, so that a relative link leads to the same page on a git host and in the
site. Diagrams are drawn while the site is built, so that its pages load nothing from elsewhere.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from typing import Any, Final

from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

project = "Digitstream"
author = "The Digitstream maintainers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
root_doc = "README"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
include_patterns = ["*.md", "docs/*.md", "docs/reference/*.rst", "models/*/card.md"]

html_theme = "furo"
html_title = "Digitstream"
html_extra_path = ["index.html"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False

myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 4

suppress_warnings = ["ref.citation"]  # a docstring may name its source without a number in the text
default_role = "literal"  # docstrings put names between single backticks
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
numpydoc_show_class_members = False
python_use_unqualified_type_names = True

CONTENTS: Final = {
    "Use it": [
        "docs/contract",
        "docs/http",
        "docs/page",
        "docs/delivery",
        "docs/limits",
        "docs/model",
        "docs/models",
        "models/digits/card",
        "models/digits-cnn/card",
    ],
    "Run it": ["docs/operations", "docs/settings", "docs/http-settings", "docs/security", "SECURITY", "CHANGELOG"],
    "Change it": ["CONTRIBUTING", "docs/architecture", "docs/glossary"],
    "Reference": [f"docs/reference/{package}" for package in ("contract", "engine", "transport", "consumer")],
}
COLUMNS: Final = re.compile(r"\S+(?: \S+)* {2,}\S")


class Diagram(SphinxDirective):
    """A block ``mermaid`` as a picture."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw it in another process: the program that draws writes about itself to standard error."""
        source = "\n".join(self.content)
        drawn = subprocess.run(
            [sys.executable, "-m", "mermaidx", "--input", "-", "--quiet"],
            input=source,
            capture_output=True,
            text=True,
            check=False,
        )
        if drawn.returncode:
            raise self.error(f"The diagram cannot be drawn: {drawn.stderr}")
        picture = drawn.stdout.replace("my-svg", f"diagram-{zlib.crc32(source.encode())}")
        return [nodes.raw("", f'<div style="background: white; padding: 1em">{picture}</div>', format="html")]


def add_contents(_: Sphinx, page: str, source: list[str]) -> None:
    """Put the list of all pages at the end of the first one, where it is not shown but makes the menu."""
    if page == root_doc:
        for title, pages in CONTENTS.items():
            lines = "\n".join(f"/{each}" for each in pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{lines}\n```\n"


def complete(_: Sphinx, kind: str, _name: str, obj: Any, _options: Any, lines: list[str]) -> None:
    """List the fields of a pydantic model, and show a paragraph that is set in columns as it is set."""
    if kind == "class" and issubclass(obj, BaseModel):
        fields = ((field.alias or name, field.description) for name, field in obj.model_fields.items())
        lines.extend(
            [
                "",
                *(f"* ``{name}``: {description}" if description else f"* ``{name}``" for name, description in fields),
                "",
            ]
        )
    kept = "\n".join(lines).split("\n\n")
    lines[:] = "\n\n".join(_as_set(each) if COLUMNS.match(each) else each for each in kept).split("\n")


def without_signature(_: Sphinx, kind: str, _name: str, obj: Any, _options: Any, *_signature: Any) -> Any:
    """Leave out the arguments of a pydantic model: its fields are listed below it, and their types are long."""
    return ("", None) if kind == "class" and issubclass(obj, BaseModel) else None


def _as_set(paragraph: str) -> str:
    return "::\n\n" + "\n".join(f"    {line}" for line in paragraph.split("\n"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the diagrams and the changes to pages and docstrings."""
    app.add_directive("mermaid", Diagram)
    app.connect("source-read", add_contents)
    app.connect("autodoc-process-docstring", complete)
    app.connect("autodoc-process-signature", without_signature)
    return {"parallel_read_safe": True}
