"""`predictions.json`: what an output folder holds, what is kept, and what must not be replaced."""

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lts.app.commands.earlier_predictions import differences, read_predictions, shown
from lts.base import ConfigError, VolumeError, counted, name_some, natural_key, write_json
from lts.cohort import ScanSource
from lts.slices import content_hash, content_hash_of_all

PREDICTIONS_FILE = "predictions.json"

_WAYS_OUT = "choose another folder, or overwrite=true replaces"
_LISTS = ("cases", "failed", "in_progress")


@dataclass(frozen=True, kw_only=True)
class CaseRequest:
    """A requested case.

    Attributes:
        source: The scan.
        input: Where it lies, as the user knows it.
        files: Names of the requested files, the mask first, relative to the output folder.
        outputs: The settings that request more than the mask, if they are on.
    """

    source: ScanSource
    input: str
    files: tuple[str, ...]
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def case(self) -> str:
        """Its name."""
        return self.source.case

    @cached_property
    def scan_sha256(self) -> str:
        """Hash of the scan: of its file, or of all files of its series in any order.

        If one acquisition of a series is chosen, its label counts too.

        Raises:
            VolumeError: A file cannot be read.
        """
        series = self.source.series
        try:
            if series is None:
                return content_hash(self.source.path)
            files = content_hash_of_all(series.files)
            return f"{files}, acquisition {series.acquisition}" if series.acquisition else files
        except OSError as error:
            raise VolumeError(f"{error.filename}: cannot be read: {error.strerror}") from error


