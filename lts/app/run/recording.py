"""Records the end of a run, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager

from lts.app.run.failures import failure_of
from lts.app.run.provenance import StopMessage
from lts.app.run.signals import StopSignals, stop_signals


@contextmanager
def recorded_run(command: str) -> Iterator[StopMessage]:
    """Context in which signals raise `Interrupted`, and the record notes a stop or failure.

    Yields:
        Set its `record` as soon as there is one.
    """
    stop = StopMessage()
    with stop_signals(stop) as signals, failure_recorded(signals, stop, command=command):
        yield stop


@contextmanager
def failure_recorded(signals: StopSignals, stop: StopMessage, *, command: str) -> Iterator[None]:
    """Context that records why a run failed."""
    try:
        yield
    except Exception as error:
        # What fails while a run is being stopped is no failure of its own.
        if stop.record and signals.received is None:
            failure = failure_of(error, command)
            stop.record.fail(failure.reason, exit_code=failure.exit_code)
        raise
