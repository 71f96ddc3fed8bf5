"""The private folder: what is let go leaves it, whatever fails, and it is there when it is needed."""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lts.base import StorageError
from lts.service.folder import PrivateFolder, remove_tree


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go in this test."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def folder(temporary: Path, lines: list[str]) -> Iterator[PrivateFolder]:
    made = PrivateFolder(log=lines.append)
    yield made
    made.close()
    assert list(temporary.iterdir()) == []


def nest(folder: Path, depth: int) -> None:
    """Folders in each other, each with a file, deeper than one path can say."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        for _ in range(depth):
            Path("scan.nii").write_bytes(b"scan")
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.chdir(before)


def test_a_tree_of_any_depth_is_removed(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    nest(tmp_path / "tree", 3000)  # paths end at 4096 bytes, recursion at a depth of 1000
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []
    remove_tree(tmp_path / "tree")  # gone already


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "file").write_bytes(b"of somebody else")
    (tmp_path / "tree" / "in").mkdir(parents=True)
    (tmp_path / "tree" / "in" / "link").symlink_to(tmp_path / "others")
    (tmp_path / "tree" / "file").symlink_to(tmp_path / "others" / "file")
    remove_tree(tmp_path / "tree")
    assert (tmp_path / "others" / "file").read_bytes() == b"of somebody else"
    assert not (tmp_path / "tree").exists()


def test_folders_that_let_nobody_in_are_removed(tmp_path: Path) -> None:
    locked = tmp_path / "tree" / "locked"
    locked.mkdir(parents=True)
    (locked / "scan.nii").write_bytes(b"scan")
    locked.chmod(0)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


def refuse_to_unlink(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A file whose name cannot be removed, as on a network drive while somebody has it open."""
    unlink = Path.unlink

    def refuse(path: Path, *arguments: Any, **options: Any) -> None:
        if path.name == name:
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, *arguments, **options)

    monkeypatch.setattr(Path, "unlink", refuse)


def test_what_cannot_be_removed_is_emptied_told_once_and_tried_again(
    folder: PrivateFolder, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, other = folder.new("upload-"), folder.new("upload-")
    for name in ("busy.nii", "free.nii"):
        (upload / name).write_bytes(b"scan")
    with monkeypatch.context() as change:
        refuse_to_unlink(change, "busy.nii")
        folder.remove(upload)
        assert [(path.name, path.stat().st_size) for path in upload.iterdir()] == [("busy.nii", 0)]
        folder.sweep()
    assert lines == [f"{upload}: cannot be removed yet: Operation not permitted"]
    folder.sweep()
    assert list(folder.path.iterdir()) == [other]  # which is in use
    folder.remove(other)


def test_what_is_left_at_the_end_is_told(
    temporary: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = PrivateFolder(log=lines.append)
    (folder.new("upload-") / "busy.nii").write_bytes(b"scan")
    with monkeypatch.context() as change:
        refuse_to_unlink(change, "busy.nii")
        expected = rf"^{folder.path}: cannot be removed, and may hold scans: Operation not permitted$"
        with pytest.raises(StorageError, match=expected):
            folder.close()
    assert lines == []
    remove_tree(folder.path)


def test_a_folder_that_vanishes_is_made_again(
    folder: PrivateFolder, temporary: Path, lines: list[str]
) -> None:
    before, kept, descriptor = folder.path, folder.new("result-"), folder._descriptor
    remove_tree(before)
    folder.sweep()  # finds nothing, and says nothing
    assert lines == []
    made = folder.new("upload-")
    assert folder.path != before
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert made.parent == folder.path
    assert lines == [f"{before}: has vanished, with what was kept in it; {folder.path} is in its place"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    folder.remove(kept)
    folder.check()
    assert list(folder.path.iterdir()) == [made]


def test_without_a_place_for_temporary_files_it_is_not_ready(folder: PrivateFolder, temporary: Path) -> None:
    remove_tree(temporary)
    with pytest.raises(FileNotFoundError):
        folder.check()
    temporary.mkdir()
    folder.check()


def test_what_a_killed_service_left_is_removed_by_the_next_and_what_a_living_one_has_is_not(
    temporary: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / "lts-service-file").write_text("no folder of a service")
    mine = temporary.parent / "mine"
    mine.mkdir()
    (mine / "thesis").touch()
    (temporary / "lts-service-link").symlink_to(mine)
    killed, alive = (PrivateFolder(log=lines.append) for _ in range(2))
    for folder in (killed, alive):
        (folder.new("upload-") / "scan.nii").write_bytes(b"scan")
    assert lines == []
    os.close(killed._descriptor)  # as the system does when a process dies
    descriptors = sum(1 for _ in Path("/dev/fd").iterdir())
    with monkeypatch.context() as change:
        change.setattr(os, "getuid", lambda: killed.path.stat().st_uid + 1)
        PrivateFolder(log=lines.append).close()  # another user's
    assert sum(1 for _ in Path("/dev/fd").iterdir()) == descriptors
    assert killed.path.exists()
    new = PrivateFolder(log=lines.append)
    assert not killed.path.exists()
    assert list(alive.path.glob("upload-*/scan.nii"))
    assert lines == [f"{killed.path}: left by a service that was killed, removed"]
    for folder in (alive, new):
        folder.close()
    assert {path.name for path in temporary.iterdir()} == {"lts-service-file", "lts-service-link"}
    assert (mine / "thesis").exists()


def test_a_sweep_shows_cleaners_of_old_files_that_the_folder_is_in_use(folder: PrivateFolder) -> None:
    os.utime(folder.path, (0, 0))
    folder.sweep()
    assert folder.path.stat().st_mtime > 0


def test_a_folder_that_cannot_be_looked_into_is_told_once(
    folder: PrivateFolder, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as change:
        change.setattr(Path, "iterdir", refuse)
        folder.sweep()
        folder.sweep()
    assert lines == [f"{folder.path}: cannot be removed yet: Permission denied"]


def test_where_there_are_no_locks_nothing_counts_as_left(
    temporary: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    one, two = (PrivateFolder(log=lines.append) for _ in range(2))
    assert one.path.exists()
    assert lines == []
    for folder in (one, two):
        folder.close()
