from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lts.app.commands.mask_pairs import case_name, masks_in, pair_masks
from lts.app.config.settings import CasesSettings, EvaluateSettings, LabelSettings
from lts.base import CohortError, ConfigError, MaskLabels


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).touch()
    return path


def asked(
    predictions: Path, references: Path | None, *, allow_unpaired: bool = False, **data: Any
) -> EvaluateSettings:
    return EvaluateSettings(
        predictions=predictions,
        references=references,
        allow_unpaired=allow_unpaired,
        data=CasesSettings(**data),
    )


@pytest.mark.parametrize(
    ("stem", "case"),
    [
        ("liver_7", "liver_7"),
        ("liver_7_mask", "liver_7"),
        ("liver_7.seg", "liver_7"),
        ("segmentation-7", "volume-7"),
        ("volume-7_mask", "volume-7"),
        ("segmentation-seven", "segmentation-seven"),
        ("SEGMENTATION-7", "volume-7"),
    ],
)
def test_a_case_is_named_by_its_file(stem: str, case: str) -> None:
    assert case_name(stem) == case


def test_cases_are_matched_whatever_the_suffix_in_natural_order(tmp_path: Path) -> None:
    predictions = folder(tmp_path / "p", "a10_mask.nii.gz", "a9.nii", "notes.txt", ".a1.nii")
    references = folder(tmp_path / "r", "a9.nii.gz", "a10.NII")
    pairs = pair_masks(asked(predictions, references))
    assert [(pair.case, pair.prediction.name, pair.reference.name, pair.image) for pair in pairs] == [
        ("a9", "a9.nii", "a9.nii.gz", None),
        ("a10", "a10_mask.nii.gz", "a10.NII", None),
    ]


def test_volumes_beside_segmentations_are_scans(tmp_path: Path) -> None:
    both = folder(tmp_path / "lits", "volume-1.nii", "segmentation-1.nii")
    assert {name: path.name for name, path in masks_in(both).items()} == {"volume-1": "segmentation-1.nii"}
    upper = folder(tmp_path / "upper", "VOLUME-1.NII.GZ", "SEGMENTATION-1.NII.GZ")
    assert {name: path.name for name, path in masks_in(upper).items()} == {
        "volume-1": "SEGMENTATION-1.NII.GZ"
    }
    alone = folder(tmp_path / "alone", "volume-1.nii")
    assert list(masks_in(alone)) == ["volume-1"]


def test_a_data_set_brings_its_masks_and_scans(tmp_path: Path) -> None:
    root = folder(
        tmp_path / "lits", "volume-1.nii", "segmentation-1.nii", "volume-2.nii", "segmentation-2.nii"
    )
    predictions = folder(tmp_path / "p", "volume-1_mask.nii.gz", "volume-2_mask.nii.gz")
    pairs = pair_masks(asked(predictions, None, root=str(root), layout="lits"))
    assert [(pair.case, pair.reference.name, pair.image and pair.image.name) for pair in pairs] == [
        ("volume-1", "segmentation-1.nii", "volume-1.nii"),
        ("volume-2", "segmentation-2.nii", "volume-2.nii"),
    ]


def test_a_case_that_one_side_lacks_is_named(tmp_path: Path) -> None:
    predictions = folder(tmp_path / "p", "a.nii", "b.nii")
    references = folder(tmp_path / "r", "b.nii", "c.nii")
    with pytest.raises(CohortError, match=rf"{predictions}: lacks cases that {references} has: c; allow_unp"):
        pair_masks(asked(predictions, references))
    (references / "c.nii").unlink()
    with pytest.raises(CohortError, match=rf"{references}: lacks cases that {predictions} has: a; allow_unp"):
        pair_masks(asked(predictions, references))
    (pair,) = pair_masks(asked(predictions, references, allow_unpaired=True))
    assert pair.case == "b"


def test_folders_without_a_case_in_common_are_refused(tmp_path: Path) -> None:
    names = [f"a{n}.nii" for n in range(7)]
    predictions, references = folder(tmp_path / "p", *names), folder(tmp_path / "r", "b.nii")
    with pytest.raises(CohortError, match="no case has its reference in .*: a0, a1, a2, a3, a4 and 2 more"):
        pair_masks(asked(predictions, references, allow_unpaired=True))


def test_folders_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="nowhere: no such folder"):
        masks_in(tmp_path / "nowhere")
    with pytest.raises(CohortError, match=r"must hold masks, .*, got none$"):
        masks_in(folder(tmp_path / "empty", "a.png"))
    folder(folder(tmp_path / "cases") / "a", "liver.nii")
    with pytest.raises(CohortError, match="got none; folders of single organs need labels that name"):
        masks_in(tmp_path / "cases")
    with pytest.raises(
        CohortError, match=r"case a is there twice, as a.nii and a_mask.nii.gz; a CSV file with"
    ):
        masks_in(folder(tmp_path / "twice", "a.nii", "a_mask.nii.gz"))


def two_alike(root: Path, *ids: str) -> str:
    """A data set whose cases have names of which a file may mean either."""
    folder(root, *(f"{kind}-{case}.nii" for case in ids for kind in ("image", "label")))
    rows = (f"{case},{case},image-{case}.nii,label-{case}.nii" for case in ids)
    (root / "cases.csv").write_text("\n".join(["case,patient,image,mask", *rows]))
    return str(root)