class Predictions:
    """The record of an output folder. It is written before and after each case.

    A case whose files are being written is listed under `in_progress`; after a kill, a resumed run may
    replace these files.

    Args:
        folder: The output folder.
        facts: How masks were made: `regions`, `checkpoints`, `settings`, `device`,
            `versions`.
        latest: Further entries on the last run.
        part: File of the record of one of several processes that predict into the folder at once; what
            `predictions.json` says is known, but left for `merge_part` to change. None for the only process.

    Raises:
        ConfigError: The file there is damaged, or another program's.
    """

    def __init__(
        self,
        folder: Path,
        facts: Mapping[str, Any],
        *,
        latest: Mapping[str, Any] | None = None,
        part: Path | None = None,
    ) -> None:
        self._folder, self._facts, self._latest = folder, dict(facts), dict(latest or {})
        self._part = part
        self._of_part: frozenset[str] = frozenset()
        self._on_disk = read_predictions(folder / PREDICTIONS_FILE)
        self.cases = {row["case"]: row for row in self._on_disk.get("cases", ())}
        self.failed = {row["case"]: row for row in self._on_disk.get("failed", ())}
        self._in_progress: list[str] = list(self._on_disk.get("in_progress", ()))
        self._others = {
            name: value
            for name, value in self._on_disk.items()
            if name not in (*_LISTS, *self._facts, *self._latest)
        }
        self._made_by = {name: self._on_disk[name] for name in facts} if self.cases else self._facts
        self._replaced: dict[str, str] = {}  # cases of other models or settings, and the difference

    def to_do(
        self, wanted: Sequence[CaseRequest], *, overwrite: bool, named: Collection[str] = ()
    ) -> list[CaseRequest]:
        """The cases to predict: all but those that exist, whole and of the same scan, models and settings.

        Args:
            wanted: The requested cases, of this part.
            overwrite: Whether cases that differ may be replaced.
            named: The requested cases of the other parts.

        Raises:
            ConfigError: Something would be replaced that must not be.
        """
        self._of_part = frozenset(one.case for one in wanted)
        if self._part:
            self._latest["overwrites"] = overwrite
            self._check_alike_beside(self._part)
        longest = os.pathconf(self._folder, "PC_NAME_MAX")
        self._check_made_alike({*named, *(one.case for one in wanted)}, overwrite=overwrite)
        todo = []
        for one in wanted:
            for name in one.files:
                if len(os.fsencode(Path(name).name)) > longest:
                    raise ConfigError(f"output: names of files must have at most {longest} bytes, got {name}")
            is_whole, problem = self._state_of(one)
            if problem and not overwrite:
                raise ConfigError(f"output: {problem}; {_WAYS_OUT} it")
            if is_whole:
                self.failed.pop(one.case, None)
            else:
                todo.append(one)
        return todo

    def _check_alike_beside(self, part: Path) -> None:
        """Check that parts that have begun make masks alike: two processors may choose another precision."""
        for other in sorted(part.parents[1].glob(f"*/{part.name}")):
            begun = {} if other == part else read_predictions(other)
            if begun and (difference := next(differences(begun, self._facts), None)):
                raise ConfigError(
                    f"output: {other.parent} is being made with {difference}; give all shards the same"
                )

    def _check_made_alike(self, names: set[str], *, overwrite: bool) -> None:
        """Check that existing masks were made like the new ones; forget those that may be replaced."""
        difference = next(differences(self._made_by, self._facts), None)
        if difference is None:
            return
        if not overwrite:
            raise ConfigError(f"output: {self._folder} holds masks made with {difference}; {_WAYS_OUT} them")
        if others := self.cases.keys() - names:
            raise ConfigError(
                f"output: {self._folder} holds masks of other scans than the input's, {name_some(others)}, "
                f"made with {difference}; choose another folder"
            )
        self._replaced = dict.fromkeys(self.cases, difference)
        self.cases.clear()
        self._made_by = self._facts

    def _state_of(self, one: CaseRequest) -> tuple[bool, str]:
        """Whether a case exists and is whole; if not, why it must not be replaced, "" if it may."""
        if one.case in self._in_progress:
            return False, ""
        row = self.cases.get(one.case)
        if row is None:
            return False, self._foreign_file(one, known={})
        try:
            changed = self._changed(one, row)
        except VolumeError:  # fails when its turn comes, and stops no other
            return False, ""
        if changed:
            return False, changed
        known = row["files_sha256"]
        is_whole = all((self._folder / name).exists() for name in one.files if name in known)
        return is_whole, "" if is_whole else self._foreign_file(one, known=known)

    def _changed(self, one: CaseRequest, row: Mapping[str, Any]) -> str:
        """The difference between an existing case and the requested one, "" for none."""
        if "scan_sha256" not in row:
            return (
                f"{self._folder} holds {one.case} without the hash of its scan, by an earlier version of lts"
            )
        if row["scan_sha256"] != one.scan_sha256:
            return f"{self._folder} holds the mask of another scan as {one.case}, of {row.get('input')}"
        for name, value in one.outputs.items():
            made = row["outputs"].get(name, False)
            if made != value:
                return f"{self._folder} holds {one.case} made with {name}={shown(made)}, now {shown(value)}"
        for name in one.files:
            path, known = self._folder / name, row["files_sha256"].get(name)
            if known and path.exists() and content_hash(path) != known:
                return f"{path} has changed since it was written"
        return ""

    def _foreign_file(self, one: CaseRequest, *, known: Mapping[str, str]) -> str:
        there = (self._folder / name for name in one.files if name not in known)
        return next((f"{path} is there already" for path in there if path.exists()), "")

    def describe_kept(self, kept: Sequence[CaseRequest]) -> str:
        """A line on the kept cases, "" for none."""
        if not kept:
            return ""
        ours = self._facts["versions"]["lts"]
        makers = {self.cases[one.case].get("versions", self._made_by["versions"]).get("lts") for one in kept}
        others = ", ".join(sorted(str(version) for version in makers - {ours}))
        by = f"; made by lts {others}, this is {ours}" if others else ""
        return f"kept {counted(len(kept), 'mask')} of unchanged scans, models and settings{by}"

    def begin(self, one: CaseRequest) -> None:
        """Record that the files of a case are about to be written.

        Raises:
            StorageError: The record cannot be written.
        """
        if one.case not in self._in_progress:
            self._in_progress.append(one.case)
        self.write()

    def add(self, one: CaseRequest, row: Mapping[str, Any]) -> None:
        """Record a case whose files are written, in place of its old row."""
        made_by = {
            name: self._facts[name]
            for name in ("device", "versions")
            if self._facts[name] != self._made_by[name]
        }
        self.cases[one.case] = {
            **row,
            "scan_sha256": one.scan_sha256,
            "files_sha256": {
                name: content_hash(path) for name in one.files if (path := self._folder / name).exists()
            },
            "outputs": dict(one.outputs),
            **made_by,
        }
        self._in_progress.remove(one.case)
        self.failed.pop(one.case, None)

    def fail(self, one: CaseRequest, reason: str) -> str:
        """Record a failed case; returns the reason, with a note on an earlier mask that is left."""
        mask, difference = self._folder / one.files[0], self._replaced.get(one.case)
        if difference and mask.exists():
            reason = f"{reason}; {mask} is still the one made with {difference}"
        self.failed[one.case] = {"case": one.case, "input": one.input, "reason": reason}
        self._in_progress.remove(one.case)
        return reason

    def write(self) -> None:
        """Write the record if it has changed.

        Raises:
            StorageError: It cannot be written.
        """
        in_progress = [case for case in self._in_progress if self._is_recorded(case)]
        content: dict[str, Any] = {
            "cases": [row for row in self.cases.values() if self._is_recorded(row["case"])],
            "failed": [row for row in self.failed.values() if self._is_recorded(row["case"])],
            **self._made_by,
            **self._latest,
            **self._others,
            **({"in_progress": in_progress} if in_progress else {}),
        }
        content = json.loads(json.dumps(content))  # as it will be read
        if content != self._on_disk:
            write_json(self._part or self._folder / PREDICTIONS_FILE, content)
            self._on_disk = content

    def _is_recorded(self, case: str) -> bool:
        return self._part is None or case in self._of_part


