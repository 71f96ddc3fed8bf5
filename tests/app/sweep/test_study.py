"""An Optuna study: what its jobs get, what it is told, what counts and comes first when it goes on."""

import gc
import math
import pickle
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import optuna
import pytest
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf
from sqlalchemy.pool import NullPool

from lts.app.config.hydra_internals import keep_own_choices
from lts.app.run.signals import Interrupted
from lts.app.sweep.study import SWEEPER, prepare_study
from lts.app.sweep.study_settings import StudyEndedError
from lts.base import ConfigError

ARGUMENTS = ["optimizer.lr=tag(log, interval(1e-5, 1e-2))", "loss=choice(a,b)", "seed=3"]
CONF = Path(__file__).parents[3] / "conf" / "hydra" / "sweeper"
SAMPLERS = sorted(file.stem for file in (CONF / "sampler").glob("*.yaml"))


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


def sweeper(
    storage: str | None, *, sampler: str = "random", seed: int | None = 0, **settings: Any
) -> DictConfig:
    """`hydra.sweeper` as `sweep=optuna` composes it."""
    config = OmegaConf.load(CONF / "optuna.yaml")
    del config["defaults"]
    config.sampler = OmegaConf.load(CONF / "sampler" / f"{sampler}.yaml")
    config.sampler.seed = seed
    config.update({"storage": storage, "n_trials": 4, **settings})
    return config


class Jobs:
    """Runs jobs: each gets the next score; of an error, the batch breaks off."""

    def __init__(self, *scores: object) -> None:
        self.scores = list(scores)
        self.batches: list[Sequence[Sequence[str]]] = []

    def __call__(self, jobs: Sequence[Sequence[str]]) -> list[JobReturn]:
        self.batches.append(jobs)
        found = [self.scores.pop(0) for _ in jobs]
        for score in found:
            if isinstance(score, BaseException):
                raise score
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=score) for score in found]

    @property
    def arguments(self) -> list[dict[str, str]]:
        """Of each job."""
        return [dict(each.split("=", 1) for each in job) for jobs in self.batches for job in jobs]


def run(config: DictConfig, *scores: object, folder: Path, arguments: Sequence[str] = ARGUMENTS) -> Jobs:
    jobs = Jobs(*scores)
    prepare_study(config, arguments).run(jobs, folder=str(folder))
    return jobs


def opened(storage: str) -> optuna.storages.RDBStorage:
    """Without connections that stay open."""
    return optuna.storages.RDBStorage(storage, engine_kwargs={"poolclass": NullPool})


def trials(storage: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="lts", storage=opened(storage)).trials


def states(storage: str) -> list[str]:
    return [trial.state.name for trial in trials(storage)]


def test_each_job_gets_what_was_drawn_for_it_and_what_is_fixed(storage: str, tmp_path: Path) -> None:
    jobs = run(sweeper(storage), 0.1, 0.3, 0.2, 0.1, folder=tmp_path)
    assert len(jobs.batches) == 4
    for arguments, trial in zip(jobs.arguments, trials(storage), strict=True):
        assert {**trial.params, "seed": "3"} == {
            **arguments,
            "optimizer.lr": float(arguments["optimizer.lr"]),
        }
        assert 1e-5 <= trial.params["optimizer.lr"] <= 1e-2
        assert trial.user_attrs == {"seed": "3"}
    assert [trial.value for trial in trials(storage)] == [0.1, 0.3, 0.2, 0.1]
    best = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert best == {"name": "optuna", "best_params": trials(storage)[1].params, "best_value": 0.3}


def test_the_lowest_is_best_where_that_is_looked_for(storage: str, tmp_path: Path) -> None:
    run(sweeper(storage, direction="minimize", n_trials=2), 0.3, 0.2, folder=tmp_path)
    assert yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())["best_value"] == 0.2


