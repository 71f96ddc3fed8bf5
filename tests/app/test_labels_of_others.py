"""Masks whose liver and tumor are other numbers than 1 and 2, or files of single organs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lts.app.commands.mask_pairs import masks_in
from lts.base import CohortError, ConfigError, MaskLabels, VolumeError
from lts.cohort import Case, find_cases
from lts.cohort.doctor import check_headers, examine_case
from lts.slices import Recipe, build_store, fingerprint_cases
from lts.volume import Geometry, read_geometry, read_mask
from lts.volume._nifti import write as write_nifti

OTHERS = MaskLabels(liver=(5, 7), tumor=(300,))
ORGANS = MaskLabels(liver=("liver.nii.gz",), tumor=("cyst.nii.gz", "lesions.nii.gz"))


def write_numbers(path: Path, labels_zhw: np.ndarray, *, grid: Geometry) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(path, grid.to_disk(labels_zhw), geometry=grid)
    return path


def in_numbers(labels: np.ndarray) -> np.ndarray:
    """Liver is 5, or 7 in its lower half; tumors are 300; a spleen of 3 is elsewhere."""
    numbers = np.zeros(labels.shape, np.int16)
    numbers[labels == 1], numbers[labels == 2] = 5, 300
    lower = np.arange(len(labels))[:, None, None] < len(labels) // 2
    numbers[(numbers == 5) & lower] = 7
    numbers[:, :2, :2] = 3
    return numbers


@pytest.fixture
def case(make_case: Any) -> Case:
    found: Case = make_case("source")
    return found


@pytest.fixture
def labels(case: Case) -> np.ndarray:
    assert case.mask is not None
    found: np.ndarray = read_mask(case.mask, image=read_geometry(case.image)).voxels
    assert set(np.unique(found)) == {0, 1, 2}
    return found


@pytest.fixture
def numbered(case: Case, labels: np.ndarray, tmp_path: Path) -> Path:
    return write_numbers(tmp_path / "numbered.nii.gz", in_numbers(labels), grid=read_geometry(case.image))


@pytest.fixture
def organs(case: Case, labels: np.ndarray, tmp_path: Path) -> Path:
    """A folder of single organs: the liver with its tumors, half of these as cysts; one is 255, not 1."""
    grid, folder = read_geometry(case.image), tmp_path / "organs"
    left = np.arange(labels.shape[2]) < labels.shape[2] // 2
    write_numbers(folder / "liver.nii.gz", (labels > 0).astype(np.uint8), grid=grid)
    write_numbers(folder / "cyst.nii.gz", ((labels == 2) & left).astype(np.uint8) * 255, grid=grid)
    write_numbers(folder / "lesions.nii.gz", ((labels == 2) & ~left).astype(np.uint8), grid=grid)
    write_numbers(folder / "spleen.nii.gz", np.ones(labels.shape, np.uint8), grid=grid)
    return folder


def test_numbers_become_labels_and_all_others_background(
    case: Case, numbered: Path, labels: np.ndarray
) -> None:
    grid = read_geometry(case.image)
    np.testing.assert_array_equal(read_mask(numbered, image=grid, labels=OTHERS).voxels, labels)
    liver = read_mask(numbered, image=grid, labels=MaskLabels(liver=(5,))).voxels
    np.testing.assert_array_equal(liver, in_numbers(labels) == 5)
    with pytest.raises(
        VolumeError, match=r"numbered\.nii\.gz: labels must be among \[0, 1, 2\], got 3, 5, 7, 300"
    ):
        read_mask(numbered, image=grid)


def test_files_of_organs_become_one_mask(case: Case, organs: Path, labels: np.ndarray) -> None:
    grid = read_geometry(case.image)
    np.testing.assert_array_equal(read_mask(organs, image=grid, labels=ORGANS).voxels, labels)
    with pytest.raises(VolumeError, match=r"a mask must be a folder, as labels name files, got a file"):
        read_mask(organs / "liver.nii.gz", image=grid, labels=ORGANS)
    told = r"organs: of a folder, labels must name .*, as in {liver: \[liver\.nii\.gz\]}; it holds cyst\.nii"
    for numbers in (None, MaskLabels(liver=(5,))):
        with pytest.raises(VolumeError, match=told) as error:
            read_mask(organs, image=grid, labels=numbers)
        assert error.value.code == "labels-unknown"
    (organs / "cyst.nii.gz").unlink()
    with pytest.raises(VolumeError, match=r"cyst\.nii\.gz: no such file"):
        read_mask(organs, image=grid, labels=ORGANS)


def test_a_label_between_two_numbers_is_refused(case: Case, labels: np.ndarray, tmp_path: Path) -> None:
    grid = read_geometry(case.image)
    path = write_numbers(tmp_path / "soft.nii", labels.astype(np.float32) * 2.5, grid=grid)
    with pytest.raises(VolumeError, match=r"soft\.nii: labels must be integers, got 2\.5"):
        read_mask(path, image=grid, labels=MaskLabels(liver=(5,)))
    near = write_numbers(tmp_path / "near.nii", labels.astype(np.float32) * 5.001, grid=grid)
    found = read_mask(near, image=grid, labels=MaskLabels(liver=(5,), tumor=(10,)))
    np.testing.assert_array_equal(found.voxels, labels)
    assert [note.code for note in found.notes] == ["labels-rounded"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "must name what is liver or tumor, got neither"),
        (
            {"liver": (5,), "tumor": ("t.nii",)},
            r"must be all numbers or all names of files, got \[5, 't.nii'\]",
        ),
        ({"liver": (5,), "tumor": (5,)}, r"must name each once, got \[5, 5\]"),
        ({"liver": (0, 1)}, r"0 is background and must not be named, got \[0, 1\]"),
        ({"liver": ("a/b.nii",)}, r"must be names of files without folders, got \['a/b.nii'\]"),
    ],
)
def test_labels_that_mean_nothing_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=f"^labels: {told}$"):
        MaskLabels(**wrong)


def test_stores_of_other_labels_lie_apart(case: Case, numbered: Path, tmp_path: Path) -> None:
    recipe = Recipe(image_size=32, pixel_mm=None, modality="ct")
    given = [OTHERS, MaskLabels(liver=(3,)), None]
    cases = [Case("a", "a", case.image, numbered, labels) for labels in given[:2]]
    cases.append(case)
    store = tmp_path / "store"
    first, spleen, plain = (build_store([one], recipe, store_dir=store)[0] for one in cases)
    np.testing.assert_array_equal(first.open_labels(), plain.open_labels())
    assert len({first.folder, spleen.folder, plain.folder}) == 3
    assert set(np.unique(spleen.open_labels())) == {0, 1}
    found = [fingerprint_cases([one], store_dir=store)[0].region_hu_counts for one in cases]
    assert found[0] == found[2] != found[1]


def test_a_store_sees_a_change_in_one_of_the_files_of_organs(
    case: Case, organs: Path, tmp_path: Path
) -> None:
    recipe, labels = Recipe(image_size=32, pixel_mm=None, modality="ct"), ORGANS
    of_organs = Case("a", "a", case.image, organs, labels)
    (before,) = build_store([of_organs], recipe, store_dir=tmp_path / "store")
    assert before.open_labels().max() == 2
    empty = np.zeros(read_geometry(case.image).canonical_shape, np.uint8)
    for name in ("cyst.nii.gz", "lesions.nii.gz"):
        write_numbers(organs / name, empty, grid=read_geometry(case.image))
    (after,) = build_store([of_organs], recipe, store_dir=tmp_path / "store")
    assert after.open_labels().max() == 1


def lay_out(layout: str, root: Path, case: Case, mask: Path) -> None:
    """A folder of one case in a layout; its dataset.json says what lts would refuse."""
    names = {
        "lits": ("volume-1.nii.gz", "segmentation-1.nii.gz"),
        "msd": ("imagesTr/a.nii.gz", "labelsTr/a.nii.gz"),
        "nnunet": ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"),
        "pairs": ("a.nii.gz", "b.nii.gz"),
    }[layout]
    for name, source in zip(names, (case.image, mask), strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(source)
    stated = {
        "msd": {"0": "background", "5": "liver", "9": "spleen"},
        "nnunet": {"background": 0, "spleen": 3},
    }
    if layout in stated:
        training = [{"image": names[0], "label": names[1]}]
        meta = {
            "labels": stated[layout],
            "file_ending": ".nii.gz",
            **({"training": training} if layout == "msd" else {}),
        }
        (root / "dataset.json").write_text(json.dumps(meta))
    if layout == "pairs":
        (root / "cases.csv").write_text(f"case,patient,image,mask\na,a,{names[0]},{names[1]}\n")


@pytest.mark.parametrize("layout", ["lits", "msd", "nnunet", "pairs"])
def test_every_layout_takes_other_labels(layout: str, case: Case, numbered: Path, tmp_path: Path) -> None:
    lay_out(layout, tmp_path / "root", case, numbered)
    if layout in ("msd", "nnunet"):
        with pytest.raises(CohortError, match=r"labels in dataset\.json must be background 0, liver 1"):
            find_cases(tmp_path / "root", layout=layout)
    (found,) = find_cases(tmp_path / "root", layout=layout, labels=OTHERS).cases
    assert found.labels == OTHERS
    assert check_headers(found) == ()
    codes = {finding.code for finding in examine_case(found, modality="ct").findings}
    assert "labels-unknown" not in codes
    assert "labels-unknown" in {
        finding.code
        for finding in examine_case(Case("a", "a", found.image, found.mask), modality="ct").findings
    }


def test_folders_of_organs_are_named_by_a_list(case: Case, organs: Path, tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text(f"case,patient,image,mask\na,a,{case.image},organs\n")
    (found,) = find_cases(tmp_path, layout="pairs", labels=ORGANS).cases
    assert [path.name for path in found.mask_files] == ["liver.nii.gz", "cyst.nii.gz", "lesions.nii.gz"]
    with pytest.raises(CohortError, match="got the folder organs"):
        find_cases(tmp_path, layout="pairs")
    with pytest.raises(ConfigError, match="labels: must be numbers with layout lits, got"):
        find_cases(tmp_path, layout="lits", labels=ORGANS)
    (organs / "cyst.nii.gz").unlink()
    with pytest.raises(CohortError, match=r"row 2: no such file: organs/cyst\.nii\.gz"):
        find_cases(tmp_path, layout="pairs", labels=ORGANS)


def test_folders_of_organs_are_found_case_by_case(tmp_path: Path) -> None:
    for name in ("s1/liver.nii.gz", "s2/segmentations/liver.nii.gz", "notes/a.txt", ".cache/liver.nii.gz"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    liver = MaskLabels(liver=("liver.nii.gz",))
    assert masks_in(tmp_path, liver) == {"s1": tmp_path / "s1", "s2": tmp_path / "s2" / "segmentations"}
    with pytest.raises(
        CohortError, match=r"must hold liver\.nii\.gz, cyst\.nii\.gz, cyst\.nii\.gz is not there"
    ):
        masks_in(tmp_path, MaskLabels(liver=("liver.nii.gz",), tumor=("cyst.nii.gz",)))
    with pytest.raises(CohortError, match=r"must hold a folder per case with spleen\.nii\.gz, got none"):
        masks_in(tmp_path, MaskLabels(liver=("spleen.nii.gz",)))
    (tmp_path / "s1").rename(tmp_path / "s1\n")
    with pytest.raises(CohortError, match="case id must be usable as a file name"):
        masks_in(tmp_path, liver)


Command = Callable[..., Any]


def test_masks_of_other_systems_are_scored_with_their_labels(
    run: Command, case: Case, numbered: Path, organs: Path, labels: np.ndarray, tmp_path: Path
) -> None:
    grid = read_geometry(case.image)
    write_numbers(tmp_path / "references" / "a.nii.gz", in_numbers(labels), grid=grid)
    (tmp_path / "predictions").mkdir()
    organs.rename(tmp_path / "predictions" / "a")
    both = (
        "predictions=predictions",
        "references=references",
        "prediction_labels={liver: [liver.nii.gz], tumor: [cyst.nii.gz, lesions.nii.gz]}",
        "scoring.workers=1",
    )
    numbers = "reference_labels={liver: [5, 7], tumor: [300]}"
    done = run("evaluate", *both, numbers, "paths.output_dir=all", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "all" / "metrics.json").read_text())
    assert [scores["regions"][region]["dice_per_case"] for region in ("liver", "tumor")] == [1, 1]
    assert "in none of" not in done.stdout
    done = run("evaluate", *both, "reference_labels={liver: [5, 7]}", "paths.output_dir=liver", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "liver" / "metrics.json").read_text())
    assert 0 < scores["regions"]["liver"]["dice_per_case"] < 1
    assert "tumor: in none of 1 reference\n" in done.stdout  # which a mistyped number shows as well
    done = run("evaluate", *both, "reference_labels={liver: [5, 5]}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "evaluate: reference_labels: must name each once, got [5, 5]\n",
    )
    done = run("evaluate", *both, "reference_labels={livre: [5]}", cwd=tmp_path)
    assert (
        done.stderr
        == "evaluate: reference_labels.livre: is no setting. Did you mean reference_labels.liver?\n"
    )
