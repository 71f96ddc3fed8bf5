"""Scans that are folders of DICOM, from the list of cases to a model, its scores and its masks."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_kit import Phantoms

from lts.base import AIR_HU
from lts.phantom import make_phantom
from lts.volume import read_geometry, write_mask

TINY = (
    *(
        "data=pairs",
        "data.root=cohort",
        "data.image_size=32",
        "data.num_workers=0",
        "data.slices_per_epoch=8",
    ),
    *("data.batch_size=8", "model.width=4", "model.depth=3", "trainer=cpu", "trainer.max_epochs=1"),
    *("intensity=ct_plain", "compile=false"),
)


def write_case(root: Path, name: str, *, seed: int) -> None:
    """Every other slice of a phantom as a series in the folder `name`, and its mask as `name.nii.gz`."""
    scan = make_phantom(seed=seed, matrix=32)
    hu, labels = scan.hu[::2], scan.labels[::2]
    depth_mm, row_mm, column_mm = scan.spacing_mm

    def change(dataset: Any, index: int) -> None:
        dataset.PixelSpacing = [row_mm, column_mm]
        dataset.ImagePositionPatient = [-16 * column_mm, -16 * row_mm, index * 2 * depth_mm]

    stored = np.maximum(hu, AIR_HU).transpose(2, 1, 0) - AIR_HU
    folder = Phantoms(root).series(stored.astype(np.int16), name=name, change=change)
    write_mask(root / f"{name}.nii.gz", labels, geometry=read_geometry(folder))


def write_list(root: Path, rows: Sequence[str]) -> None:
    (root / "cases.csv").write_text("\n".join(("case,patient,image,mask", *rows)) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients."""
    root = tmp_path_factory.mktemp("dicom") / "cohort"
    root.mkdir()
    for number in range(4):
        write_case(root, f"c{number}", seed=number)
    write_list(root, [f"c{number},p{number},c{number},c{number}.nii.gz" for number in range(4)])
    return root


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "cohort")
    return tmp_path


def write_under_other_names(cohort: Path, other: Path) -> None:
    """The same scans with files of other names in another order, as after an export from an archive."""
    for number in range(4):
        (other / f"x{number}").mkdir(parents=True)
        for place, path in enumerate(sorted((cohort / f"c{number}").iterdir(), reverse=True)):
            shutil.copyfile(path, other / f"x{number}" / f"{place:03}")
        shutil.copyfile(cohort / f"c{number}.nii.gz", other / f"mask-{number}.nii.gz")
    write_list(other, [f"x{number},q{number},x{number},mask-{number}.nii.gz" for number in range(4)])


def regions_of(run: Path) -> dict[str, Any]:
    scores = json.loads((run / "metrics.json").read_text())["regions"]
    assert isinstance(scores, dict)
    return scores


def test_folders_are_checked_trained_on_scored_and_predicted(
    run, succeed: Callable[..., str], home: Path
) -> None:
    succeed("check", "data=pairs", "data.root=cohort", "paths.output_dir=checked", cwd=home)
    assert json.loads((home / "checked/doctor.json").read_text())["n_cases"] == 4
    (home / "split.json").write_text(json.dumps({"train": ["c0", "c1"], "val": ["c2"], "test": ["c3"]}))
    succeed("train", *TINY, "split.file=split.json", "paths.output_dir=run", cwd=home)

    write_under_other_names(home / "cohort", home / "other")
    line = ("ckpt=run/checkpoints/best.ckpt", "data=pairs", "data.root=other")
    done = run("evaluate", *line, "paths.output_dir=scored", cwd=home)
    assert done.returncode == 2
    assert "best.ckpt: was trained on x0, x1; scores of these say little" in done.stderr
    succeed("evaluate", *line, "subset=test", "paths.output_dir=scored", cwd=home)
    assert regions_of(home / "scored") == regions_of(home / "run")

    succeed("predict", "ckpt=run/checkpoints/best.ckpt", "input=other", "output=masks", cwd=home)
    rows = json.loads((home / "masks/predictions.json").read_text())["cases"]
    series = [row for row in rows if row["series_uid"]]
    trained_on = [row["case"] for row in series if any("was trained on" in line for line in row["warnings"])]
    assert [row["case"] for row in series] == ["x0", "x1", "x2", "x3"]
    assert trained_on == ["x0", "x1"]


def test_masks_of_any_system_are_held_against_the_masks_of_folders(succeed, home: Path) -> None:
    (home / "masks").mkdir()
    for number in range(4):
        shutil.copyfile(home / "cohort" / f"c{number}.nii.gz", home / "masks" / f"c{number}_mask.nii.gz")
    line = ("predictions=masks", "data=pairs", "data.root=cohort", "paths.output_dir=scored")
    succeed("evaluate", *line, cwd=home)
    regions = regions_of(home / "scored")
    assert regions["liver"]["dice_per_case"] == regions["tumor"]["dice_per_case"] == 1
    assert list((home / "scored/overlays").iterdir())  # pictures need the scan


def test_a_series_that_is_in_two_parts_is_refused_whatever_its_files_are_called(run, home: Path) -> None:
    cohort = home / "cohort"
    (cohort / "copy").mkdir()
    for place, path in enumerate(sorted((cohort / "c0").iterdir())):
        shutil.copyfile(path, cohort / "copy" / f"slice-{place}.dcm")
    write_list(cohort, ["a,p,c0,c0.nii.gz", "b,q,copy,c1.nii.gz", "c,r,c2,c2.nii.gz"])
    shutil.copyfile(cohort / "c0.nii.gz", cohort / "c1.nii.gz")
    (home / "split.json").write_text(json.dumps({"train": ["a", "c"], "val": [], "test": ["b"]}))
    done = run("train", *TINY, "split.file=split.json", "paths.output_dir=run", cwd=home)
    assert done.returncode == 2
    assert "b: split-shares-content: holds the voxels of a; they are in train and test" in done.stderr
    done = run("check", "data=pairs", "data.root=cohort", "paths.output_dir=checked", cwd=home)
    assert done.returncode == 2
    assert "b: duplicate: holds the voxels of a" in done.stderr


def test_what_is_no_single_series_or_no_mask_is_told_by_name(run, home: Path) -> None:
    cohort = home / "cohort"
    (cohort / "study").mkdir()
    for number in (0, 1):
        (cohort / f"c{number}").rename(cohort / "study" / f"c{number}")
    shutil.copyfile(next((cohort / "c2").iterdir()), cohort / "seg.dcm")
    rows = ["a,p,study,c0.nii.gz", "b,q,c2,seg.dcm", "c,r,study/c1,c1.nii.gz", "d,s,c3,c3.nii.gz"]
    write_list(cohort, rows)
    done = run("check", "data=pairs", "data.root=cohort", "paths.output_dir=checked", cwd=home)
    assert done.returncode == 2
    findings = json.loads((home / "checked/doctor.json").read_text())["findings"]
    told = {finding["case"]: finding["message"] for finding in findings if finding["severity"] == "error"}
    assert told.keys() == {"a", "b"}
    assert "cohort/study: must hold one DICOM series, got 2: series 'portal venous' in c0, " in told["a"]
    assert told["a"].endswith("name the folder of one of them")
    assert told["b"].endswith(
        "cohort/seg.dcm: a mask must be NIfTI, NRRD or MetaImage, got DICOM (DICOM SEG is not read here); "
        "convert it to .nii.gz"
    )
    done = run("train", *TINY, "paths.output_dir=run", cwd=home)
    assert done.returncode == 2
    assert "must hold one DICOM series, got 2" in done.stderr
