"""No call in service or producer blocks an event loop."""

from __future__ import annotations

from tests.harness import blocking_guard, producer_command
from tests.harness.images import drawn_digits, zipped
from tests.harness.service import running_service
from tests.harness.topics import Broker

RAISED = "BlockingError"


async def test_no_event_loop_blocks_from_the_first_image_to_the_audit(broker: Broker) -> None:
    async with running_service(broker, {"PYTHONPATH": blocking_guard.PYTHONPATH}) as service:
        await broker.send([*drawn_digits(30), b"no image"])
        await broker.everything_answered()
        archive = zipped([("seven.png", drawn_digits(8)[7])])
        for command in (("send", "-", "--wait"), ("dead-letters",), ("replay",), ("audit",)):
            ended = await producer_command.run(broker, *command, stdin=archive, PYTHONPATH=blocking_guard.PYTHONPATH)
            assert blocking_guard.ON_GUARD in ended.err
            assert RAISED not in ended.err
        service.terminate()
        assert await service.wait() == 0
        assert blocking_guard.ON_GUARD in service.log
        assert RAISED not in service.log
