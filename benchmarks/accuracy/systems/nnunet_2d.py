"""nnU-Net v2 in two dimensions: its own fingerprint, plan, preprocessing, trainer and prediction.

Only its length is changed: the minutes of the job replace its 1000 epochs, its poly schedule runs over them,
and fold `all` holds no case out. Data is loaded in the training process, so that no system has more
processors than the others.

The only option is the batch size, `nnunet:batch_size=2`; by default it is that of the plan, which is made for
a GPU of 8 GB. nnU-Net's documentation describes how to edit plans.
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.accuracy.clock import Clock
from benchmarks.accuracy.job import Answer, Job
from lts.base import ConfigError, read_json_object, write_json
from lts.cohort import Case
from lts.volume import read_geometry, read_mask, write_mask

_DATASET, _ID, _PLANS, _ENDING = "Dataset001_Liver", 1, "nnUNetPlans", ".nii.gz"


def run(job: Job) -> Answer:
    """Plan, preprocess, train for the minutes of a job, and write its masks."""
    preprocessed = _prepare(job)
    os.environ.update({"nnUNet_n_proc_DA": "0"})  # loads data in this process; planning fails with it
    random.seed(job.seed)
    np.random.seed(job.seed)  # noqa: NPY002 what nnU-Net draws from
    torch.manual_seed(job.seed)
    torch.set_num_threads(job.cores)
    trainer, answer = _train(preprocessed, job)
    _predict(trainer, job)
    return answer


def save_untrained(job: Job) -> str:
    """Save a network with random weights, planned by the training cases of a job.

    Sets the variables of the environment by which `nnUNetv2_predict` finds it.

    Returns:
        The number of its data set; its fold is `all`.
    """
    preprocessed = _prepare(job)
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    trainer = _made(nnUNetTrainer, preprocessed)
    trainer.initialize()
    trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()  # chooses the axes of mirroring
    folder = Path(trainer.output_folder)
    for name, content in (("plans", trainer.plans_manager.plans), ("dataset", trainer.dataset_json)):
        write_json(folder.parent / f"{name}.json", content)
    trainer.save_checkpoint(str(folder / "checkpoint_final.pth"))
    return str(_ID)


def _prepare(job: Job) -> Path:
    """Plan and preprocess the training cases; the folder with the result."""
    batch_size = _batch_size(job.options)
    folders = {name: job.folder / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    os.environ.update({name: str(path) for name, path in folders.items()})
    # The first is read when nnU-Net is imported, below.
    os.environ.update({"nnUNet_def_n_proc": str(job.cores), "nnUNet_n_proc_DA": str(job.cores)})
    _write_raw(folders["nnUNet_raw"] / _DATASET, job)
    preprocessed = folders["nnUNet_preprocessed"] / _DATASET
    _plan(preprocessed, cores=job.cores, batch_size=batch_size)
    return preprocessed


def _batch_size(options: tuple[str, ...]) -> int | None:
    given = dict(option.partition("=")[::2] for option in options)
    size = given.pop("batch_size", None)
    if given or (size is not None and not size.isdecimal()):
        raise ConfigError(f"nnunet: its one option is batch_size=NUMBER, got {' '.join(options)}")
    return None if size is None else int(size)


def _write_raw(root: Path, job: Job) -> None:
    """Write the training cases in nnU-Net's layout, with consecutive labels."""
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    for case in job.train:
        write_image(root / "imagesTr", case)
        assert case.mask is not None
        grid = read_geometry(case.image)
        labels = np.minimum(read_mask(case.mask, image=grid).voxels, job.classes - 1)
        write_mask(root / "labelsTr" / f"{case.id}{_ENDING}", labels, geometry=grid)
    labels_of = {"background": 0, **{region: 1 + label for label, region in enumerate(job.regions)}}
    write_json(
        root / "dataset.json",
        {
            "channel_names": {"0": "CT"},
            "labels": labels_of,
            "numTraining": len(job.train),
            "file_ending": _ENDING,
        },
    )


def write_image(folder: Path, case: Case) -> Path:
    """The scan of a case under the name that nnU-Net expects."""
    path = folder / f"{case.id}_0000{_ENDING}"
    shutil.copyfile(case.image, path)
    return path


def _plan(preprocessed: Path, *, cores: int, batch_size: int | None) -> None:
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        plan_experiment_dataset,
        preprocess_dataset,
    )

    extract_fingerprint_dataset(_ID, num_processes=cores, show_progress_bar=False)
    plan_experiment_dataset(_ID)
    if batch_size is not None:
        path = preprocessed / f"{_PLANS}.json"
        plans = read_json_object(path)
        plans["configurations"]["2d"]["batch_size"] = batch_size
        write_json(path, plans)
    preprocess_dataset(_ID, configurations=("2d",), num_processes=(cores,), show_progress_bar=False)


def _train(preprocessed: Path, job: Job) -> tuple[Any, Answer]:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class TrainerByTheClock(nnUNetTrainer):
        """Trains for the minutes of the job, without validation and checkpoints."""

        def run_training(self) -> Answer:
            self.disable_checkpointing = True
            self.on_train_start()
            self.network.train()
            clock, seen = Clock(job.minutes), 0
            while clock.share < 1:
                self.lr_scheduler.step(clock.share * self.num_epochs)
                self.train_step(next(self.dataloader_train))
                seen += self.batch_size
            return Answer(slices_seen=seen, train_s=clock.spent_s)

    trainer = _made(TrainerByTheClock, preprocessed)
    return trainer, trainer.run_training()


def _made(trainer: Callable[..., Any], preprocessed: Path) -> Any:
    return trainer(
        plans={**read_json_object(preprocessed / f"{_PLANS}.json"), "continue_training": False},
        configuration="2d",
        fold="all",
        dataset_json=read_json_object(preprocessed / "dataset.json"),
        device=torch.device("cpu"),
    )


def _predict(trainer: Any, job: Job) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer.set_deep_supervision_enabled(False)
    network = trainer.network.eval()
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.manual_initialization(
        network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [network.state_dict()],
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    images, masks = job.folder / "imagesTs", job.folder / "masks"
    images.mkdir()
    masks.mkdir()
    predictor.predict_from_files_sequential(
        [[str(write_image(images, case))] for case in job.test], str(masks), save_probabilities=False
    )
    for case in job.test:
        shutil.copyfile(masks / f"{case.id}{_ENDING}", job.mask_of(case))
