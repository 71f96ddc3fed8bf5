"""Nothing that lts opens may bring code: each call that could unpickle says that it does not."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("*.py"), *(ROOT / "lts").rglob("*.py")])

SAFE_ONLY_WITH = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "trainer.fit": ("weights_only", True),
    "trainer.test": ("weights_only", True),
    "trainer.validate": ("weights_only", True),
    "trainer.predict": ("weights_only", True),
}
NEVER = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "dill.load", "dill.loads"),
    *("cloudpickle.load", "cloudpickle.loads", "shelve.open", "marshal.load", "marshal.loads"),
    *("pd.read_pickle", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec"),
    *("torch.package.PackageImporter", "torch.hub.load", "load_from_checkpoint"),
}


BY_NAME = {"import_module", "__import__", "resolve_name", "instantiate", "locate", "get_class", "get_method"}
"""Calls that import or call what a string names."""

FROM_SETTINGS = {"lts/app/config/instantiate.py"}
"""Here the string is of a config, which is the user's own."""

FROM_CHECKPOINTS = {"lts/inference/building.py"}
"""Here it is of a checkpoint, and may be one of a rule: `inference/test_building.py` holds it."""

CONSTANT = {
    *("lts/__init__.py", "lts/app/command.py", "lts/app/commands/training/loggers.py"),
    *("lts/inference/formats.py", "lts/volume/_dicom_calls.py"),
}
"""Here it is one of a few that stand in lts itself."""


def unsafe_calls(source: str) -> Iterator[str]:
    """Calls that may run what a file brings, and names of such functions that are imported for themselves."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names & {*NEVER, *SAFE_ONLY_WITH, "numpy.load"}
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in NEVER or name.endswith(".load_from_checkpoint"):
            yield ast.unparse(node)
        if name in SAFE_ONLY_WITH:
            keyword, value = SAFE_ONLY_WITH[name]
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if given.get(keyword) != str(value):
                yield ast.unparse(node)


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "np.load(path, mmap_mode='r')",
        "trainer.fit(task, ckpt_path=ckpt)",
        "pickle.loads(content)",
        "from pickle import loads",
        "from numpy import load",
        "Task.load_from_checkpoint(path)",
    ],
)
def test_a_call_that_could_unpickle_is_seen(source: str) -> None:
    assert len(list(unsafe_calls(source))) == 1


def test_no_call_of_lts_can_unpickle() -> None:
    assert len(SOURCES) > 100
    found = [f"{path}: {call}" for path in SOURCES for call in unsafe_calls(path.read_text())]
    assert found == []


def named_calls(source: str) -> Iterator[str]:
    """Calls that have something imported or called by a name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in BY_NAME:
            yield ast.unparse(node)


@pytest.mark.parametrize("source", ["import_module(n)", "importlib.import_module(n)", "x = __import__(n)()"])
def test_a_call_by_a_name_is_seen(source: str) -> None:
    assert len(list(named_calls(source))) == 1


def test_what_a_checkpoint_names_is_imported_in_one_place() -> None:
    found = {str(path.relative_to(ROOT)) for path in SOURCES if list(named_calls(path.read_text()))}
    assert found == FROM_SETTINGS | FROM_CHECKPOINTS | CONSTANT