def test_as_many_jobs_are_run_at_once_as_is_asked(tmp_path: Path) -> None:
    jobs = run(sweeper(None, n_trials=5, n_jobs=2), *[0.1] * 5, folder=tmp_path)
    assert [len(batch) for batch in jobs.batches] == [2, 2, 1]


def test_what_failed_is_told_at_once_and_the_study_goes_on(storage: str, tmp_path: Path) -> None:
    told = []

    class Looking(Jobs):
        def __call__(self, jobs: Sequence[Sequence[str]]) -> list[JobReturn]:
            told.append(states(storage))
            return super().__call__(jobs)

    study = prepare_study(sweeper(storage), ARGUMENTS)
    study.run(Looking(None, 0.5, math.nan, 0.25), folder=str(tmp_path))
    assert told[1:3] == [["FAIL", "RUNNING"], ["FAIL", "COMPLETE", "RUNNING"]]
    assert states(storage) == ["FAIL", "COMPLETE", "FAIL", "COMPLETE"]


@pytest.mark.parametrize("error", [Interrupted(signal.SIGTERM), SystemExit(2), RuntimeError("a bug")])
def test_what_breaks_off_has_failed_and_is_raised(error: BaseException, storage: str, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        run(sweeper(storage, n_jobs=2), 0.5, 0.5, 0.5, error, folder=tmp_path)
    assert states(storage) == ["COMPLETE", "COMPLETE", "FAIL", "FAIL"]


@pytest.mark.parametrize(("most", "n_batches"), [(0.0, 1), (0.49, 1), (0.5, 2)])
def test_more_failed_jobs_than_are_allowed_end_the_study(
    most: float, n_batches: int, storage: str, tmp_path: Path
) -> None:
    jobs, config = Jobs(None, 0.5, 0.5, 0.5), sweeper(storage, n_jobs=2, max_failure_rate=most)
    study = prepare_study(config, ARGUMENTS)
    if n_batches == 2:
        study.run(jobs, folder=str(tmp_path))
    else:
        with pytest.raises(StudyEndedError, match="max_failure_rate: 1 of 2 jobs at once failed, more than"):
            study.run(jobs, folder=str(tmp_path))
    assert len(jobs.batches) == n_batches


def test_a_study_without_a_score_says_so(storage: str, tmp_path: Path) -> None:
    with pytest.raises(StudyEndedError, match="no trial of the study lts has a score"):
        run(sweeper(storage, n_trials=2), None, None, folder=tmp_path)
    assert not (tmp_path / "optimization_results.yaml").exists()


@pytest.fixture
def begun(storage: str) -> list[dict[str, Any]]:
    """What was drawn in a study of four: done, failed, done, and one that was interrupted."""
    study = optuna.create_study(study_name="lts", storage=opened(storage), direction="maximize")
    for score in (0.5, None, 0.25, ...):
        trial = study.ask()
        trial.suggest_float("optimizer.lr", 1e-5, 1e-2, log=True)
        trial.suggest_categorical("loss", ["a", "b"])
        if score is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif score is not ...:
            study.tell(trial, score)
    return [trial.params for trial in study.trials]


def drawn(jobs: Jobs) -> list[dict[str, Any]]:
    return [{"optimizer.lr": float(job["optimizer.lr"]), "loss": job["loss"]} for job in jobs.arguments]


def test_what_is_done_counts_and_what_was_interrupted_or_failed_comes_first(
    begun: list[dict[str, Any]], storage: str, tmp_path: Path, capsys
) -> None:
    jobs = run(sweeper(storage, n_trials=6), *[0.1] * 4, folder=tmp_path)
    assert capsys.readouterr().out == "study lts: 2 of 6 trials are done, 4 to go\n"
    assert drawn(jobs)[:2] == [begun[1], begun[3]]
    assert all(new not in begun for new in drawn(jobs)[2:])
    assert states(storage) == ["COMPLETE", "FAIL", "COMPLETE", "FAIL", *["COMPLETE"] * 4]
    assert not run(sweeper(storage, n_trials=6), folder=tmp_path).batches


def test_what_waits_is_not_put_in_line_again(begun, storage: str, tmp_path: Path) -> None:
    for _ in range(2):
        run(sweeper(storage, n_trials=1), folder=tmp_path)
        assert states(storage)[4:] == ["WAITING", "WAITING"]


def test_what_was_interrupted_twice_is_put_in_line_once(begun, storage: str, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(sweeper(storage), KeyboardInterrupt(), folder=tmp_path)
    run(sweeper(storage, n_trials=1), folder=tmp_path)
    assert states(storage).count("WAITING") == 2
    jobs = run(sweeper(storage), 0.1, 0.1, folder=tmp_path)
    assert [begun[1], begun[3]] == sorted(drawn(jobs), key=[begun[1], begun[3]].index)


def test_what_was_interrupted_outside_of_the_present_bounds_is_left(
    begun: list[dict[str, Any]], storage: str, tmp_path: Path
) -> None:
    low = max(params["optimizer.lr"] for params in begun) * 1.01
    jobs = run(
        sweeper(storage, n_trials=3),
        0.1,
        folder=tmp_path,
        arguments=[f"optimizer.lr=tag(log, interval({low}, 1))", "loss=choice(a,b)"],
    )
    assert drawn(jobs)[0]["optimizer.lr"] >= low


def test_a_seed_decides_what_is_drawn_and_a_study_that_goes_on_draws_on(storage: str, tmp_path: Path) -> None:
    def first_four(seed: int | None) -> list[dict[str, Any]]:
        return drawn(run(sweeper(None, seed=seed), *[0.1] * 4, folder=tmp_path))

    assert first_four(3) == first_four(3)
    assert first_four(3) != first_four(4)
    assert first_four(None) != first_four(None)
    run(sweeper(storage, n_trials=2), 0.1, 0.1, folder=tmp_path)
    more = drawn(run(sweeper(storage, n_trials=4), 0.1, 0.1, folder=tmp_path))
    assert all(params not in first_four(0)[:2] for params in more)


def test_a_grid_is_gone_through_once_and_on(storage: str, tmp_path: Path) -> None:
    arguments = ["a=choice(x,y,z)", "b=range(0,0.3,0.1)", "c=1"]
    config = sweeper(storage, sampler="grid", n_trials=5)
    run(config, 0.1, 0.1, None, 0.1, 0.1, folder=tmp_path, arguments=arguments)
    config.n_trials = 100
    jobs = run(config, *[0.1] * 5, folder=tmp_path, arguments=arguments)
    assert len(jobs.arguments) == 5
    done = {(trial.params["a"], trial.params["b"]) for trial in trials(storage)}
    assert done == {(a, b) for a in "xyz" for b in (0, 0.1, 0.2)}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_sampler_draws_numbers_and_choices(sampler: str, tmp_path: Path) -> None:
    arguments = ["a=range(1,9)", "b=choice(1,true,none)"]
    scores = [0.1 * number for number in range(12)]
    jobs = run(sweeper(None, sampler=sampler, n_trials=12), *scores, folder=tmp_path, arguments=arguments)
    assert {int(job["a"]) for job in jobs.arguments} <= set(range(1, 9))
    assert {job["b"] for job in jobs.arguments} <= {"1", "True", "none"}


def test_other_choices_and_another_direction_are_refused_and_other_bounds_are_not(
    begun, storage: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="loss: the study in sqlite:.* has other choices; take another"):
        run(sweeper(storage), folder=tmp_path, arguments=["loss=choice(a,c)"])
    with pytest.raises(ConfigError, match="hydra.sweeper.direction: the study in .* has maximize; take"):
        run(sweeper(storage, direction="minimize"), folder=tmp_path)
    assert states(storage) == ["COMPLETE", "FAIL", "COMPLETE", "RUNNING"]
    wider = ["optimizer.lr=tag(log, interval(1e-6, 1))", "model.width=choice(4,8)"]
    run(sweeper(storage, n_trials=3), 0.1, folder=tmp_path, arguments=wider)


def test_a_file_that_is_no_study_is_refused(tmp_path: Path, storage: str) -> None:
    (tmp_path / "study.db").write_text("not a database, and long enough to be looked at as one" * 20)
    with pytest.raises(
        ConfigError, match="hydra.sweeper.storage: sqlite:.*cannot be opened: .*not a database"
    ):
        run(sweeper(storage), folder=tmp_path)
    with pytest.raises(ConfigError, match="hydra.sweeper.storage: nowhere cannot be opened: "):
        run(sweeper("nowhere"), folder=tmp_path)


def test_a_study_of_another_optuna_is_refused_with_what_brings_it_up_to_date(
    begun, tmp_path: Path, storage: str
) -> None:
    with sqlite3.connect(tmp_path / "study.db") as file:
        file.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    file.close()
    advice = f"`$ optuna storage upgrade --storage {storage}`"
    with pytest.raises(ConfigError) as refused:
        run(sweeper(storage), folder=tmp_path)
    assert str(refused.value).startswith(
        f"hydra.sweeper.storage: {storage} cannot be opened: The runtime optuna"
    )
    assert advice in str(refused.value)


def test_choices_of_other_plugins_do_not_mix_with_ours() -> None:
    """As hydra-optuna-sweeper stores them, against which Hydra would hold ours."""

    def import_theirs(store: ConfigStore) -> None:
        node = {"defaults": [{"sampler": "tpe"}], "n_trials": 7}
        store.store(group="hydra/sweeper", name="optuna", node=node)
        store.store(group="hydra/sweeper/sampler", name="tpe", node={"_target_": "theirs"})
        store.store(group="hydra/sweeper/sampler", name="motpe", node={"_target_": "theirs"})

    import_theirs(ConfigStore.instance())
    keep_own_choices()
    # A job in another process gets the store, and imports the plugins anew.
    sent = pickle.loads(pickle.dumps(ConfigStore.instance()))
    for store in (ConfigStore.instance(), sent):
        import_theirs(store)
        assert {"basic.yaml", "sampler"} <= set(store.list("hydra/sweeper"))
        assert "optuna.yaml" not in store.list("hydra/sweeper")
        assert store.list("hydra/sweeper/sampler") == []
    with hydra.initialize_config_dir(str(CONF.parents[1]), version_base="1.3"):
        composed = hydra.compose("train", overrides=["sweep=optuna"], return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        assert loader.get_group_options("hydra/sweeper/sampler") == SAMPLERS
    assert composed.hydra.sweeper._target_ == SWEEPER
    assert composed.hydra.sweeper.sampler._target_ == "optuna.samplers.TPESampler"
    prepare_study(composed.hydra.sweeper, ["a=1,2"])


def test_no_connection_stays_open(tmp_path: Path, storage: str) -> None:
    def n_open() -> int:
        return sum(type(each) is sqlite3.Connection for each in gc.get_objects())

    gc.collect()
    before = n_open()
    run(sweeper(storage), *[0.1] * 4, folder=tmp_path)
    assert n_open() == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_trials": 0}, "n_trials: must be a whole number >= 1, got 0"),
        ({"n_jobs": 1.5}, "n_jobs: must be a whole number, got 1.5"),
        ({"max_failure_rate": 1.1}, "max_failure_rate: must be from 0 to 1, got 1.1"),
        ({"direction": "up"}, "direction: must be minimize or maximize, got 'up'"),
        ({"seed": "a"}, "sampler.seed: must be a whole number or null, got 'a'"),
        ({"sampler": "grid"}, "optimizer.lr: must be choices or a range for hydra/sweeper/sampler=grid"),
    ],
)
def test_settings_that_make_no_study_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare_study(sweeper(None, **settings), ARGUMENTS)
