"""Limits of a service."""

from dataclasses import dataclass

from lts.base import ConfigError

KIB, MIB = 2**10, 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a service.

    Attributes:
        queue_size: Scans that may be uploaded or wait beside those that are predicted.
        max_upload_mib: The largest body of an upload.
        max_unpacked_mib: The most that an archive may unpack to.
        max_files: The most files in an archive.
        max_voxels: Of one scan.
        keep_results: Results kept for viewing; the oldest goes first.
        keep_minutes: How long a result is kept.
        stalled_s: Period in which an upload, or the reading of an answer, must average `least_kib_s`.
        least_kib_s: The lowest rate.
        headers_s: A connection without a complete request for so long is closed.
        max_connections: Maximum number of open connections.
        drain_s: How long accepted scans may take once the service is stopped.

    Raises:
        ConfigError: A bound is not positive.
    """

    queue_size: int
    max_upload_mib: int
    max_unpacked_mib: int
    max_files: int
    max_voxels: int
    keep_results: int
    keep_minutes: float
    stalled_s: float
    least_kib_s: float
    headers_s: float
    max_connections: int
    drain_s: float

    def __post_init__(self) -> None:
        for name, bound in vars(self).items():
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not bound > 0:
                raise ConfigError(f"{name}: must be a number > 0, got {bound!r}")

    @property
    def least_bytes(self) -> float:
        """Bytes that must move in `stalled_s`."""
        return self.least_kib_s * KIB * self.stalled_s