def merge_part(folder: Path, part: Path) -> None:
    """Enter the record of one of several processes into `predictions.json`, and remove it.

    Args:
        folder: The output folder, locked.
        part: As of `Predictions`; it may be missing.

    Raises:
        ConfigError: A record is damaged.
        StorageError: `predictions.json` cannot be written.
    """
    new = read_predictions(part)
    if not new:
        return
    old = read_predictions(folder / PREDICTIONS_FILE)
    overwrites = new.pop("overwrites", False)
    if old.get("cases") and (difference := next(differences(old, new), None)):
        if not overwrites:  # as of two shards that began together, of two models
            raise ConfigError(
                f"output: {folder} holds masks made with {difference}; the latter are those of {part}: "
                f"remove it, or {PREDICTIONS_FILE}, whichever is not wanted"
            )
        old = {}  # all of its masks are among those asked for anew
    made_by = old if old.get("cases") else new
    done = {row["case"] for row in (*new["cases"], *new["failed"])}
    cases = {row["case"]: row for row in old.get("cases", ())}
    for row in new["cases"]:
        own = {name: new[name] for name in ("device", "versions") if new[name] != made_by[name]}
        cases[row["case"]] = {**own, **row}
    failed = [row for row in old.get("failed", ()) if row["case"] not in done]
    in_progress = {case for case in old.get("in_progress", ()) if case not in done}
    in_progress.update(new.get("in_progress", ()))
    content = {
        **new,
        **made_by,
        "passed_over": new["passed_over"],
        "cases": _by_case(cases.values()),
        "failed": _by_case([*failed, *new["failed"]]),
        "in_progress": sorted(in_progress),
    }
    if not in_progress:
        del content["in_progress"]
    write_json(folder / PREDICTIONS_FILE, content)
    part.unlink()


def _by_case(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: natural_key(row["case"]))
