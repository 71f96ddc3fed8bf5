"""What lts uses of other libraries beyond their public interfaces: where it stands, and that it is there.

A test that fails here names the file of ours that a new version of a library breaks.
"""

import ast
import copy
import inspect
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[1]

GATHERED = {
    "lts/app/config/hydra_internals.py": {
        "hydra._internal.config_repository",
        "hydra._internal.utils",
        "_find_object_source",
        "ConfigRepository.load_config = ...",
        "ConfigStore.__deepcopy__ = ...",
    },
    "lts/app/run/lightning_internals.py": {"_MultiProcessingLauncher", "_SubprocessScriptLauncher"},
    "lts/app/sweep/lost_jobs.py": {"Job.results = ..."},
    "lts/networks/torch_internals.py": {
        "_C",
        "_are_functorch_transforms_active",
        "_backward_hooks",
        "_backward_pre_hooks",
        "_forward_hooks",
        "_forward_pre_hooks",
        "_has_any_global_hook",
        "_version",
    },
}
"""By file, all private names of others, and attributes of theirs that it sets."""

PUBLIC = {"_exit", "_target_"}
"""Names that are documented: `os._exit`, and the key of a config that names a class."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC


def names_of(tree: ast.AST) -> set[str]:
    """All names that a file gives: functions, classes, variables, attributes."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def is_of_libraries(module: str) -> bool:
    return module.partition(".")[0] not in {*sys.stdlib_module_names, "lts"}


def private_of_others(source: str) -> set[str]:
    """The private names that a file uses of libraries, and the attributes of theirs that it sets."""
    tree = ast.parse(source)
    own, found, imported = names_of(tree), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and is_of_libraries(node.module or ""):
            imported |= {alias.asname or alias.name for alias in node.names}
            found |= {alias.name for alias in node.names if is_private(alias.name)}
            found |= {node.module or ""} if any(map(is_private, (node.module or "").split("."))) else set()
        elif isinstance(node, ast.Import):
            modules = [alias for alias in node.names if is_of_libraries(alias.name)]
            imported |= {alias.asname or alias.name.partition(".")[0] for alias in modules}
            found |= {alias.name for alias in modules if any(map(is_private, alias.name.split(".")))}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        if is_private(node.attr) and node.attr not in own:
            found.add(node.attr)
        if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id in imported:
            found.add(f"{node.value.id}.{node.attr} = ...")
    return found


def test_private_names_of_others_are_used_only_where_they_are_gathered() -> None:
    files = [*ROOT.glob("lts/**/*.py"), *ROOT.glob("hydra_plugins/**/*.py")]
    assert len(files) > 200
    found = {str(file.relative_to(ROOT)): private_of_others(file.read_text()) for file in files}
    assert {file: names for file, names in found.items() if names} == GATHERED


def test_a_private_name_of_others_would_be_found() -> None:
    source = """
from torch._dynamo import config
from torch.nn.modules.conv import _ConvNd
import torch._inductor as inductor
from submitit import Job
import sys
class Own:
    def __init__(self): self._own = torch._C
Job.results = None
sys.excepthook = None
module._forward_hooks, os._exit, Own()._own
"""
    assert private_of_others(source) == {
        "torch._dynamo",
        "_ConvNd",
        "torch._inductor",
        "_C",
        "_forward_hooks",
        "Job.results = ...",
    }


HYDRA = "lts/app/config/hydra_internals.py needs this of Hydra"


def test_hydra_has_a_parser_of_its_options() -> None:
    from hydra._internal.utils import get_args_parser

    read = get_args_parser().parse_args(["-m", "a=1"])
    assert (read.multirun, read.overrides) == (True, ["a=1"]), HYDRA


def test_hydra_loads_each_file_by_one_method() -> None:
    from hydra._internal.config_repository import ConfigRepository

    load = inspect.signature(ConfigRepository.load_config).parameters
    find = inspect.signature(ConfigRepository._find_object_source).parameters
    assert set(load) & {"config_path", "repository"}, HYDRA
    assert {"config_path", "object_type"} <= set(find), HYDRA


def test_hydra_copies_its_store_with_its_repositories_and_keeps_choices_in_a_dict() -> None:
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    from lts.app.config.hydra_internals import share_structured_configs

    share_structured_configs()
    Plugins.instance()
    store = ConfigStore.instance()
    assert copy.deepcopy(SimpleNamespace(store=store)).store is store, HYDRA
    assert "basic.yaml" in store.repo["hydra"]["sweeper"], HYDRA


@pytest.mark.parametrize(("strategy", "copies"), [("ddp", False), ("ddp_spawn", True), ("auto", False)])
def test_lightning_tells_its_launchers_apart(strategy: str, copies: bool) -> None:
    from pytorch_lightning import Trainer
    from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher

    from lts.app.run.lightning_internals import copies_this_process, take_processes

    needed = "lts/app/run/lightning_internals.py needs this of Lightning"
    devices = 1 if strategy == "auto" else 2
    trainer = Trainer(accelerator="cpu", devices=devices, strategy=strategy, logger=False, barebones=True)
    assert copies_this_process(trainer) is copies, needed
    launcher = trainer.strategy.launcher
    if strategy == "ddp":
        assert isinstance(launcher, _SubprocessScriptLauncher), needed
        launcher.procs.append("a process")
        assert take_processes(trainer) == ["a process"], needed
        assert launcher.procs == [], needed
    assert take_processes(trainer) == [], needed


def test_a_cluster_job_is_asked_for_its_results_by_one_method() -> None:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
    from submitit import Job

    needed = "lts/app/sweep/lost_jobs.py needs this of submitit and hydra-submitit-launcher"
    assert ".results()" in inspect.getsource(BaseSubmititLauncher.launch), needed
    assert all(hasattr(Job, name) for name in ("results", "submission", "paths", "state", "job_id")), needed


TORCH = "lts/networks/torch_internals.py needs this of torch"


def test_torch_counts_changes_in_place() -> None:
    from lts.networks.torch_internals import version_of

    tensor = torch.zeros(2)
    before = version_of(tensor)
    tensor.add_(1)
    assert version_of(tensor) == before + 1, TORCH


def test_torch_knows_its_transforms() -> None:
    from lts.networks.torch_internals import is_transformed

    seen = []
    torch.func.vmap(lambda each: seen.append(is_transformed()) or each)(torch.zeros(2))
    assert seen == [True], TORCH
    assert not is_transformed(), TORCH


@pytest.mark.parametrize(
    "register",
    [
        lambda module: module.register_forward_pre_hook(lambda *_: None),
        lambda module: module.register_forward_hook(lambda *_: None),
        lambda module: module.register_full_backward_pre_hook(lambda *_: None),
        lambda module: module.register_full_backward_hook(lambda *_: None),
        lambda _: nn.modules.module.register_module_forward_hook(lambda *_: None),
        lambda _: nn.modules.module.register_module_full_backward_hook(lambda *_: None),
    ],
)
def test_torch_keeps_hooks_where_they_are_looked_for(register) -> None:
    from lts.networks.torch_internals import has_hooks

    module = nn.Conv2d(1, 1, 1)
    assert not has_hooks(module), TORCH
    handle = register(module)
    assert has_hooks(module), TORCH
    handle.remove()
    assert not has_hooks(module), TORCH
