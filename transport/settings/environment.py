"""Settings in a file or on the command line: they become environment variables while one command runs.

All settings are then read and checked in the same way. An option of the command line replaces a variable of the
environment, and a variable of the environment replaces one of the file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from transport.settings.kafka import PREFIX, SettingsError


@contextlib.contextmanager
def extended_environment(env_file: Path | None, options: Mapping[str, str]) -> Iterator[None]:
    """Add variables to the environment for as long as the context lasts.

    Parameters
    ----------
    env_file
        Lines ``DIGITS_…=value``; a line is ignored if the environment has the variable.
    options
        Variables that replace those of the environment.

    Raises
    ------
    SettingsError
        The file cannot be read, or some lines are not settings; the message names each of them.
    """
    before = dict(os.environ)
    from_file = {} if env_file is None else read_env_file(env_file)
    for name in before:  # the case of a setting's name does not matter
        if name.upper() in options:
            del os.environ[name]
    known = {name.upper() for name in os.environ} | set(options)
    os.environ |= {name: value for name, value in from_file.items() if name.upper() not in known}
    os.environ |= options
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def read_env_file(env_file: Path) -> dict[str, str]:
    """Read a file of variables as `dotenv` does: comments, ``export``, quotes; nothing in a value is expanded.

    Raises
    ------
    SettingsError
        As `extended_environment`.
    """
    try:
        with env_file.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except OSError as error:
        raise SettingsError(f"--env-file {str(env_file)!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"--env-file {str(env_file)!r} is no UTF-8 text") from error
    found, problems = {}, []
    for binding in bindings:
        line = f"line {binding.original.line} of {str(env_file)!r}"
        if binding.error or (binding.key is not None and binding.value is None):
            # The line is not shown, because it may be part of a secret.
            problems.append(f"{line} is no variable: write NAME=value, one on each line")
        elif binding.key is not None and not binding.key.upper().startswith(PREFIX):
            problems.append(f"{line}: {binding.key!r} does not begin with {PREFIX}: only settings may stand here")
        elif binding.key is not None and binding.value is not None:
            found[binding.key] = binding.value
    if problems:
        raise SettingsError("\n".join(problems))
    return found
