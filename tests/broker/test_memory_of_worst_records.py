"""The service stays within its memory and answers all records although every partition has the worst allowed ones."""

from __future__ import annotations

import pytest

from broker import Cluster
from tests.harness import worst_inputs
from tests.harness.processes import high_water_mb, workers_of
from tests.harness.service import running_service
from tests.harness.topics import fresh_topics
from tests.hostile.vp8l import of_many_codes

pytestmark = pytest.mark.slow

TREE_MB = 1_500.0
"""What docs/limits.md allows the service and its two workers."""


@pytest.mark.timeout(600)  # a minute of two cores
async def test_memory_stays_bounded_with_the_worst_records_on_all_partitions(cluster: Cluster) -> None:
    worst = [
        *(make() for make in worst_inputs.IMAGES.values()),
        of_many_codes(),
        worst_inputs.RECORDS["images of many parts"](),
    ]
    async with fresh_topics(cluster, partitions=4) as broker:
        for partition in range(4):
            for first in range(len(worst)):  # neither all at once the same, nor one after the other in all
                await broker.send([worst[(first + 2 * partition) % len(worst)]], partition=partition)
        async with running_service(broker, workers=2) as service:
            workers = workers_of(service.process.pid)
            await broker.everything_answered(deadline_s=400)
            most_mb = high_water_mb(service.process.pid)
            print(f"service and workers: {most_mb:.0f} MB")  # noqa: T201  # shown with -rP
            assert workers_of(service.process.pid) == workers, "no worker has died"
            assert await service.is_ready()
        assert most_mb < TREE_MB
