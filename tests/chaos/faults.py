"""Carries out the plan: sends signals to processes, stalls connections, and waits in between."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from broker import Cluster
from tests.chaos.brokers import ClusterView
from tests.chaos.instances import Instance
from tests.chaos.plan import Fault, Kind
from tests.chaos.timeline import Timeline
from tests.harness.relay import Relay
from tests.harness.waiting import eventually

SURVIVORS: Final = 2
"""How many instances must be ready before a fault hits one, so that another can take over."""
PATIENCE_S: Final = 30.0
"""How long to wait for them. While brokers are down none may be ready, and the fault happens all the same."""


@dataclass(frozen=True)
class Faults:
    """Everything that faults can hit. Each track is a task; the tracks share only the timeline."""

    instances: Sequence[Instance]
    cluster: Cluster
    view: ClusterView
    relays: Sequence[Relay]
    timeline: Timeline
    may_strike: asyncio.Event

    async def alone(self, faults: Sequence[Fault], healthy_again: Callable[[], Awaitable[None]]) -> None:
        """Carry out faults one after the other, each when everything is healthy again."""
        for fault in faults:
            await self._strike(fault)
            await healthy_again()

    async def track(self, faults: Sequence[Fault]) -> None:
        """Carry out faults one after the other, each at its time or as soon after it as faults are allowed."""
        began_s = time.time()
        for fault in faults:
            await asyncio.sleep(max(0.0, began_s + fault.at_s - time.time()))
            await self.may_strike.wait()
            await self._strike(fault)

    async def _strike(self, fault: Fault) -> None:
        effects: Mapping[Kind, Callable[[Fault], Awaitable[None]]] = {
            Kind.INSTANCE_KILLED: self._kill_instance,
            Kind.INSTANCE_FROZEN: self._freeze_instance,
            Kind.INSTANCE_ZOMBIE: self._freeze_instance,
            Kind.INSTANCES_ROLLED: self._roll_instances,
            Kind.WORKER_KILLED: self._kill_worker,
            Kind.BROKER_KILLED: self._kill_broker,
            Kind.BROKER_FROZEN: self._freeze_broker,
            Kind.BROKERS_ROLLED: self._roll_brokers,
            Kind.CONNECTION_STALLED: self._stall,
            Kind.CONNECTIONS_STALLED: self._stall,
        }
        await effects[fault.kind](fault)

    async def _kill_instance(self, fault: Fault) -> None:
        await self._enough_are_ready()
        instance = self.instances[fault.target]
        with self.timeline.strike(fault.kind, instance.name, instance.partitions()):
            await instance.kill()
            await asyncio.sleep(fault.length_s)
            await instance.start()

    async def _freeze_instance(self, fault: Fault) -> None:
        await self._enough_are_ready()
        instance = self.instances[fault.target]
        service = await eventually(lambda: instance.service)
        assert service is not None
        with self.timeline.strike(fault.kind, f"{instance.name}, {fault.length_s:.1f} s", instance.partitions()):
            service.freeze()
            await asyncio.sleep(fault.length_s)
            service.thaw()

    async def _roll_instances(self, fault: Fault) -> None:
        with self.timeline.strike(fault.kind, "all"):
            for instance in self.instances:
                await self._enough_are_ready()
                with contextlib.suppress(AssertionError):
                    await eventually(instance.is_ready, deadline_s=PATIENCE_S)
                await instance.stop()
                await instance.start()

    async def _kill_worker(self, fault: Fault) -> None:
        while True:
            instance, workers = await eventually(self._an_instance_with_workers(fault), lambda found: found[1])
            victim = workers[int(fault.which * len(workers))]
            with contextlib.suppress(ProcessLookupError):  # a harmful image has ended it first: take another one
                os.kill(victim, signal.SIGKILL)
                break
        with self.timeline.strike(fault.kind, f"one of {instance.name}", instance.partitions()):
            pass

    def _an_instance_with_workers(self, fault: Fault) -> Callable[[], tuple[Instance, list[int]]]:
        def look() -> tuple[Instance, list[int]]:
            ordered = [*self.instances[fault.target :], *self.instances[: fault.target]]
            found = [(instance, instance.workers()) for instance in ordered]
            return next((each for each in found if each[1]), found[0])

        return look

    async def _kill_broker(self, fault: Fault) -> None:
        number, node = fault.target + 1, self.cluster.nodes[fault.target]
        led = await eventually(lambda: self.view.led_by(number), lambda _: True)
        with self.timeline.strike(fault.kind, f"broker {number}", led) as struck:
            await asyncio.to_thread(node.kill)
            await self.view.continues_without(number)
            struck.whole_s = time.time()
            await asyncio.sleep(fault.length_s)
            node.start()
            await self.view.repaired()

    async def _freeze_broker(self, fault: Fault) -> None:
        number, node = fault.target + 1, self.cluster.nodes[fault.target]
        with self.timeline.strike(fault.kind, f"broker {number}, {fault.length_s:.1f} s"):
            node.freeze()
            try:
                await asyncio.sleep(fault.length_s)
            finally:
                node.thaw()
        await self.view.repaired()

    async def _roll_brokers(self, fault: Fault) -> None:
        with self.timeline.strike(fault.kind, "all"):
            for node in self.cluster.nodes:
                await asyncio.to_thread(node.stop)
                node.start()
                await self.view.repaired()

    async def _stall(self, fault: Fault) -> None:
        relay = self.relays[fault.target]
        silence = relay.one_stalled(fault.which) if fault.kind is Kind.CONNECTION_STALLED else relay.stalled()
        with self.timeline.strike(fault.kind, f"broker {fault.target + 1}, {fault.length_s:.1f} s"), silence:
            await asyncio.sleep(fault.length_s)

    async def _enough_are_ready(self) -> None:
        async def ready() -> int:
            return sum([await instance.is_ready() for instance in self.instances])

        with contextlib.suppress(AssertionError):
            await eventually(ready, lambda count: count >= SURVIVORS, deadline_s=PATIENCE_S)
