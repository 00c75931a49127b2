"""The metrics of the front door: requests by path and status, refusals by code, and the state of the gateway."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from producer.web.gateway.interface import Gateway
from producer.web.problems import Refusal
from release import revision, version

_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters and gauges of the server. Owner: the application."""

    def __init__(self, gateway: Gateway) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "digits_http_requests", "Requests that were answered.", ["path", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "digits_http_request_seconds",
            "From a request's headers to the end of its answer.",
            ["path"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.refusals = Counter(
            "digits_http_refusals", "Requests that were refused, by the code.", ["code"], registry=self.registry
        )
        self.under_way = Gauge(
            "digits_http_requests_under_way", "Requests that are not answered yet.", registry=self.registry
        )
        for refusal in Refusal:  # a counter that begins at 1 hides its first increase
            self.refusals.labels(refusal.value)
        build = Info("digits_build", "The release that runs: version and git revision.", registry=self.registry)
        build.info({"version": version(), "revision": revision()})
        ProcessCollector(registry=self.registry)
        self.registry.register(gateway.answer_seconds)
        self.registry.register(_GatewayState(gateway))
        self._noting = functools.cache(self._metrics_of)

    def note(self, path: str, method: str, status: int, took_s: float) -> None:
        """Count an answered request. All three come from small sets: a client must not be able to make new ones."""
        count, seconds = self._noting(path, method, status)
        count.inc()
        seconds.observe(took_s)

    def _metrics_of(self, path: str, method: str, status: int) -> tuple[Counter, Histogram]:
        return self.requests.labels(path, method, status), self.seconds.labels(path)


class _GatewayState(Collector):
    """Reads the gateway's state at each scrape."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterable[Metric]:
        state = self._gateway.state()
        gauges = {
            "ready": (float(state.ready), "1 if requests can be sent and results be read."),
            "keys_ready": (float(state.keys_ready), "1 if requests with a key can be sent."),
            "answered_per_second": (state.answered_per_s, "Requests that the service answers per second."),
            "waiting_requests": (state.waiting, "Requests of this gateway that are not complete."),
            "buffered_bytes": (state.buffered_bytes, "Payloads that the brokers have not acknowledged."),
            "kept_bytes": (state.kept_bytes, "Answers in memory."),
            "live_readers": (state.live_readers, "Readers of live results."),
            "keys_held": (state.keys_held, "Keys in memory."),
        }
        if state.lag is not None:
            gauges["lag_requests"] = (state.lag, "Requests that the service has not answered, of all senders.")
        if state.delay_s is not None:
            gauges["delay_seconds"] = (state.delay_s, "How long a new request would wait.")
        for name, (value, meaning) in gauges.items():
            yield GaugeMetricFamily(f"digits_gateway_{name}", meaning, value=value)
        counters = {
            "sent": (state.sent, "Requests that were sent."),
            "repeated": (state.repeated, "Requests with a key that were not sent again."),
            "answered": (state.answered, "Answers to requests of this gateway."),
            "refused": (state.refused, "Requests refused because too much was waiting."),
            "keys_forgotten": (state.keys_forgotten, "Keys that had no room in memory."),
            "missed": (state.missed, "Answers that slow readers of live results have lost."),
        }
        for name, (count, meaning) in counters.items():
            yield CounterMetricFamily(f"digits_gateway_{name}", meaning, value=count)
        transactions = CounterMetricFamily(
            "digits_gateway_key_transactions", "Transactions of requests with keys, by their end.", labels=["end"]
        )
        transactions.add_metric(["committed"], state.key_transactions)
        transactions.add_metric(["failed"], state.key_transactions_failed)
        yield transactions
