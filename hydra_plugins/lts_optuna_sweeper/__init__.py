"""Where Hydra finds the sweeper of `sweep=optuna`: it takes plugins from packages in `hydra_plugins` alone.

Every program with Hydra imports this, so what the sweeper is made of waits until it is used.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Runs the trials of an Optuna study as jobs; `conf/hydra/sweeper/optuna.yaml` has its settings."""

    def __init__(self, **settings: Any) -> None:
        """The settings are those of the config that `setup` gets."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, here or of a cluster, that runs the jobs."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )
        self._n_launched = 0

    def sweep(self, arguments: list[str]) -> None:  # noqa: ARG002
        """Run what the study has to go; the arguments stand in the config, too."""
        from lts.app.sweep.checks import swept_arguments
        from lts.app.sweep.study import prepare_study

        assert self.config is not None
        study = prepare_study(self.config.hydra.sweeper, swept_arguments(self.config))
        study.run(self._launch, folder=self.config.hydra.sweep.dir)

    def _launch(self, jobs: Sequence[Sequence[str]]) -> Sequence[JobReturn]:
        assert self.launcher is not None
        done = self.launcher.launch(jobs, initial_job_idx=self._n_launched)
        self._n_launched += len(jobs)
        return done
