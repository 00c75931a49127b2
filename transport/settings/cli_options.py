"""The options for the brokers that every command with a connection to Kafka has; each replaces a variable."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, get_type_hints

import typer

from transport.settings.environment import extended_environment
from transport.settings.kafka import SettingsError

_VARIABLES: Final = {
    "bootstrap_servers": "DIGITS_KAFKA__BOOTSTRAP_SERVERS",
    "wait_for_broker": "DIGITS_KAFKA__WAIT_S",
}
_BootstrapServers = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT,…", help="Brokers, comma-separated; instead of DIGITS_KAFKA__BOOTSTRAP_SERVERS."),
]
_EnvFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Lines DIGITS_…=value; the environment replaces them, and options replace both."),
]
_WaitForBroker = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="How long to wait for a broker that is starting; as DIGITS_KAFKA__WAIT_S."),
]
_OPTIONS: Final = {"bootstrap_servers": _BootstrapServers, "env_file": _EnvFile, "wait_for_broker": _WaitForBroker}


def with_kafka_options(
    command: Callable[..., None], refuse: Callable[[SettingsError], NoReturn]
) -> Callable[..., None]:
    """Give a command of typer the options ``--bootstrap-servers``, ``--env-file`` and ``--wait-for-broker``.

    Parameters
    ----------
    command
        The command; while it runs, the environment has the resulting settings.
    refuse
        Is called if the file cannot be used; it reports the error and ends the program.
    """

    @functools.wraps(command)
    def extended_command(*arguments: Any, env_file: Path | None, **options: Any) -> None:
        given = {variable: options.pop(name) for name, variable in _VARIABLES.items()}
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(
                    extended_environment(
                        env_file, {name: str(value) for name, value in given.items() if value is not None}
                    )
                )
            except SettingsError as error:
                refuse(error)
            command(*arguments, **options)

    signature = inspect.signature(command, eval_str=True)
    ours = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    extended_command.__annotations__ = get_type_hints(command, include_extras=True) | _OPTIONS
    extended_command.__signature__ = signature.replace(  # type: ignore[attr-defined]  # typer reads it
        parameters=[*signature.parameters.values(), *ours]
    )
    return extended_command
