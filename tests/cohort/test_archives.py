"""Zip archives that are spoilt, or made to harm: unpacked within their limits or refused in one line."""

import bz2
import errno
import io
import random
import shutil
import stat
import struct
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lts.base import CohortError, StorageError
from lts.cohort import ArchiveLimits, find_scans
from lts.cohort.archive import DEEPEST, USUAL_LIMITS, unpack_zip

INPUTS = 2000
LIMITS = ArchiveLimits(max_bytes=10_000, max_files=10)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def archive(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as opened:
        for name, inner in members:
            opened.writestr(name, inner)
    return content.getvalue()


def refusal(content: bytes, folder: Path) -> str:
    """The line in which an archive is refused; nothing may lie outside of where it was to be unpacked."""
    path = folder / "a.zip"
    path.write_bytes(content)
    with pytest.raises(CohortError) as caught:
        unpack_zip(path, folder / "to" / "here", limits=LIMITS)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    files = {file for file in folder.rglob("*") if file.is_file()}
    assert all(file == path or file.is_relative_to(folder / "to" / "here") for file in files)
    return message.removeprefix(f"{path}: ")


def spoilt(rng: random.Random) -> bytes:
    """An archive of up to three files, with up to three changes to it."""
    names = ["a.nii", "é.nii", "deep/in/b.nii", "../c.nii", "d"]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name in rng.sample(names, rng.randint(1, 3)):
            opened.writestr(name, rng.randbytes(rng.randint(0, 300)), compress_type=rng.choice(METHODS))
    changed = bytearray(content.getvalue())
    for _ in range(rng.randint(0, 3)):
        at = rng.randrange(len(changed))
        change = rng.choice(["byte", "byte", "byte", "most", "cut", "more"])
        if change == "byte":
            changed[at] = rng.choice([0, 1, 255, rng.randrange(256)])
        elif change == "most":
            changed[at : at + 4] = b"\xff" * 4
        elif change == "more":
            changed[at:at] = rng.randbytes(5)
        else:
            del changed[max(at, 1) :]
    return bytes(changed)


def test_two_thousand_spoilt_archives_are_unpacked_within_limits_or_refused(tmp_path: Path) -> None:
    tally: Counter[bool] = Counter()
    rng = random.Random(0)
    path = tmp_path / "a.zip"
    for number in range(INPUTS):
        path.write_bytes(spoilt(rng))
        folder = tmp_path / str(number)
        message = ""
        try:
            unpack_zip(path, folder, limits=LIMITS)
        except CohortError as error:
            message = str(error)
        assert message == "" or message.startswith(f"{path}: ")
        assert "\n" not in message
        assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= LIMITS.max_bytes
        tally[not message] += 1
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == {"a.zip"}
    assert min(tally.values()) >= 100


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_is_not_inflated_piece_by_piece_is_refused(method: int, tmp_path: Path) -> None:
    message = refusal(archive(("a.nii", b"scan"), method=method), tmp_path)
    assert message == f"must be packed by deflate or not at all, got method {method} of 'a.nii'"


def test_a_bomb_of_bzip2_that_states_a_small_size_takes_no_memory(tmp_path: Path) -> None:
    content = bytearray(archive(("a.nii", bytes(2**27)), method=zipfile.ZIP_BZIP2))
    assert len(content) < 1000
    assert len(bz2.decompress(content[content.index(b"BZh") : content.index(CENTRAL)])) == 2**27
    for signature, size_at in ((LOCAL, 22), (CENTRAL, 24)):
        struct.pack_into("<I", content, content.index(signature) + size_at, 100)
    tracemalloc.start()
    assert "got method 12" in refusal(bytes(content), tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**21


def test_a_bomb_of_deflate_that_states_a_small_size_is_inflated_to_that_size(tmp_path: Path) -> None:
    content = bytearray(archive(("a.nii", bytes(2**27))))
    for signature, size_at in ((LOCAL, 22), (CENTRAL, 24)):
        struct.pack_into("<I", content, content.index(signature) + size_at, 100)
    tracemalloc.start()
    assert refusal(bytes(content), tmp_path).startswith("is no archive that can be unpacked: Bad CRC-32")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "to" / "here" / "a.nii").stat().st_size <= 100
    assert peak < 2**21


def test_names_that_are_none_are_refused(tmp_path: Path) -> None:
    content = archive(("é.nii", b"scan"))
    assert "'utf-8' codec can't decode" in refusal(content.replace("é".encode(), b"\xbf\xbf"), tmp_path)
    for name in (b"\0.nii.", b"././/.", b".\0nii."):
        folder = tmp_path / name.hex()
        folder.mkdir()
        told = refusal(content.replace("é.nii".encode(), name), folder)
        assert told.startswith("must name files inside of itself, got ")


def test_a_file_that_is_there_twice_or_is_a_folder_too_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive(("a.nii", b"one"), ("a.nii", b"two"))
    assert refusal(twice, tmp_path) == "cannot be unpacked: File exists"
    (tmp_path / "next").mkdir()
    within = archive(("a.nii", b"one"), ("a.nii/b.nii", b"two"))
    assert refusal(within, tmp_path / "next").startswith("cannot be unpacked: ")


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_what_states_to_be_a_device_becomes_a_plain_file(kind: int, tmp_path: Path) -> None:
    member = zipfile.ZipInfo("a.nii")
    member.external_attr = (kind | 0o4777) << 16
    (tmp_path / "a.zip").write_bytes(archive((member, b"scan")))
    unpack_zip(tmp_path / "a.zip", tmp_path / "to", limits=LIMITS)
    found = (tmp_path / "to" / "a.nii").lstat().st_mode
    assert stat.S_ISREG(found)
    assert not found & (stat.S_ISUID | stat.S_IXUSR)


def test_files_of_the_systems_own_are_left_out(tmp_path: Path) -> None:
    members = [(name, b"x") for name in ("a/.hidden/b.nii", "__MACOSX/c.nii", "._d.nii", "e/f.nii")]
    (tmp_path / "a.zip").write_bytes(archive(*members))
    unpack_zip(tmp_path / "a.zip", tmp_path / "to", limits=LIMITS)
    assert [file for file in (tmp_path / "to").rglob("*") if file.is_file()] == [tmp_path / "to/e/f.nii"]


def test_folders_are_nested_so_deep_and_no_deeper(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive(("d/" * DEEPEST + "a.nii", b"scan")))
    unpack_zip(tmp_path / "a.zip", tmp_path / "to", limits=LIMITS)
    assert (tmp_path / "to" / ("d/" * DEEPEST) / "a.nii").read_bytes() == b"scan"
    for depth in (DEEPEST + 1, 2000):
        (tmp_path / str(depth)).mkdir()
        # The first file is sound: nothing may be unpacked before all names are known to be so.
        deep = archive(("b.nii", b"scan"), *(("d/" * n + "a.nii", b"scan") for n in range(depth, 1, -400)))
        message = refusal(deep, tmp_path / str(depth))
        assert message.startswith(f"must nest at most 20 folders, got {depth} in 'd/d/")
        assert len(message) < 150
        assert not (tmp_path / str(depth) / "to").exists()


def test_long_names_and_many_folders_are_refused(tmp_path: Path) -> None:
    message = refusal(archive(("n" * 1100 + ".nii", b"scan")), tmp_path)
    assert message.startswith("names must have at most 1024 characters, got 1104: 'nnn")
    assert len(message) < 150
    deep = [(f"{n}/" * 16 + "a.nii", b"") for n in (1, 2)]
    assert refusal(archive(*deep), tmp_path) == "must hold at most 30 folders, got 32"


def test_a_list_of_files_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    content = archive(*((f"{number}.nii", b"") for number in range(20_000)))
    tracemalloc.start()
    message = refusal(content, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert message.startswith("must hold at most 10 files, lists them in ")
    assert peak < 2**18


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE])
def test_a_disk_without_room_is_not_the_archives_fault(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, "no room")

    (tmp_path / "a.zip").write_bytes(archive(("a.nii", b"scan")))
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(StorageError, match=r"/to: cannot be written: no room$"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "to", limits=LIMITS)


def test_without_limits_those_of_the_command_hold() -> None:
    stated = OmegaConf.load(Path(__file__).parents[2] / "conf/predict.yaml").archive
    expected = ArchiveLimits(max_bytes=stated.max_gib * 2**30, max_files=stated.max_files)
    assert ArchiveLimits() == USUAL_LIMITS == expected


def test_an_archive_without_a_folder_to_unpack_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive(("a.nii", b"scan")))
    with pytest.raises(CohortError, match=r"a\.zip: is an archive, and unpack_to names no folder"):
        find_scans(tmp_path / "a.zip")
