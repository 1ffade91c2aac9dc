"""What a server tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


class Metrics:
    """The counters of one server."""

    def __init__(self):
        registry = self.registry = CollectorRegistry()
        names = ("path", "status")
        self.requests = Counter("comsl_requests", "Requests answered", names, registry=registry)
        self.seconds = Histogram(
            "comsl_request_seconds", "Time until the answer", ("path",), registry=registry
        )
        self.audio = Counter("comsl_audio_seconds", "Audio heard", registry=registry)
        self.open = Gauge("comsl_open_requests", "Requests not answered yet", registry=registry)
        self.waiting = Gauge("comsl_waiting_pieces", "Pieces of speech", registry=registry)
        self.batch = Histogram(
            "comsl_batch_pieces", "Pieces of speech in a batch",
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry,
        )  # fmt: skip

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self.requests.labels(path, status).inc()
        self.seconds.labels(path).observe(seconds)

    def render(self) -> tuple[bytes, int, dict[str, str]]:
        """Content, status and headers of /metrics."""
        return generate_latest(self.registry), 200, {"Content-Type": CONTENT_TYPE_LATEST}
