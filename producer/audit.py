"""Reads the three topics as they are and says whether every request was answered once, in order.

It knows the contract and nothing of the service.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from contract.settings import ClientSettings
from producer.clients import open_reader
from producer.merge import Merge
from producer.report import Report
from producer.scope import Scope


async def audit(settings: ClientSettings, scope: Scope, passed: Callable[[int], None]) -> Report:
    """Audit a scope; `passed` hears of records as they are read, how many.

    Raises
    ------
    KafkaProblem
        Kafka does not do its part, or an open transaction hides the end of a log.
    """
    report = Report()
    async with contextlib.AsyncExitStack() as stack:
        # One reader for each topic: while one log waits to be drawn in, its data would hold up the others.
        readers = [await stack.enter_async_context(open_reader(settings.kafka)) for _ in range(3)]
        for family in scope.families():
            await Merge(scope, family, readers, report, passed).run()
    return report
