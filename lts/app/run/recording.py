"""However a run ends, its record says so."""

from collections.abc import Iterator
from contextlib import contextmanager

from lts.app.run.failures import failure_of
from lts.app.run.provenance import StopMessage
from lts.app.run.signals import StopSignals, stop_signals


@contextmanager
def recorded_run(command: str) -> Iterator[StopMessage]:
    """Within, signals end the run with `Interrupted`, and its record says that, or why it failed.

    Yields:
        What is to be given the record, as soon as there is one.
    """
    stop = StopMessage()
    with stop_signals(stop) as signals, failure_recorded(signals, stop, command=command):
        yield stop


@contextmanager
def failure_recorded(signals: StopSignals, stop: StopMessage, *, command: str) -> Iterator[None]:
    """Note in the record of a run why it failed."""
    try:
        yield
    except Exception as error:
        # What fails while a run is being stopped is no failure of its own.
        if stop.record and signals.received is None:
            failure = failure_of(error, command)
            stop.record.fail(failure.reason, exit_code=failure.exit_code)
        raise
