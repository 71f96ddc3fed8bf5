"""Cases of MSD and nnU-Net are found with the help of their dataset.json, and its faults are told."""

import json
import re
from pathlib import Path

import pytest

from lts.base import CohortError
from lts.cohort import Case, Cohort, find_cases

MSD_LABELS = {"0": "background", "1": "liver", "2": "cancer"}
NNUNET_META = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "tumor": 2},
    "numTraining": 2,
    "file_ending": ".nii.gz",
}


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def msd(root: Path, *numbers: int, **meta: object) -> Path:
    names = [f"liver_{number}.nii.gz" for number in numbers]
    touch(root, *(f"{folder}/{name}" for name in names for folder in ("imagesTr", "labelsTr")))
    training = [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names]
    write_meta(root, {"modality": {"0": "CT"}, "labels": MSD_LABELS, "training": training} | meta)
    return root


def nnunet(root: Path, *cases: str, **meta: object) -> Path:
    touch(root, *(f"imagesTr/{case}_0000.nii.gz" for case in cases))
    touch(root, *(f"labelsTr/{case}.nii.gz" for case in cases))
    write_meta(root, NNUNET_META | {"numTraining": len(cases)} | meta)
    return root


def write_meta(root: Path, meta: object) -> None:
    root.mkdir(exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(meta))


def ids(cohort: Cohort) -> list[str]:
    return [case.id for case in cohort.cases]


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_msd_cases_are_those_that_dataset_json_names(tmp_path: Path) -> None:
    touch(msd(tmp_path, 10, 2), "imagesTr/._liver_2.nii.gz", "imagesTs/liver_5.nii.gz")
    cohort = find_cases(tmp_path, layout="msd")
    assert cohort.cases == tuple(
        Case(name, name, tmp_path / f"imagesTr/{name}.nii.gz", tmp_path / f"labelsTr/{name}.nii.gz")
        for name in ("liver_2", "liver_10")
    )
    assert cohort.notes == ()


def test_files_that_dataset_json_does_not_name_are_told(tmp_path: Path) -> None:
    touch(msd(tmp_path, 0), "imagesTr/liver_7.nii.gz", "labelsTr/liver_7.nii")
    assert find_cases(tmp_path, layout="msd").notes == (
        "files that dataset.json does not name are not used: imagesTr/liver_7.nii.gz, labelsTr/liver_7.nii",
    )


def test_entries_for_macos_twins_are_not_cases(tmp_path: Path) -> None:
    twin = {"image": "./imagesTr/._liver_0.nii.gz", "label": "./labelsTr/._liver_0.nii.gz"}
    own = {"image": "./imagesTr/liver_0.nii.gz", "label": "./labelsTr/liver_0.nii.gz"}
    assert ids(find_cases(msd(tmp_path, 0, training=[twin, own]), layout="msd")) == ["liver_0"]


def test_all_problems_of_an_msd_folder_are_told_together(tmp_path: Path) -> None:
    entry = {"image": "./imagesTr/liver_0.nii.gz", "label": "./labelsTr/liver_0.nii.gz"}
    training = [
        entry,
        entry,
        {"image": "./imagesTr/liver_1.nii.gz", "label": "./labelsTr/liver_8.nii.gz"},
        {"image": "./imagesTr/liver_2.nii.gz"},
        {"image": "./imagesTr/liver_3.png", "label": "./labelsTr/liver_3.nii.gz"},
        "liver_4",
    ]
    root = msd(tmp_path, 0, 1, training=training)
    with pytest.raises(CohortError) as error:
        find_cases(root, layout="msd")
    message = one_line(error)
    assert message.startswith(f"{root} (data=msd): ")
    for problem in (
        'entries of "training" without a NIfTI, NRRD or MetaImage "image": 5 (',
        ", 6 ('liver_4')",
        "images without mask: liver_2",
        "files that dataset.json names and that do not exist: ./labelsTr/liver_8.nii.gz",
        f"cases named twice: liver_0 ({root / entry['image']}, {root / entry['image']})",
    ):
        assert problem in message
    assert "nnunet" not in message


def test_one_mask_does_not_serve_two_msd_cases(tmp_path: Path) -> None:
    mask = "labelsTr/liver_0.nii.gz"
    training = [{"image": f"imagesTr/liver_{number}.nii.gz", "label": mask} for number in (0, 1)]
    with pytest.raises(CohortError, match=rf"files used twice: .*{mask} \(liver_0, liver_1\)"):
        find_cases(msd(tmp_path, 0, 1, training=training), layout="msd")


