"""Every file that lts writes appears whole or not at all, by one way to write files."""

import ast
import errno
import multiprocessing
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lts.base import LtsError, StorageError, VolumeError, clear_left_over, sync_folder, written_whole

ROOT = Path(__file__).parents[1]

OTHER_WAYS = {
    *("open.w", "open.x", "open.a", "write_text", "write_bytes", "savefig", "to_csv", "imsave", "tofile"),
    *("OmegaConf.save", "np.save", "np.savez", "nib.save", "torch.save", "torch.jit.save", "plt.imsave"),
    *(
        "shutil.copy",
        "shutil.copyfile",
        "shutil.copy2",
        "shutil.copyfileobj",
        "shutil.move",
        "shutil.copytree",
    ),
    *("WriteImage", "save_as", "to_filename", "fdopen", "memmap", "open_memmap"),
}
ALLOWED = {
    "lts/base/_writing.py": {"open.x"},  # the one way itself
    "lts/figures/canvas.py": {"imsave"},  # into an open file, as are the next four
    "lts/volume/_dicom_referred.py": {"save_as"},
    "lts/task/storage.py": {"torch.save"},
    "lts/inference/saving.py": {"torch.save"},
    "lts/inference/formats.py": {"torch.jit.save"},
    "lts/cohort/archive.py": {"open.x", "shutil.copyfileobj"},  # into a folder for the time being
    "lts/volume/_dicom_decoder.py": {"fdopen", "open.w"},  # pipes, and what goes nowhere
    "lts/service/uploads.py": {"open.x"},
    "lts/service/folder.py": {"write_bytes"},
    "lts/service/blocks.py": {"open.w"},
    "lts/service/pacs/listener.py": {"open.x"},
    "lts/service/pacs/stow.py": {"open.x"},
}


def ways_to_write(source: str) -> Iterator[str]:
    """Calls that write a file, by the names of `OTHER_WAYS`."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        last = name.rpartition(".")[2]
        if last == "open":
            words = [*node.args, *(word.value for word in node.keywords if word.arg == "mode")]
            modes = [word.value for word in words if isinstance(word, ast.Constant)]
            yield from (
                f"open.{mode[0]}"
                for mode in modes
                if isinstance(mode, str) and re.fullmatch("[wxa]b?t?[+]?b?", mode)
            )
        yield from {name, last} & OTHER_WAYS


@pytest.mark.parametrize(
    "source",
    [
        "path.open('w')",
        "open(path, mode='ab')",
        "path.open('x', newline='')",
        "(folder / 'a').write_text(text)",
        "OmegaConf.save(config, path)",
        "np.save(path, array)",
        "figure.savefig(path)",
        "shutil.move(one, other)",
    ],
)
def test_another_way_to_write_is_seen(source: str) -> None:
    assert list(ways_to_write(source))


@pytest.mark.parametrize(
    "source", ["path.open()", "path.open('rb')", "open(path, 'r')", "image.open('x.png')"]
)
def test_reading_is_no_way_to_write(source: str) -> None:
    assert not list(ways_to_write(source))


def test_there_is_one_way_to_write_files() -> None:
    found: dict[str, set[str]] = {}
    for path in sorted([*ROOT.glob("*.py"), *(ROOT / "lts").rglob("*.py")]):
        if ways := set(ways_to_write(path.read_text())):
            found[str(path.relative_to(ROOT))] = ways
    assert found == ALLOWED


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with written_whole(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        assert Path(file.name).read_bytes() == b"new"
    assert path.read_bytes() == b"new"
    assert [left.name for left in tmp_path.iterdir()] == ["a"]


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, real = [], os.fsync

    def sync(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), (tmp_path / "a").exists()))
        real(descriptor)

    monkeypatch.setattr("os.fsync", sync)
    with written_whole(tmp_path / "a") as file:
        file.write(b"new")
        unfinished = Path(file.name)
    assert synced == [(unfinished, False), (tmp_path, True)]


def _write_half(path: Path, stop: BaseException) -> None:
    with written_whole(path) as file:
        file.write(b"half")
        raise stop


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "full"), VolumeError("bad"), KeyboardInterrupt()])
def test_what_ends_a_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, stop: BaseException) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(StorageError if isinstance(stop, OSError) else type(stop)):
        _write_half(path, stop)
    assert path.read_bytes() == b"old"
    assert [left.name for left in tmp_path.iterdir()] == ["a"]


def test_the_error_names_the_file_and_keeps_its_number(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as told, written_whole(tmp_path / "no" / "a"):
        pass
    assert str(told.value) == f"{tmp_path}/no/a: cannot be written: No such file or directory"
    assert told.value.errno == errno.ENOENT
    assert isinstance(told.value, LtsError)


def test_an_unfinished_file_is_hidden_ends_like_no_file_and_fits_beside_the_longest_name(
    tmp_path: Path,
) -> None:
    longest = tmp_path / f"{'x' * 248}.nii.gz"
    with written_whole(longest) as file:
        name = Path(file.name).name
        assert name[0] == "."
        assert "." not in name[1:]
    assert longest.exists()


def _write_and_wait(path: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with written_whole(path) as file:
        file.write(b"half")
        file.flush()
        ready.set()
        signal.pause()


def test_what_a_kill_leaves_is_cleared_by_the_next_write_and_a_live_process_keeps_its_own(
    tmp_path: Path,
) -> None:
    context = multiprocessing.get_context("fork")
    writers = []
    for _ in range(2):
        ready = context.Event()
        writer = context.Process(target=_write_and_wait, args=(tmp_path / "a", ready))
        writer.start()
        assert ready.wait(60)
        writers.append(writer)
    dead, alive = writers
    assert len(list(tmp_path.iterdir())) == 2  # two who write one file do not mix
    dead.kill()
    dead.join()
    (tmp_path / ".lts-unfinished-link").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").write_bytes(b"kept")
    with written_whole(tmp_path / "b") as file:
        file.write(b"whole")
    left = {path.name for path in tmp_path.iterdir()} - {".lts-unfinished-link"}
    assert len(left) == 3  # b, kept, and what the live one writes
    assert (tmp_path / "kept").read_bytes() == b"kept"
    alive.kill()
    alive.join()
    clear_left_over(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"b", "kept", ".lts-unfinished-link"}


def test_a_file_taken_for_left_over_before_it_was_locked_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    taken, real = [], fcntl.flock

    def flock(file: object, how: int) -> None:
        if not taken:  # another process clears the folder between the two steps
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        real(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr("fcntl.flock", flock)
    with written_whole(tmp_path / "a") as file:
        file.write(b"whole")
    assert len(taken) == 1
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_a_file_system_without_locks_or_synced_folders_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / ".lts-unfinished-0"
    left.touch()
    real = os.fsync

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    def no_folders(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == tmp_path:
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr("fcntl.flock", no_locks)
    monkeypatch.setattr("os.fsync", no_folders)
    with written_whole(tmp_path / "a") as file:
        file.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert left.exists()  # it may be in use


def test_a_folder_whose_disk_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)
