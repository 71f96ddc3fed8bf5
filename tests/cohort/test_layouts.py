"""Cases are found by their names, and what is wrong with a folder is told in one line."""

import json
from pathlib import Path

import pytest

from lts.base import CohortError, ConfigError
from lts.cohort import LAYOUTS, Case, Cohort, find_cases


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def lits(root: Path, *numbers: int) -> Path:
    return touch(root, *(f"{kind}-{number}.nii" for number in numbers for kind in ("volume", "segmentation")))


def ids(cohort: Cohort) -> list[str]:
    return [case.id for case in cohort.cases]


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_an_unknown_layout_is_refused_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^layout: must be one of lits, msd, nnunet, pairs, got 'bids'"):
        find_cases(tmp_path, layout="bids")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_root_that_does_not_exist_is_told_with_what_was_looked_for(tmp_path: Path, layout: str) -> None:
    with pytest.raises(CohortError, match=rf"^root: .*absent does not exist \(layout {layout} looks for \w+"):
        find_cases(tmp_path / "absent", layout=layout)


@pytest.mark.parametrize(
    ("layout", "looked_for"),
    [("lits", "volume-N.nii"), ("msd", "dataset.json"), ("nnunet", "_0000.nii"), ("pairs", "cases.csv")],
)
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_root_without_cases_is_told_with_what_was_looked_for(
    tmp_path: Path, layout: str, looked_for: str, kind: str
) -> None:
    root = touch(tmp_path, "readme.txt", ".hidden/volume-0.nii", "__MACOSX/volume-0.nii")
    with pytest.raises(CohortError, match=rf"holds no case of layout {layout}") as error:
        find_cases(root if kind == "folder" else root / "readme.txt", layout=layout)
    assert looked_for in one_line(error)
    assert "looks like" not in one_line(error)
    assert ("in a CSV file for data=pairs" in one_line(error)) == (layout != "pairs")


