"""Numbers of a server for Prometheus."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from compacter_cli.serving.asgi import App, Message, Receive, Send
    from compacter_cli.serving.batching import Batch

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Meters:
    """Counts what is asked and answered.

    Attributes:
        media_type: of `text`.
    """

    def __init__(self) -> None:
        prometheus = import_module("prometheus_client")
        self._prometheus = prometheus
        self.media_type: str = prometheus.CONTENT_TYPE_LATEST
        self._registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self._registry)  # memory, processor time, files
        made: dict[str, Any] = {"namespace": "compacter", "registry": self._registry}
        counter, histogram = prometheus.Counter, prometheus.Histogram
        self._texts = counter("texts", "Texts answered, by adapter.", ["adapter"], **made)
        self._responses = counter("responses", "Responses, by status.", ["status"], **made)
        self._failures = counter("failures", "Batches that the model failed on.", **made)
        self._batch_texts = histogram(
            "batch_texts", "Texts computed at once.", buckets=SIZES, **made
        )
        self._batch_adapters = histogram(
            "batch_adapters", "Adapters computed at once.", buckets=SIZES, **made
        )
        self._batch_seconds = histogram(
            "batch_seconds", "Time that a batch takes.", buckets=SECONDS, **made
        )
        self._waiting = prometheus.Gauge("waiting_texts", "Texts that wait.", **made)

    def follow(self, waiting: Callable[[], float]) -> None:
        """Take the number of texts that wait from a function."""
        self._waiting.set_function(waiting)

    def batch(self, batch: Batch) -> None:
        """Count a batch."""
        if batch.failed:
            self._failures.inc()
            return
        by_adapter = Counter(batch.names)
        for name, count in by_adapter.items():
            self._texts.labels(name).inc(count)
        self._batch_texts.observe(len(batch.names))
        self._batch_adapters.observe(len(by_adapter))
        self._batch_seconds.observe(batch.seconds)

    def text(self) -> bytes:
        """All numbers, as Prometheus reads them."""
        return self._prometheus.generate_latest(self._registry)

    def around(self, app: App) -> App:
        """An ASGI application whose responses are counted."""

        async def counted(scope: dict[str, Any], receive: Receive, send: Send) -> None:
            async def counting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._responses.labels(message["status"]).inc()
                await send(message)

            await app(scope, receive, counting)

        return counted
