"""Sends the results of a series until the PACS has all of them, or for so long as it is told."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from lts.inference import DICOM_NAMES
from lts.service.dicom_files import names_by_reason
from lts.service.metrics import PacsCounts
from lts.service.pacs.delivery import UndeliveredError, delivery_to
from lts.service.pacs.options import PacsOptions

_LONGEST_WAIT_S = 300.0
_AFTER_ITS_SEG = "it is sent after its DICOM SEG"


class Outbox:
    """Sends results where the options say, for as long as they say.

    Args:
        options: Where and how long.
        counts: What is counted.
        log: Called with one line at a time.
    """

    def __init__(self, options: PacsOptions, *, counts: PacsCounts, log: Callable[[str], None]) -> None:
        self._options, self._counts, self._log = options, counts, log
        self._delivery = delivery_to(options)

    async def send(
        self, name: str, files: Mapping[str, Path], *, on_taken: Callable[[], Awaitable[None]]
    ) -> bool:
        """Send the results of a series, again and again with growing waits until all are taken.

        Each is tried whatever becomes of the others, but a report is sent after the SEG that it refers to. A
        reason is told once, and again when it is the last.

        Args:
            name: Of the series, for the log.
            files: By kind, in the order in which they are sent.
            on_taken: Called when one has been taken.

        Returns:
            Whether all have been; the others are given up.
        """
        options, waiting = self._options, dict(files)
        start, wait_s = monotonic(), options.retry_s
        told: set[str] = set()
        while True:
            reasons = await self._try_each(name, waiting, on_taken)
            if not reasons:
                return True
            waiting = {kind: waiting[kind] for kind in reasons}
            is_last = monotonic() + wait_s > start + 60 * options.send_minutes
            ending = f"tried again in {wait_s:g} s and so on"
            if is_last:
                ending = f"given up after {options.send_minutes:g} minutes"
            for reason, names in names_by_reason(reasons).items():
                line = f"{name}: {options.node} did not take {', '.join(names)}: {reason}"
                if is_last or line not in told:
                    told.add(line)
                    self._log(f"{line}; {ending}")
            for kind in reasons:
                if is_last:
                    self._counts.result(kind, "given_up")
                else:
                    self._counts.retried()
            if is_last:
                return False
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, max(_LONGEST_WAIT_S, options.retry_s))

    def close(self) -> None:
        """End what is being sent."""
        self._delivery.close()

    async def _try_each(
        self, name: str, waiting: Mapping[str, Path], on_taken: Callable[[], Awaitable[None]]
    ) -> dict[str, str]:
        """Try each once.

        Returns:
            By kind, why it was not taken.
        """
        reasons: dict[str, str] = {}
        for kind, path in waiting.items():
            if kind == "dicom_sr" and "dicom_seg" in reasons:
                reasons[kind] = _AFTER_ITS_SEG
                continue
            try:
                await asyncio.wrap_future(_in_thread(partial(self._delivery.send, path)))
            except UndeliveredError as error:
                reasons[kind] = str(error)
            else:
                self._counts.result(kind, "sent")
                self._log(f"{name}: {self._options.node} has taken {DICOM_NAMES[kind]}")
                await on_taken()
        return reasons


def _in_thread(work: Callable[[], Any]) -> "Future[Any]":
    """The outcome of some work in a thread that does not keep the process when it is to end."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # it cannot be canceled, only left alone

    def run() -> None:
        try:
            outcome = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(outcome)

    threading.Thread(target=run, name="lts-delivery", daemon=True).start()
    return future