def test_msd_names_without_their_channel_suffix_lead_to_nnunet(tmp_path: Path) -> None:
    touch(msd(tmp_path, 0), "imagesTr/liver_0_0000.nii.gz")
    (tmp_path / "imagesTr/liver_0.nii.gz").unlink()
    with pytest.raises(
        CohortError, match=r"do not exist: \./imagesTr/liver_0\.nii\.gz; this folder looks like data=nnunet"
    ):
        find_cases(tmp_path, layout="msd")


@pytest.mark.parametrize("training", [[], {}, None, "all"])
def test_msd_without_training_pairs_holds_no_case(tmp_path: Path, training: object) -> None:
    with pytest.raises(CohortError, match=r"holds no case of layout msd, .* labels;"):
        find_cases(msd(tmp_path, 0, training=training), layout="msd")


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "be JSON in UTF-8"), ('{"name": "\xff"}', "be JSON in UTF-8"), ("[]", "got a list")],
)
def test_a_dataset_json_that_is_no_json_object_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "dataset.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CohortError, match=rf"dataset\.json: must .*{told}") as error:
        find_cases(tmp_path, layout="msd")
    one_line(error)


@pytest.mark.parametrize(
    "labels",
    [
        {},
        MSD_LABELS,
        {"0": "background", "1": "liver"},
        {"0": "Background", "1": "Liver", "2": "Tumour"},
        {"background": 0, "liver": 1, "lesion": 2},
        {"background": 0, "liver": [1, 2], "tumor": 2},
        {"background": 0, "liver": [1, 2], "tumor": [2]},
    ],
)
@pytest.mark.parametrize("layout", ["msd", "nnunet"])
def test_labels_of_liver_and_tumor_are_taken_as_either_layout_states_them(
    tmp_path: Path, labels: object, layout: str
) -> None:
    root = msd(tmp_path, 0, labels=labels) if layout == "msd" else nnunet(tmp_path, "a", labels=labels)
    assert len(find_cases(root, layout=layout).cases) == 1


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "cancer", "2": "liver"},
        {"0": "background", "1": "liver", "2": "vessel"},
        {"0": "background", "1": "liver", "2": "cancer", "3": "vessel"},
        {"one": "liver"},
        {"background": 0, "liver": 2, "tumor": 1},
        {"background": 0, "tumor": 1},
        {"background": 0, "liver": [1, 2, 3], "tumor": 2},
        {"background": 1, "liver": 1},
        {"background": 0, "liver": None},
        ["background", "liver", "tumor"],
    ],
)
@pytest.mark.parametrize("layout", ["msd", "nnunet"])
def test_other_labels_are_refused_with_what_is_stated(tmp_path: Path, labels: object, layout: str) -> None:
    root = msd(tmp_path, 0, labels=labels) if layout == "msd" else nnunet(tmp_path, "a", labels=labels)
    with pytest.raises(
        CohortError, match=r"labels in dataset\.json must be background 0, liver 1 and tumor"
    ) as error:
        find_cases(root, layout=layout)
    assert f"got {labels}" in one_line(error)


@pytest.mark.parametrize("key", ["channel_names", "modality"])
@pytest.mark.parametrize("channels", [{"0": "CT", "1": "PET"}, ["CT"]])
@pytest.mark.parametrize("layout", ["msd", "nnunet"])
def test_more_than_one_stated_channel_is_refused(
    tmp_path: Path, key: str, channels: object, layout: str
) -> None:
    meta = {"modality": {}, "training": [{"image": "imagesTr/a.nii", "label": "labelsTr/a.nii"}]}
    meta[key] = channels
    touch(tmp_path, "imagesTr/a.nii" if layout == "msd" else "imagesTr/a_0000.nii", "labelsTr/a.nii")
    write_meta(tmp_path, meta)
    with pytest.raises(CohortError, match=f"must state one channel, got {re.escape(str(channels))}"):
        find_cases(tmp_path, layout=layout)


def test_nnunet_cases_are_images_of_channel_0_with_their_masks(tmp_path: Path) -> None:
    touch(nnunet(tmp_path, "ct_10", "ct_2"), "imagesTs/ct_5_0000.nii.gz", "labelsTr/._ct_2.nii.gz")
    assert find_cases(tmp_path, layout="nnunet").cases == tuple(
        Case(name, name, tmp_path / f"imagesTr/{name}_0000.nii.gz", tmp_path / f"labelsTr/{name}.nii.gz")
        for name in ("ct_2", "ct_10")
    )


