"""Scans are found in files, folders and archives, and named safely; archives are bounded."""

import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lts.base import CohortError, VolumeError
from lts.cohort import ArchiveLimits, ScanSource, find_scans

LIMITS = ArchiveLimits(max_bytes=10_000, max_files=10)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"scan")
    return root


def archive(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return path


def find(path: Path, tmp_path: Path, limits: ArchiveLimits = LIMITS) -> list[ScanSource]:
    return list(find_scans(path, unpack_to=tmp_path / "unpacked", limits=limits).sources)


def cases(path: Path, tmp_path: Path) -> list[str]:
    return [source.case for source in find(path, tmp_path)]


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("anna.nii.gz", "anna"),
        ("anna.nii", "anna"),
        ("liver_7_0000.nii.gz", "liver_7"),
        ("anna.img", "anna"),
        ("a b:c?.nii", "a_b_c"),
        ("..nii", "scan"),
    ],
)
def test_a_scan_is_named_by_its_file(name: str, case: str, tmp_path: Path) -> None:
    (source,) = find(touch(tmp_path, name) / name, tmp_path)
    assert (source.case, source.path) == (case, tmp_path / name)


def test_a_folder_gives_its_scans_in_natural_order_and_nothing_else(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "c10.nii", "c2.nii.gz", "._c2.nii.gz", "notes.txt", "below/c3.nii")
    assert cases(folder, tmp_path) == ["c2", "c10"]


def test_masks_of_lits_beside_their_volumes_are_no_scans(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "volume-1.nii", "segmentation-1.nii", "segmentation-2.nii")
    assert cases(folder, tmp_path) == ["segmentation-2", "volume-1"]


def test_the_only_scan_of_an_archive_is_named_by_the_archive(tmp_path: Path) -> None:
    one = archive(tmp_path / "anna.zip", ("x.nii", b"scan"), ("__MACOSX/._x.nii", b""))
    (source,) = find(one, tmp_path)
    assert source.case == "anna"
    assert source.path.read_bytes() == b"scan"
    two = archive(tmp_path / "two.zip", ("in/x.nii", b"scan"), ("y.nii", b"scan"))
    assert [one.case for one in find_scans(two, unpack_to=tmp_path / "u", limits=LIMITS).sources] == [
        "two_in_x",
        "two_y",
    ]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ((), "no such file or folder"),
        (("in/notes.txt",), r"in: must hold a scan .*, got none"),
        (
            ("in/a.nii", "in/a_0000.nii.gz"),
            r"in: two scans must not have the same name, got a \(a.nii, a_0000.nii.gz\)$",
        ),
    ],
)
def test_a_folder_without_scans_of_their_own_is_refused(
    made: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CohortError, match=message):
        find(touch(tmp_path, *made) / "in", tmp_path)


@pytest.mark.parametrize(
    "name", ["../out.nii", "a/../../out.nii", "/out.nii", "..\\out.nii", "C:\\out.nii", "a\x07.nii"]
)
def test_a_name_outside_of_the_archive_is_refused_and_nothing_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    hostile = archive(tmp_path / "in" / "a.zip", (name, b"x"))
    with pytest.raises(CohortError, match="a.zip: must name files inside of itself, got "):
        find(hostile, tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.zip"]


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a.nii")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(CohortError, match="must hold files alone, 'a.nii' is a link"):
        find(archive(tmp_path / "a.zip", (link, b"/etc/passwd")), tmp_path)


def test_an_archive_that_grows_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    exact = archive(tmp_path / "exact.zip", ("a.nii", b"0" * 6_000), ("b.nii", b"0" * 4_000))
    assert len(find(exact, tmp_path)) == 2
    bomb = archive(tmp_path / "bomb.zip", ("a.nii", b"0" * 6_000), ("b.nii", b"0" * 4_001))
    with pytest.raises(CohortError, match="bomb.zip: must unpack to at most 10000 bytes, got 10001"):
        find_scans(bomb, unpack_to=tmp_path / "u", limits=LIMITS)
    assert not (tmp_path / "u").exists()


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ("a.nii", b"0" * 100_000))
    content = path.read_bytes()
    stated = (100_000).to_bytes(4, "little")
    assert content.count(stated) == 2  # at the file and in the directory
    path.write_bytes(content.replace(stated, (100).to_bytes(4, "little")))
    with pytest.raises(CohortError, match=r"a\.zip: "):
        find(path, tmp_path)
    assert all(unpacked.stat().st_size <= 100 for unpacked in (tmp_path / "unpacked").iterdir())


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ("a.nii", b"scan"))
    content = bytearray(path.read_bytes())
    for signature, flags_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags_at] |= 1
    path.write_bytes(content)
    with pytest.raises(CohortError, match="a.zip: is no archive that can be unpacked: .*encrypted"):
        find(path, tmp_path)


