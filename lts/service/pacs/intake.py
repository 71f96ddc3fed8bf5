"""Instances put together into series: which are wanted, how much there may be, when one is complete."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import Path

from lts.base import VolumeError, counted, listed, short_name, shortened
from lts.service.folder import PrivateFolder
from lts.service.metrics import PacsCounts
from lts.service.pacs.options import PacsOptions
from lts.service.settings import MIB
from lts.volume import DicomIdentity, read_identity

_MOST_NAMED = 5
_MOST_TOLD = 5
"""Refusals of one sender that are logged; all are counted."""
_LONGEST_REASON = 300


class Status(IntEnum):
    """What the sender of an instance is told; the same numbers in both protocols.

    See PS3.4 table B.2-1 for C-STORE, PS3.18 I.2.2 for STOW-RS.
    """

    TAKEN = 0x0000
    NO_ROOM = 0xA700
    NO_MATCH = 0xA900
    """The data set is not the instance that it was announced as."""
    NOT_UNDERSTOOD = 0xC000


@dataclass(frozen=True)
class Taken:
    """What became of an instance.

    Attributes:
        status: For its sender.
        identity: Which instance it is; None where that cannot be read.
    """

    status: Status
    identity: DicomIdentity | None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which instances are wanted.

    Attributes:
        modality: DICOM's, such as "CT".
        description: A pattern for the SeriesDescription; None for any.

    Example:
        >>> instance = dict(sop_class_uid="1.2", sop_instance_uid="1.3", series_uid="1.4")
        >>> rule = Rule(modality="CT", description="*venous*")
        >>> rule.takes(DicomIdentity(**instance, modality="CT", description="Portal Venous 3.0"))
        True
        >>> rule.takes(DicomIdentity(**instance, modality="SR", description="Portal Venous 3.0"))
        False
    """

    modality: str
    description: str | None

    def takes(self, identity: DicomIdentity) -> bool:
        """Whether an instance is wanted."""
        if identity.modality != self.modality:
            return False
        return self.description is None or fnmatchcase(
            identity.description.casefold(), self.description.casefold()
        )


@dataclass(eq=False)
class Sender:
    """Who sends instances: an association, or a request over HTTP.

    Attributes:
        name: For the log.
        began_s: When it began.
        ended: Whether it has ended.
        folder: For files that have not been looked at; made with the first.
        passed_over: Instances that are not wanted, by modality.
        lost: Series of which it sent what was refused or dropped; what comes of them later is refused.
        incomplete: Series of which an instance of it was refused.
        n_files: Files that it has been given.
        n_refused: Instances of it that were refused.
        n_of_unknown: Those of them of which nobody can tell the series.
    """

    name: str
    began_s: float
    ended: bool = False
    folder: Path | None = None
    passed_over: Counter[str] = field(default_factory=Counter)
    lost: set[str] = field(default_factory=set)
    incomplete: set[str] = field(default_factory=set)
    n_files: int = 0
    n_refused: int = 0
    n_of_unknown: int = 0


@dataclass(eq=False)
class Series:
    """A series that has come, wholly or in part.

    Attributes:
        uid: SeriesInstanceUID.
        folder: Its own.
        last_s: When the last of it came, or the last of its senders ended.
        instances: SOPInstanceUIDs.
        n_bytes: Of their files.
        senders: Those that send it and have not ended.
        cut_s: When one of them was cut short or refused a part; None where none was, or all has been sent
            again since.
        too_large: Whether it is beyond the limit; then nothing is kept of it.
    """

    uid: str
    folder: Path
    last_s: float
    instances: set[str] = field(default_factory=set)
    n_bytes: int = 0
    senders: set[Sender] = field(default_factory=set)
    cut_s: float | None = None
    too_large: bool = False

    @property
    def files(self) -> Path:
        """The folder of its files alone."""
        return self.folder / "series"

    def __str__(self) -> str:
        return f"series {self.uid}"