def test_a_dataset_json_of_the_first_nnunet_is_read(tmp_path: Path) -> None:
    root = nnunet(tmp_path, "liver_0")
    write_meta(root, {"modality": {"0": "CT"}, "labels": MSD_LABELS, "numTraining": 1})
    assert ids(find_cases(root, layout="nnunet")) == ["liver_0"]


def test_a_folder_of_the_first_nnunet_is_not_taken_for_msd(tmp_path: Path) -> None:
    root = nnunet(tmp_path, "a", training=[{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}])
    with pytest.raises(CohortError, match="this folder looks like data=nnunet$"):
        find_cases(root, layout="lits")


def test_a_dataset_json_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    root = nnunet(tmp_path, "a")
    (root / "dataset.json").write_text("\ufeff" + json.dumps(NNUNET_META | {"numTraining": 1}))
    assert ids(find_cases(root, layout="nnunet")) == ["a"]


def test_nnunet_needs_its_dataset_json(tmp_path: Path) -> None:
    root = nnunet(tmp_path, "a")
    (root / "dataset.json").unlink()
    with pytest.raises(CohortError, match=r"\(data=nnunet\): dataset.json is missing"):
        find_cases(root, layout="nnunet")


def test_all_problems_of_an_nnunet_folder_are_told_together(tmp_path: Path) -> None:
    root = nnunet(tmp_path, "a", file_ending=".mgz", dataset={}, numTraining=9)
    touch(
        root, "imagesTr/a_0001.nii.gz", "imagesTr/b.nii.gz", "imagesTr/c_0000.nii.gz", "imagesTr/a_0000.nii"
    )
    touch(root, "labelsTr/d.nii.gz")
    with pytest.raises(CohortError) as error:
        find_cases(root, layout="nnunet")
    message = one_line(error)
    assert message.startswith(f"{root} (data=nnunet): ")
    for problem in (
        "file_ending in dataset.json must be .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd, got '.mgz'",
        '"dataset" in dataset.json (a list of paths) is not read: use data=pairs',
        "images without the suffix _0000: b.nii.gz",
        "images of a second channel, where one is allowed: a_0001.nii.gz",
        f"cases with several images: a ({root}/imagesTr/a_0000.nii, {root}/imagesTr/a_0000.nii.gz)",
        "images without mask: c_0000.nii.gz",
        "masks without image: d.nii.gz",
    ):
        assert problem in message
    assert "numTraining" not in message


def test_a_copy_of_nnunet_data_that_is_not_whole_is_told_by_its_count(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"numTraining in dataset\.json is 3, but there are 2 cases"):
        find_cases(nnunet(tmp_path, "a", "b", numTraining=3), layout="nnunet")


def test_a_case_whose_name_is_unsafe_is_refused_by_its_file(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"a\.\.b_0000\.nii\.gz: case id must be usable"):
        find_cases(nnunet(tmp_path, "a..b"), layout="nnunet")


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({"file_ending": ".mgz"}, r"file_ending in dataset.json must be .*, .mha or .mhd, got '.mgz'"),
        (
            {"file_ending": ["\x1b"] * 900},
            r"file_ending in dataset.json must be .*, .mha or .mhd, got \['\\x1b'",
        ),
        (
            {"dataset": {"a": {}}},
            r'"dataset" in dataset.json \(a list of paths\) is not read: use data=pairs',
        ),
    ],
)
def test_nnunet_data_that_says_its_images_are_elsewhere_or_of_another_kind_is_told_so(
    tmp_path: Path, meta: dict, told: str
) -> None:
    root = nnunet(tmp_path, **meta)
    touch(root, "imagesTr/a_0000.mgz", "labelsTr/a.mgz")
    with pytest.raises(CohortError, match=told) as error:
        find_cases(root, layout="nnunet")
    assert len(one_line(error)) <= 1500
    with pytest.raises(CohortError, match="this folder looks like data=nnunet"):
        find_cases(root, layout="lits")


def test_numbers_and_names_of_any_length_are_told_in_one_short_line(tmp_path: Path) -> None:
    entry = {"image": "i" * 150 + ".nii", "label": "\x1b[2J\n" * 2000}
    root = msd(tmp_path, training=[entry, {"y": "z" * 10**5}], labels={"1" * 5000: "liver"})
    with pytest.raises(CohortError) as error:
        find_cases(root, layout="msd")
    message = one_line(error)
    assert len(message) <= 1500
    assert message.isprintable()
    assert "labels in dataset.json must be background 0, liver 1 and" in message
    assert "got {'1111" in message
    assert 'without a NIfTI, NRRD or MetaImage "image": 2 (' in message
