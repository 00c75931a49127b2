"""The command ``digit-broker``."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from broker.cluster import Cluster, running_broker
from broker.errors import BrokerError
from broker.security import ADMIN, USERS, Security
from release.option import version_option

EXIT_STOPPED: Final = 0
"""Ended by SIGINT or SIGTERM."""
EXIT_INTERRUPTED: Final = 130
"""As before, but while it was starting."""
EXIT_FAILED: Final = 1
"""Could not start, or a node ended by itself."""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def broker(*, version: Annotated[bool, version_option("digit-broker")] = False) -> None:
    """Run a real Apache Kafka on this machine: for development, tests and demonstrations."""
    del version  # it has ended the program


@app.command()
def run(
    *,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port of the first node; by default a free one.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep topics and records here; by default they go when the broker ends.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Brokers; three keep three copies of each partition.")] = 1,
    secure: Annotated[
        bool, typer.Option("--secure", help="TLS, users and ACLs; the addresses and files are printed.")
    ] = False,
) -> None:
    """Run Kafka on loopback until Ctrl-C or SIGTERM; print its address once it answers.

    Needs Java 17; the first run also needs Maven, which fetches Kafka's jars into the cache folder.
    Topics are not created by themselves: ``digit-producer create-topics`` makes those of the service.

    With --secure, the user admin may do everything; what service and producer may do, ACLs have to say. The
    address on standard output is for clients with a certificate. It needs trustme (pip install trustme).

    Example: digit-broker run --port 9092 --data-dir ./kafka
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    ready = False
    try:
        with running_broker(nodes=nodes, port=port, data_dir=data_dir, secure=secure) as cluster:
            ready = True  # before anyone reads the address and may end it
            if cluster.security:
                for line in _access(cluster, cluster.security):
                    typer.echo(line, err=True)
            typer.echo(cluster.bootstrap_servers)
            typer.echo(
                f"Kafka is ready, its logs are in {cluster.folder}/node-*/server.log; Ctrl-C stops it.", err=True
            )
            cluster.wait()
    except BrokerError as error:
        typer.echo(f"digit-broker: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from error
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_STOPPED if ready else EXIT_INTERRUPTED) from None


def _access(cluster: Cluster, security: Security) -> Iterator[str]:
    """Return lines that say how clients connect."""
    rows = [
        ("by certificate", f"{cluster.bootstrap_servers}, such as {security.certificate_file(ADMIN)}"),
        ("by SCRAM", f"{cluster.scram_servers}, SHA-256 or SHA-512"),
        ("by PLAIN", cluster.plain_servers),
        ("by OAUTHBEARER", f"{cluster.token_servers}, tokens signed by {security.issuer_key_file}"),
        ("authority", str(security.ca_file)),
        *((f"password of {user}", str(security.password_file(user))) for user in USERS),
    ]
    for what, where in rows:
        yield f"{what:<20}  {where}"


def main() -> None:
    """Run the command line."""
    app()