@pytest.mark.parametrize(
    ("ids", "files", "expected"),
    [
        (
            ("a", "a_mask"),
            ("a_mask.nii", "a_mask_mask.nii"),
            {"a": "a_mask.nii", "a_mask": "a_mask_mask.nii"},
        ),
        (("a_mask",), ("a_mask.nii",), {"a": "a_mask.nii"}),
        (("a_mask",), ("a_mask_mask.nii",), {"a_mask": "a_mask_mask.nii"}),
        (("a_mask",), ("a.nii",), {"a": "a.nii"}),
        (("a", "a_mask"), ("a_mask.nii",), "a_mask.nii may be of case a or of case a_mask, both of which "),
        (("b.seg", "b_mask"), ("b.nii",), "cases b.seg and b_mask are both b by the names of files; a CSV"),
    ],
)
def test_a_file_that_two_cases_may_mean_is_refused_unless_it_is_plain(
    tmp_path: Path, ids: tuple[str, ...], files: tuple[str, ...], expected: dict[str, str] | str
) -> None:
    predictions, root = folder(tmp_path / "p", *files), two_alike(tmp_path / "data", *ids)
    asked_for = asked(predictions, None, allow_unpaired=True, layout="pairs", root=root)
    if isinstance(expected, str):
        with pytest.raises(CohortError, match=expected):
            pair_masks(asked_for)
        (tmp_path / "named.csv").write_text(f"case,mask\n{ids[0]},p/{files[0]}\n")
        asked_for = replace(asked_for, predictions=tmp_path / "named.csv")
        expected = {ids[0]: files[0]}
    assert {pair.case: pair.prediction.name for pair in pair_masks(asked_for)} == expected
    assert all(pair.reference.name in {f"label-{one}.nii" for one in ids} for pair in pair_masks(asked_for))


def test_a_reference_that_two_predictions_may_mean_is_refused(tmp_path: Path) -> None:
    references = folder(tmp_path / "r", "a_mask.nii")
    predictions = folder(tmp_path / "p", "a.nii", "a_mask_mask.nii")
    with pytest.raises(CohortError, match=rf"{references}: a_mask.nii may be of case a or of case a_mask"):
        pair_masks(asked(predictions, references, allow_unpaired=True))


def test_references_come_from_one_place(tmp_path: Path) -> None:
    predictions = folder(tmp_path / "p", "a.nii")
    for references, data in ((None, {}), (predictions, {"root": str(predictions)})):
        with pytest.raises(ConfigError, match="references: "):
            pair_masks(asked(predictions, references, **data))


def test_a_mask_is_not_held_against_itself(tmp_path: Path) -> None:
    references = folder(tmp_path / "r", "a.nii", "b.nii")
    predictions = folder(tmp_path / "p", "a.nii")
    (predictions / "b.nii").symlink_to(references / "b.nii")
    for named, same in ((references, "a, b"), (predictions, "b")):
        with pytest.raises(
            CohortError, match=f"must hold predictions, got the references themselves: {same}$"
        ):
            pair_masks(asked(named, references))


def test_a_list_names_masks_that_are_called_otherwise(tmp_path: Path) -> None:
    folder(tmp_path / "theirs", "x1.nii", "x2.nii.gz")
    references = folder(tmp_path / "r", "a.nii", "b.nii")
    (tmp_path / "named.CSV").write_text("case,mask,reader\nb,theirs/x1.nii,Ann\na,theirs/x2.nii.gz,Bob\n")
    pairs = pair_masks(asked(tmp_path / "named.CSV", references))
    assert [(pair.case, pair.prediction.name, pair.reference.name) for pair in pairs] == [
        ("a", "x2.nii.gz", "a.nii"),
        ("b", "x1.nii", "b.nii"),
    ]
    organs = MaskLabels(liver=("liver.nii",))
    folder(tmp_path / "of-a", "liver.nii")
    (tmp_path / "organs.csv").write_text("case,mask\na,of-a\n")
    assert masks_in(tmp_path / "organs.csv", organs) == {"a": tmp_path / "of-a"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("case,mask\n", "must have a row for each mask, has none"),
        ("case,mask\na,gone.nii\n", "row 2: no such file: {folder}/gone.nii"),
        ("case,mask\na,x.nii\na,x.nii\n", "row 3: case a is there twice"),
        ("case,mask\n../a,x.nii\n", "row 2: case id must be usable as a file name"),
        ("case,path\na,x.nii\n", "the first row must name the columns case, mask, each once"),
        ("case,mask\na,\n", "row 2: no such file: {folder}"),
    ],
)
def test_a_list_that_is_wrong_is_told_with_its_row(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "x.nii").touch()
    path = tmp_path / "named.csv"
    path.write_text(content)
    with pytest.raises(CohortError) as refused:
        masks_in(path)
    assert str(refused.value).startswith(f"{path}: {told.format(folder=tmp_path)}")


def test_wrong_labels_are_told_by_the_key_that_holds_them(tmp_path: Path) -> None:
    predictions, wrong = folder(tmp_path / "p", "a.nii"), LabelSettings(liver=(0,))
    with pytest.raises(ConfigError, match=r"^data\.labels: 0 is background"):
        pair_masks(asked(predictions, None, layout="lits", root=tmp_path, labels=wrong))
    with pytest.raises(ConfigError, match=r"^reference_labels: 0 is background"):
        pair_masks(replace(asked(predictions, predictions), reference_labels=wrong))