def fill(root: Path, layout: str) -> None:
    """Put the least there can be of a layout into a folder."""
    root.mkdir(exist_ok=True)
    if layout == "lits":
        lits(root, 0)
    elif layout == "msd":
        touch(root, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz")
        training = [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]
        (root / "dataset.json").write_text(json.dumps({"training": training}))
    elif layout == "nnunet":
        touch(root, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
        (root / "dataset.json").write_text("{}")
    else:
        touch(root, "scan.nii", "mask.nii")
        (root / "cases.csv").write_text("case,patient,image,mask\na,p,scan.nii,mask.nii\n")


@pytest.mark.parametrize("present", LAYOUTS)
@pytest.mark.parametrize("asked", LAYOUTS)
def test_a_folder_of_another_layout_is_recognized(tmp_path: Path, present: str, asked: str) -> None:
    fill(tmp_path, present)
    if asked == present:
        assert len(find_cases(tmp_path, layout=asked).cases) == 1
    else:
        with pytest.raises(CohortError, match=f"holds no case of .*; this folder looks like data={present}$"):
            find_cases(tmp_path, layout=asked)


@pytest.mark.parametrize("present", ["msd", "nnunet", "pairs"])
@pytest.mark.parametrize("asked", LAYOUTS)
def test_a_folder_one_level_above_the_cases_is_recognized(tmp_path: Path, present: str, asked: str) -> None:
    fill(tmp_path / "inner", present)
    with pytest.raises(CohortError, match=f"holds no case of .*; .*/inner looks like data={present}$"):
        find_cases(tmp_path, layout=asked)


@pytest.mark.parametrize("name", ["DICOMDIR", "disc/dicomdir", "PAT/STU/SER/1.DCM"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_of_dicom_is_recognized_by_its_names(tmp_path: Path, layout: str, name: str) -> None:
    with pytest.raises(CohortError, match="; it holds DICOM: data=pairs takes a CSV file that names"):
        find_cases(touch(tmp_path, name), layout=layout)


def test_a_broken_dataset_json_does_not_disturb_another_layout(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(CohortError, match="holds no case of layout lits"):
        find_cases(tmp_path, layout="lits")


def test_a_flat_lits_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    touch(
        lits(tmp_path, 10, 2), "volume-0.nii.gz", "segmentation-0.nii", "._volume-5.nii", "test-volume-4.nii"
    )
    cohort = find_cases(tmp_path, layout="lits")
    assert (cohort.layout, cohort.root, cohort.notes) == ("lits", tmp_path, ())
    assert cohort.cases == (
        Case("volume-0", "volume-0", tmp_path / "volume-0.nii.gz", tmp_path / "segmentation-0.nii"),
        Case("volume-2", "volume-2", tmp_path / "volume-2.nii", tmp_path / "segmentation-2.nii"),
        Case("volume-10", "volume-10", tmp_path / "volume-10.nii", tmp_path / "segmentation-10.nii"),
    )


@pytest.mark.parametrize("masks", ["segmentation", "segmentations", "segmentations/segmentations"])
@pytest.mark.parametrize("images", ["volume_pt1", "volume_pt1/volume_pt1"])
@pytest.mark.parametrize("part_2", ["", "part-2"])
def test_lits_is_read_as_it_is_on_kaggle(tmp_path: Path, images: str, masks: str, part_2: str) -> None:
    touch(
        tmp_path / "part-1",
        f"{images}/volume-0.nii",
        f"{masks}/segmentation-0.nii",
        f"{masks}/segmentation-60.nii",
    )
    touch(tmp_path / part_2, "volume_pt6/volume_pt6/volume-60.nii")
    cohort = find_cases(tmp_path, layout="lits")
    assert ids(cohort) == ["volume-0", "volume-60"]
    assert cohort.case("volume-0").image == tmp_path / "part-1" / images / "volume-0.nii"
    assert cohort.case("volume-60").mask == tmp_path / "part-1" / masks / "segmentation-60.nii"


def test_files_deeper_than_kaggle_puts_them_are_not_read(tmp_path: Path) -> None:
    lits(tmp_path, 0)
    lits(tmp_path / "a/b/c/d", 1)
    assert ids(find_cases(tmp_path, layout="lits")) == ["volume-0"]


def test_all_problems_of_a_lits_folder_are_told_together(tmp_path: Path) -> None:
    touch(
        lits(tmp_path, 1, 3),
        "volume-3.nii.gz",
        "old/segmentation-1.nii",
        "volume-4.nii",
        "segmentation-9.nii",
    )
    with pytest.raises(CohortError) as error:
        find_cases(tmp_path, layout="lits")
    message = one_line(error)
    assert message.startswith(f"{tmp_path} (data=lits): ")
    for problem in (
        f"cases with several images: volume-3 ({tmp_path}/volume-3.nii, {tmp_path}/volume-3.nii.gz)",
        "cases with several masks: volume-1 "
        f"({tmp_path}/old/segmentation-1.nii, {tmp_path}/segmentation-1.nii)",
        "images without mask: volume-4.nii",
        "masks without image: segmentation-9.nii",
        "on Kaggle LiTS is two datasets",
    ):
        assert problem in message


def test_a_padded_number_is_the_same_case(tmp_path: Path) -> None:
    touch(tmp_path, "volume-07.nii", "segmentation-7.nii")
    assert ids(find_cases(tmp_path, layout="lits")) == ["volume-7"]


def test_after_ten_names_the_rest_is_counted(tmp_path: Path) -> None:
    touch(lits(tmp_path, 0), *(f"volume-{number}.nii" for number in range(1, 14)))
    with pytest.raises(
        CohortError, match=r"mask: volume-1\.nii, volume-2\.nii,.* volume-10\.nii and 3 more;"
    ):
        find_cases(tmp_path, layout="lits")


def test_ten_names_are_told_in_full(tmp_path: Path) -> None:
    touch(lits(tmp_path, 0), *(f"volume-{number}.nii" for number in range(1, 11)))
    with pytest.raises(CohortError, match=r"volume-9\.nii, volume-10\.nii;"):
        find_cases(tmp_path, layout="lits")


def test_the_real_sample_is_lits(real_data: Path) -> None:
    cohort = find_cases(real_data / "lits_real", layout="lits")
    assert ids(cohort) == ["volume-0", "volume-1", "volume-2", "volume-3"]


def test_names_are_read_in_whatever_case(tmp_path: Path) -> None:
    root = touch(
        tmp_path / "lits", "VOLUME-3.NII.GZ", "Segmentation-3.Nii", "volume-4.nii", "segmentation-4.NII"
    )
    assert ids(find_cases(root, layout="lits")) == ["volume-3", "volume-4"]
    root = touch(tmp_path / "nnunet", "imagesTr/a_0000.NII.GZ", "labelsTr/a.NII.GZ")
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1}}))
    assert ids(find_cases(root, layout="nnunet")) == ["a"]
