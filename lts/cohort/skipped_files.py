"""Files in a folder of scans that are skipped, listed by count and name."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from lts.base import counted, listed, natural_key, short_name
from lts.cohort.files import is_hidden
from lts.volume import conversion_advice, is_unread

_MOST_NAMED = 5


def describe_skipped(others: Iterable[Path], *, folder: Path) -> list[str]:
    """A sentence for each kind of skipped file.

    Args:
        others: Files, and folders that were not entered.
        folder: The folder that they are in.
    """
    links: list[Path] = []
    formats: list[Path] = []
    files: list[Path] = []
    for path in others:
        is_other_format = is_unread(path) and not is_hidden(path)
        kind = links if path.is_dir() and path.is_symlink() else formats if is_other_format else files
        kind.append(path)
    return [
        *describe_files(links, "linked folder", folder=folder, advice="; name what it leads to"),
        *describe_files(
            formats,
            "file of another format",
            "files of other formats",
            folder=folder,
            advice=f"; {conversion_advice()}",
        ),
        *describe_files(files, "other file", folder=folder),
    ]


def describe_files(
    paths: Sequence[Path], one: str, many: str = "", *, folder: Path, advice: str = ""
) -> list[str]:
    """`["2 masks (a.nii, below/b.nii)"]`, with paths relative to a folder; empty for no files.

    Args:
        paths: The files.
        one: Their name in the singular.
        many: The plural; by default `one` with an s.
        folder: The folder that they are in.
        advice: What to do about it.
    """
    names = sorted((path.relative_to(folder).as_posix() for path in paths), key=natural_key)
    return [f"{counted(len(names), one, many)} ({first_names(names)}){advice}"] if names else []


def first_names(names: Iterable[str]) -> str:
    """The first names, each on one line and short, and how many more there are."""
    return listed(map(short_name, names), most=_MOST_NAMED)
