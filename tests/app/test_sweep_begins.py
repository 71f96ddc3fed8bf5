"""What is checked of a sweep before anything is made."""

from pathlib import Path

import hydra
import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf

from lts.app.sweep.checks import check_data, check_folder_left_out, compose_jobs, swept_arguments
from lts.app.sweep.lifecycle import Sweep
from lts.base import CohortError, ConfigError

CONF = Path(__file__).parents[2] / "conf"


def check(*arguments: str, command: str = "train") -> None:
    """As before a sweep with these arguments."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose(command, return_hydra_config=True)
        check_data(compose_jobs(config, list(arguments), config_name=command))


def test_cases_that_all_jobs_look_for_in_vain_are_told_of_once(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=f"data.root: {tmp_path}/nowhere does not exist"):
        check("data=lits", f"data.root={tmp_path}/nowhere", "optimizer.lr=1e-3,1e-4", "data.batch_size=2,4")
    with pytest.raises(CohortError, match="holds no case of layout lits"):
        check("data=lits", f"data.root={tmp_path}", "loss=bce_dice,tversky")
    with pytest.raises(ConfigError, match="data.layout: must be one of .*, got 'no'"):
        check("data=lits", f"data.root={tmp_path}", "data.layout=no")
    with pytest.raises(CohortError, match=f"data.root: {tmp_path}/nowhere does not exist"):
        check("data=lits", f"data.root={tmp_path}/nowhere", "subset=val,test", command="evaluate")


@pytest.mark.parametrize(
    "arguments",
    [
        ("data.root=nowhere,elsewhere", "data=lits"),
        ("data.root=nowhere", "data=lits,msd"),
        ("data.root=nowhere", "data=lits", "data.layout=lits,msd"),
        ("data=lits,phantom",),
        ("data=lits",),
        ("data.root=${paths.data_dir}/nowhere", "data=lits", "paths.data_dir=a,b"),
        ("data.root=nowhere",),  # phantoms are made there
        (),
    ],
)
def test_where_jobs_look_in_places_of_their_own_each_tells_what_is_wrong(arguments: tuple[str, ...]) -> None:
    check(*arguments, "seed=0,1")


def test_the_cases_of_a_checkpoint_are_not_looked_for() -> None:
    check("subset=val,test", command="evaluate")


def test_a_command_that_makes_no_runs_begins_no_sweep(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Sweep().on_multirun_start(OmegaConf.create({"hydra": {}}), config_name="check")
    assert not list(tmp_path.iterdir())


def test_the_command_line_comes_behind_what_a_preset_goes_through() -> None:
    hydra_settings = {"sweeper": {"params": {"seed": "1,2"}}, "overrides": {"task": ["seed=3,4"]}}
    assert swept_arguments(OmegaConf.create({"hydra": hydra_settings})) == ["seed=1,2", "seed=3,4"]
    del hydra_settings["sweeper"]["params"]
    assert swept_arguments(OmegaConf.create({"hydra": hydra_settings})) == ["seed=3,4"]


def test_of_a_group_each_choice_is_tried_and_of_a_key_its_first_value() -> None:
    with pytest.raises(HydraException, match="loss/bce"):
        check("loss=bce_dice,tversky,bce")
    with pytest.raises(HydraException, match="lrr"):
        check("optimizer.lrr=1,2")
    check("optimizer.lr=1,none")


def test_the_folder_of_a_run_is_none_of_a_sweep() -> None:
    for argument in ("paths.output_dir=a", "paths.output_dir=a,b", "++paths.output_dir=run-${seed}"):
        with pytest.raises(ConfigError, match="paths.output_dir: must be left out of a sweep, .* got "):
            check_folder_left_out(["seed=1,2", argument])
    check_folder_left_out(["seed=1,2", "paths.store_dir=a"])
