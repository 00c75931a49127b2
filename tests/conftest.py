"""The fixtures that all tests share."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from broker import Cluster, NotInstalledError, running_broker
from tests.harness.topics import Broker, fresh_topics

# Where no test needs Hypothesis, its plugin for pytest imports it after the last test, and pytest parses 77 modules for
# that. If the garbage collector runs meanwhile, and what tests have left formats a traceback, Python before 3.11.8 and
# 3.12.2 raises "SystemError: AST constructor recursion depth mismatch" (https://github.com/python/cpython/issues/106905),
# and the exit code is 1 although all tests have passed. So it is imported here: before the first test nothing is left.
#
# How long an example takes depends on what else the machine does; tests do not measure it.
hypothesis.settings.register_profile("digitstream", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("digitstream")

COMPOSE = Path(__file__).parent / "compose"

# A shell starts a background job (`make test &`) with SIGINT and SIGQUIT ignored, and all children inherit that. Tests
# could then not interrupt what they start, and pytest-xdist could not interrupt its workers, whose brokers would stay.
# Checked by test_children_of_tests_start_with_default_signals.
if threading.current_thread() is threading.main_thread():
    for _signal, _default in (signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL):
        if signal.getsignal(_signal) is signal.SIG_IGN:
            signal.signal(_signal, _default)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests in `tests/compose`, which need Docker and minutes, unless the command names them."""
    if _compose_asked_for(config):
        return
    left_out = [item for item in items if COMPOSE in item.path.parents]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Report that the tests in `tests/compose` were deselected."""
    if not _compose_asked_for(config):
        terminalreporter.write_line("tests/compose is left out: `make test-compose` runs it, and needs Docker")


def _compose_asked_for(config: pytest.Config) -> bool:
    return any("tests/compose" in argument for argument in config.args)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Remove all ``DIGITS_…`` variables, so that tests start from the defaults."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("DIGITS_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One running broker for all tests that do not harm it."""
    try:
        with running_broker() as cluster:
            yield cluster
    except NotInstalledError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def three_nodes(cluster: Cluster) -> Iterator[Cluster]:
    """Three brokers with three copies of each partition, for tests in which leaders move."""
    del cluster  # where Kafka is not installed, it has skipped the test
    with running_broker(nodes=3) as cluster_of_three:
        yield cluster_of_three


@pytest.fixture(scope="session")
def first_version(cluster: Cluster) -> Iterator[Cluster]:
    """One running broker with transactions of version 1, as all had before Kafka 4.0."""
    del cluster  # as above
    with running_broker(features={"transaction.version": 1}) as of_first_version:
        yield of_first_version


@pytest.fixture
async def broker(cluster: Cluster) -> AsyncIterator[Broker]:
    """A test's own three topics with 8 partitions each, and its own group."""
    async with fresh_topics(cluster) as broker:
        yield broker