def test_an_archive_of_too_many_files_is_refused(tmp_path: Path) -> None:
    many = archive(tmp_path / "a.zip", *((f"{n}.nii", b"") for n in range(11)))
    with pytest.raises(CohortError, match="a.zip: must hold at most 10 files, got 11"):
        find(many, tmp_path)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ("a.nii", bytes(range(256)) * 30))
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:60] + b"\xff" * 40 + whole[100:]):
        path.write_bytes(damaged)
        with pytest.raises(CohortError, match="a.zip: is no archive that can be unpacked: "):
            find_scans(path, unpack_to=tmp_path / str(len(damaged)), limits=LIMITS)


def test_series_are_named_by_their_folders_and_numbered_where_they_share_one(
    phantoms: Any, tmp_path: Path
) -> None:
    stored = phantoms.stored()
    (phantoms.folder / "study").mkdir()
    for name in ("study/early", "study/late"):
        phantoms.series(stored, name=name)
    touch(phantoms.folder / "study", "scan.nii.gz")
    assert cases(phantoms.folder / "study", tmp_path) == ["early", "late", "scan"]
    assert cases(phantoms.folder / "study" / "late", tmp_path) == ["late"]
    for file in (phantoms.folder / "study" / "late").iterdir():
        file.rename(phantoms.folder / "study" / "early" / f"late-{file.name}")
    assert cases(phantoms.folder / "study", tmp_path) == ["early_1", "early_2", "scan"]


def test_a_series_is_read_by_what_made_it_and_counted_before(phantoms: Any, tmp_path: Path) -> None:
    stored = phantoms.stored()
    (source,) = find(phantoms.series(stored), tmp_path)
    assert source.n_voxels() == stored.size
    scan = source.read(modality="ct")
    np.testing.assert_array_equal(np.sort(scan.voxels, axis=None), np.sort(stored - 1024, axis=None))
    with pytest.raises(VolumeError, match="modality must be MR, got 'CT'"):
        source.read(modality="mr")


def test_a_nifti_file_is_counted_before_it_is_read(make_case: Any, tmp_path: Path) -> None:
    (source,) = find(make_case(depth=6, side=32).image, tmp_path)
    assert source.n_voxels() == 6 * 32 * 32
    assert source.read(modality="ct").voxels.shape == (6, 32, 32)
    assert source.read(modality="mr").voxels.min() < -1000


def test_a_zipped_series_is_named_by_the_archive_and_one_file_by_itself(
    phantoms: Any, tmp_path: Path
) -> None:
    folder = phantoms.series(phantoms.stored(), name="series")
    packed = archive(
        tmp_path / "anna.zip", *((f"DICOM/{path.name}", path.read_bytes()) for path in folder.iterdir())
    )
    limits = ArchiveLimits(max_bytes=10**6, max_files=10)
    (source,) = find(packed, tmp_path, limits)
    assert source.case == "anna"
    assert len(source.series.files) == 4
    (alone,) = find(folder / "im0.dcm", tmp_path)
    assert alone.case == "im0"
    with pytest.raises(VolumeError, match="must hold 2 slices or more"):
        alone.read(modality="ct")


def test_a_scan_whose_name_leaves_no_room_for_that_of_its_mask_is_refused(tmp_path: Path) -> None:
    (source,) = find(touch(tmp_path, f"{'x' * 200}.nii.gz") / f"{'x' * 200}.nii.gz", tmp_path)
    assert source.case == "x" * 200
    folder = touch(tmp_path / "in", f"{'y' * 201}.nii.gz", "a.nii")
    with pytest.raises(CohortError, match="case id must have at most 200 bytes .* rename its file or folder"):
        find(folder, tmp_path)
