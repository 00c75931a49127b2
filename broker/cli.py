"""The command ``digit-broker``."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Final

import typer

from broker.cluster import running_broker
from broker.errors import BrokerError

EXIT_STOPPED: Final = 0
"""Ended by SIGINT or SIGTERM."""
EXIT_FAILED: Final = 1
"""Could not start, or a node ended by itself."""

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def broker() -> None:
    """Run a real Apache Kafka on this machine: for development, tests and demonstrations."""


@app.command()
def run(
    port: Annotated[int | None, typer.Option(help="Port of the first node; by default a free one.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep topics and records here; by default they go when the broker ends.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Brokers; three keep three copies of each partition.")] = 1,
) -> None:
    """Run Kafka on loopback until Ctrl-C or SIGTERM; print its address once it answers.

    Needs Java 17; the first run also needs Maven, which fetches Kafka's jars into the cache folder.
    Topics are not created by themselves: ``digit-producer create-topics`` makes those of the service.

    Example: digit-broker run --port 9092 --data-dir ./kafka
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        with running_broker(nodes=nodes, port=port, data_dir=data_dir) as cluster:
            typer.echo(cluster.bootstrap_servers)
            typer.echo(
                f"Kafka is ready, its logs are in {cluster.folder}/node-*/server.log; Ctrl-C stops it.", err=True
            )
            cluster.wait()
    except BrokerError as error:
        typer.echo(f"digit-broker: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from error
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_STOPPED) from None


def main() -> None:
    """Run the command line."""
    app()
