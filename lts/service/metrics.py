"""What a service counts, for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats)."""

from collections.abc import Callable, Mapping
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.process_collector import ProcessCollector

from lts import __version__
from lts.inference import DICOM_NAMES

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the text format that every version of the library writes."""
_SECONDS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_INSTANCES = ("received", "passed_over", "refused")
_SERIES = ("sent", "known", "dropped", "refused", "given_up")
_RESULTS = ("sent", "refused", "given_up")


class Metrics:
    """Counts of one service; none tells of a patient.

    Args:
        gauges: What is read when somebody asks: by name what it is, and its value.

    Attributes:
        pacs: Counts of what comes from a PACS and goes back.
    """

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Info("lts", "Version of lts.", registry=self._registry).info({"version": __version__})
        self._segmented = Histogram(
            "lts_scan_seconds",
            "Seconds from the first byte of an upload, or the end of a series, to its result.",
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
        self.pacs = PacsCounts(self._registry)
        for name, (what, value) in gauges.items():
            self.gauge(name, what, value)

    def gauge(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Tell a value, which is read when somebody asks."""
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


class PacsCounts:
    """Counts of what comes from a PACS and goes back.

    Args:
        registry: Tells them.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._instances = Counter(
            "lts_pacs_instances",
            "Instances that a PACS has sent: received, passed_over as no rule chooses them, or refused.",
            ["outcome"],
            registry=registry,
        )
        self._series = Counter(
            "lts_pacs_series",
            "Series by what became of them: sent where the PACS has all results that could be made, given_up "
            "where it did not take one, known where they were answered before.",
            ["outcome"],
            registry=registry,
        )
        self._results = Counter(
            "lts_pacs_results",
            "Results of series: sent, refused as one alone could not be made, or given_up.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._retries = Counter(
            "lts_pacs_retries",
            "Results that the PACS did not take and that wait to be sent again.",
            registry=registry,
        )
        self._rejected = Counter(
            "lts_pacs_rejected_associations",
            "Associations refused: an unknown AE title, or too many at a time.",
            registry=registry,
        )
        for counter, outcomes in ((self._instances, _INSTANCES), (self._series, _SERIES)):
            for outcome in outcomes:
                counter.labels(outcome=outcome)  # or it would not be told before the first
        for kind, outcome in product(DICOM_NAMES, _RESULTS):
            self._results.labels(kind=kind.removeprefix("dicom_"), outcome=outcome)

    def instance(self, outcome: str) -> None:
        """Count an instance."""
        assert outcome in _INSTANCES
        self._instances.labels(outcome=outcome).inc()

    def series(self, outcome: str) -> None:
        """Count a series."""
        assert outcome in _SERIES
        self._series.labels(outcome=outcome).inc()

    def result(self, kind: str, outcome: str) -> None:
        """Count a result.

        Args:
            kind: As `DICOM_NAMES` has it.
            outcome: What became of it.
        """
        assert kind in DICOM_NAMES
        assert outcome in _RESULTS
        self._results.labels(kind=kind.removeprefix("dicom_"), outcome=outcome).inc()

    def retried(self) -> None:
        """Count a result that is to be sent again."""
        self._retries.inc()

    def rejected(self) -> None:
        """Count an association that is refused."""
        self._rejected.inc()
