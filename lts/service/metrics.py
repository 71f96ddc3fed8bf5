"""What a service counts, for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats)."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.process_collector import ProcessCollector

from lts import __version__

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the text format that every version of the library writes."""
_SECONDS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)


class Metrics:
    """Counts of one service; none tells of a patient.

    Args:
        gauges: What is read when somebody asks: by name what it is, and its value.
    """

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Info("lts", "Version of lts.", registry=self._registry).info({"version": __version__})
        self._segmented = Histogram(
            "lts_scan_seconds",
            "Seconds from the first byte of an upload to its result, of scans that were segmented.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._refused = Counter(
            "lts_refused_uploads",
            "Uploads that were refused, by the status of their answer; 500 is a fault of the service.",
            ["status"],
            registry=self._registry,
        )
        self._hung_up = Counter(
            "lts_hung_up_uploads",
            "Uploads whose sender closed the connection before the end of the body, or before the answer.",
            registry=self._registry,
        )
        for name, (what, value) in gauges.items():
            Gauge(name, what, registry=self._registry).set_function(value)

    def segmented(self, seconds: float) -> None:
        """Count a scan that was segmented."""
        self._segmented.observe(seconds)

    def refused(self, status: int) -> None:
        """Count an upload that was refused."""
        self._refused.labels(status=str(status)).inc()

    def hung_up(self) -> None:
        """Count an upload whose sender sends no more, or is gone."""
        self._hung_up.inc()

    def text(self) -> bytes:
        """All of them in the text format."""
        return generate_latest(self._registry)
