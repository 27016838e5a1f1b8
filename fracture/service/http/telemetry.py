"""What the operator can watch: counts and times as Prometheus reads them. Nothing in a label comes from a request."""

from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STAGES = ("upload", "queue", "decode", "network", "draw")

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Telemetry:
    """The counters of one service, separate from those of any other in the process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._stages = Histogram(
            "fracture_stage_seconds",
            "Time in a stage: of a request in upload, of a film in the others; queue is its wait for each of those.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._requests = Histogram(
            "fracture_request_seconds",
            "Time from a request's head to the end of its answer.",
            ["route", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._refusals = Counter(
            "fracture_refusals",
            "Refusals by code: of whole requests, and of films beside others that were read.",
            ["code"],
            registry=self._registry,
        )
        self._films = Counter("fracture_films", "Films read, by status.", ["status"], registry=self._registry)
        self.inside = Gauge("fracture_requests_inside", "Requests being served or waiting.", registry=self._registry)
        self._model = Gauge(
            "fracture_model_info", "The model that serves.", ["model_id", "version", "backend"], registry=self._registry
        )
        self._confinement = Gauge(
            "fracture_sandbox_confinement",
            "1 for a mechanism that holds the processes that decode films, 0 where this system does not have it.",
            ["mechanism"],
            registry=self._registry,
        )
        for stage in STAGES:
            self._stages.labels(stage)

    def stage(self, name: str, seconds: float) -> None:
        """Record how long a film, or a request's upload, was in one of `STAGES`."""
        self._stages.labels(name).observe(seconds)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Record a request; ``route`` is the route's own path, never the address that was requested."""
        self._requests.labels(route, str(status)).observe(seconds)

    def refusal(self, code: str) -> None:
        """Count a refusal."""
        self._refusals.labels(code).inc()

    def film(self, status: str | None) -> None:
        """Count a film that was read."""
        self._films.labels(status or "unknown").inc()

    def model(self, model_id: str, version: str, backend: str) -> None:
        """Name the model that serves."""
        self._model.labels(model_id, version, backend).set(1)

    def confinement(self, held: Mapping[str, bool]) -> None:
        """Record what confines the processes that decode films."""
        for mechanism, holds in held.items():
            self._confinement.labels(mechanism).set(holds)

    def text(self) -> bytes:
        """Give everything in Prometheus' text format."""
        return generate_latest(self._registry)
