"""What a service allows and keeps."""

from dataclasses import dataclass

from lts.base import ConfigError

KIB, MIB = 2**10, 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds within which a service works.

    Attributes:
        queue_size: Scans that may be uploaded or wait beside those that are predicted.
        max_upload_mib: The largest body of an upload.
        max_unpacked_mib: The most that an archive may unpack to.
        max_files: The most files in an archive.
        max_voxels: Of one scan.
        keep_results: Results kept for viewing; the oldest goes first.
        keep_minutes: How long a result is kept.
        stalled_s: In so many seconds `least_kib_s` a second must come of an upload, or be taken of an answer.
        least_kib_s: See there.
        headers_s: A connection that brings no whole request for so long is closed.
        max_connections: Open at a time.
        drain_s: How long work in hand may take once the service is told to stop.

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
        """What must come or go in `stalled_s`, in bytes."""
        return self.least_kib_s * KIB * self.stalled_s