class Intake:
    """Takes instances from several threads, and gives series when they are complete.

    A series is complete when all who sent of it ended well, and nothing of it has come for a while: a study
    may come by several associations or requests. Where one was cut short, or an instance was refused that is
    of the series or may be, nobody can tell what is missing, so the series waits until a later sender has
    sent it again and ended well, or is dropped.

    Args:
        folder: Where files are kept.
        rule: Which instances are wanted.
        options: Limits and times.
        counts: What is counted.
        log: Called with one line at a time.
        clock: Returns seconds.
    """

    def __init__(
        self,
        folder: PrivateFolder,
        *,
        rule: Rule,
        options: PacsOptions,
        counts: PacsCounts,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._rule, self._options = folder, rule, options
        self._counts, self._log, self._clock = counts, log, clock
        self._lock = threading.Lock()
        self._coming: dict[str, Series] = {}
        self._held: set[Series] = set()
        self._closed = False

    @property
    def held(self) -> int:
        """How many series are held, complete or not."""
        return len(self._held)

    @property
    def given(self) -> int:
        """How many series were given when they were complete, and are not let go of."""
        with self._lock:
            return len(self._held.difference(self._coming.values()))

    def begin(self, name: str) -> Sender:
        """Somebody begins to send."""
        return Sender(name, self._clock())

    def new_file(self, sender: Sender) -> Path:
        """Where the next instance of a sender is to be written, before it is taken.

        Raises:
            OSError: There is no room for it, or the sender has ended.
        """
        with self._lock:
            if sender.ended:
                raise FileNotFoundError(f"{sender.name} has ended")
            if sender.folder is None:
                sender.folder = self._folder.new("sender-")
            sender.n_files += 1
            return sender.folder / f"{sender.n_files}.dcm"

    def no_room(self, sender: Sender, error: OSError) -> Taken:
        """An instance could not be written."""
        return self.refuse(sender, Status.NO_ROOM, f"an instance cannot be stored: {error.strerror or error}")

    def take(self, sender: Sender, path: Path, *, announced: tuple[str, str] | None = None) -> Taken:
        """Take an instance, or refuse it, or pass it over; its file is moved or removed.

        Args:
            sender: Who sent it.
            path: Its file, from `new_file`.
            announced: SOP class and instance UID that the protocol named; None where it names none.
        """
        try:
            taken = self._take(sender, path, announced=announced)
        except OSError as error:
            taken = self.no_room(sender, error)
        finally:
            path.unlink(missing_ok=True)
        return taken

    def _take(self, sender: Sender, path: Path, *, announced: tuple[str, str] | None) -> Taken:
        try:
            identity = read_identity(path)
        except VolumeError as error:
            return self.refuse(sender, Status.NOT_UNDERSTOOD, _without(path, error))
        own = (identity.sop_class_uid, identity.sop_instance_uid)
        if announced is not None and own != announced:
            why = f"an instance was announced as {' '.join(announced)} and is {' '.join(own)}"
            return self.refuse(sender, Status.NO_MATCH, why, identity)
        if not self._rule.takes(identity):
            self._counts.instance("passed_over")
            sender.passed_over[short_name(identity.modality) or "no modality"] += 1
            return Taken(Status.TAKEN, identity)
        with self._lock:
            no_room = self._put(sender, path, identity)
        if no_room is not None:
            return self.refuse(sender, Status.NO_ROOM, no_room, identity)
        self._counts.instance("received")
        return Taken(Status.TAKEN, identity)

    def refuse(
        self, sender: Sender, status: Status, why: str, identity: DicomIdentity | None = None
    ) -> Taken:
        """Refuse an instance.

        Args:
            sender: Who sent it.
            status: For its sender.
            why: For the log; "" where that has been told.
            identity: Which instance it is; None where that cannot be read.
        """
        self._counts.instance("refused")
        with self._lock:
            sender.n_refused += 1
            if identity is None or status is Status.NO_MATCH:
                sender.n_of_unknown += 1
            else:
                sender.incomplete.add(identity.series_uid)
            is_told = bool(why) and sender.n_refused <= _MOST_TOLD
        if is_told:
            self._log(f"{sender.name}: {why}")
        return Taken(status, identity)

    def _put(self, sender: Sender, path: Path, identity: DicomIdentity) -> str | None:
        """Move an instance into its series.

        Returns:
            None, or why there is no room for it, "" where that has been told.

        Raises:
            OSError: It cannot be moved.
        """
        uid, options = identity.series_uid, self._options
        if sender.ended or self._closed or uid in sender.lost:
            return ""
        series = self._coming.get(uid)
        if series is None:
            if len(self._held) >= options.max_series:
                sender.lost.add(uid)
                return f"series {uid}: refused, {options.max_series} series are held, which is the most"
            series = self._open(uid)
        series.senders.add(sender)
        series.last_s = self._clock()
        if series.too_large:
            return ""
        if identity.sop_instance_uid in series.instances:
            return None  # sent again, as after an association that was cut short
        n_bytes = path.stat().st_size
        if series.n_bytes + n_bytes > options.max_series_mib * MIB:
            series.too_large = True
            for file in series.files.iterdir():
                file.unlink()
            self._counts.series("refused")
            return f"{series}: refused, it must have at most {options.max_series_mib} MiB"
        path.rename(series.files / f"{len(series.instances) + 1}.dcm")
        series.instances.add(identity.sop_instance_uid)
        series.n_bytes += n_bytes
        return None

    def _open(self, uid: str) -> Series:
        """Begin a series.

        Raises:
            OSError: There is no room for it.
        """
        series = Series(uid, self._folder.new("series-"), self._clock())
        try:
            series.files.mkdir(mode=0o700)
        except OSError:
            self._folder.remove(series.folder)
            raise
        self._coming[uid] = series
        self._held.add(series)
        return series

    def end(self, sender: Sender, *, whole: bool) -> None:
        """A sender has ended.

        Args:
            sender: Who.
            whole: Whether it ended in good order, and was not cut short.
        """
        now = self._clock()
        with self._lock:
            if sender.ended:
                return
            sender.ended = True
            sent = [series for series in self._coming.values() if sender in series.senders]
            cut = [one for one in sent if not whole or sender.n_of_unknown or one.uid in sender.incomplete]
            for series in sent:
                series.senders.discard(sender)
                series.last_s = now
                if series in cut:
                    series.cut_s = now
                elif series.cut_s is not None and sender.began_s >= series.cut_s:
                    series.cut_s = None
        if sender.folder is not None:
            self._folder.remove(sender.folder)
        if kept_back := [str(series) for series in cut if not series.too_large]:
            what = f"{counted(sender.n_refused, 'instance')} refused" if whole else "cut short"
            names = listed(kept_back, most=_MOST_NAMED)
            kept = f"is kept {self._options.drop_s:g} s, for it to be sent again"
            self._log(f"{sender.name}: {what}; what came of {names} {kept}")
        if sender.passed_over:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(sender.passed_over.items()))
            total = counted(sender.passed_over.total(), "instance")
            self._log(f"{sender.name}: passed over {total} that no rule chooses: {kinds}")

    def complete(self) -> list[Series]:
        """The series that have become complete since the last call; those that are too old are dropped."""
        now, options = self._clock(), self._options
        found: list[Series] = []
        old: list[Series] = []
        with self._lock:
            for series in list(self._coming.values()):
                silent_s = now - series.last_s
                is_over = not series.senders and silent_s >= options.quiet_s
                if is_over and series.cut_s is None and not series.too_large:
                    found.append(series)
                elif silent_s >= options.drop_s or (is_over and series.too_large):
                    old.append(series)
                else:
                    continue
                del self._coming[series.uid]
                for sender in series.senders:
                    sender.lost.add(series.uid)
        for series in old:
            ending = "has not ended" if series.senders else "was cut short or refused a part of it"
            self._drop(series, f"nothing of it came for {options.drop_s:g} s, and its sender {ending}")
        return found

    def release(self, series: Series) -> None:
        """Let go of a series that was given out, and remove its files."""
        self._folder.remove(series.folder)
        with self._lock:
            self._held.discard(series)

    def close(self) -> None:
        """Take nothing more, and drop what is not complete."""
        with self._lock:
            self._closed = True
            coming = list(self._coming.values())
            self._coming.clear()
        for series in coming:
            self._drop(series, "the service is stopping")

    def _drop(self, series: Series, why: str) -> None:
        if not series.too_large:  # which has been told
            self._counts.series("dropped")
            self._log(f"{series}: dropped with {counted(len(series.instances), 'instance')}: {why}")
        self.release(series)


def _without(path: Path, error: VolumeError) -> str:
    """A message about an instance that shows no path of this machine."""
    return shortened(str(error).replace(f"{path}: ", "an instance cannot be read: "), most=_LONGEST_REASON)
