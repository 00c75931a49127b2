"""Packages in a current directory that would shadow ours."""

from __future__ import annotations

from pathlib import Path


def make_shadowing_packages(folder: Path) -> None:
    """Make packages that end the process that imports them, under names that a worker, a probe or a service imports."""
    for name in ("consumer", "contract", "engine", "models", "numpy", "http"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise SystemExit('code of the current directory runs')\n")
