"""Settings that were renamed or removed: the old name is accepted for one release, with a warning."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from transport.settings.kafka import SettingsError


def take_old_names(renamed: Mapping[str, str]) -> dict[str, str]:
    """Give each variable that has an old name its new name, in this process's environment.

    Parameters
    ----------
    renamed
        New names by old names, in capitals.

    Returns
    -------
    found : dict[str, str]
        Those that were set under their old names, as in `renamed`.

    Raises
    ------
    SettingsError
        A setting is given under both names.
    """
    by_capitals = {name.upper(): name for name in os.environ}
    found = {old: new for old, new in renamed.items() if old in by_capitals}
    both = [f"{old}: it is called {new} now, and that is set, too" for old, new in found.items() if new in by_capitals]
    if both:
        raise SettingsError("\n".join(both))
    for old, new in found.items():
        os.environ[new] = os.environ.pop(by_capitals[old])
    return found


def drop_removed(removed: Iterable[str]) -> list[str]:
    """Take variables that are no settings any more out of this process's environment; return those that were set."""
    by_capitals = {name.upper(): name for name in os.environ}
    found = [name for name in removed if name in by_capitals]
    for name in found:
        del os.environ[by_capitals[name]]
    return found
