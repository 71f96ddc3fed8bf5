"""lts asks nothing of the network: not when it is imported, not when it trains and predicts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_kit import ROOT
from run_kit import ON_CPU

# Python imports a module of this name before anything else, in the processes of a process too.
BLOCKS_SOCKETS = """
import socket
import sys

ASKS = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")


def block(event, arguments):
    if event not in ASKS:
        return
    if isinstance(arguments[0], socket.socket) and arguments[0].family == socket.AF_UNIX:
        return
    with open({log!r}, "a") as file:
        print(event, arguments, file=file)
    raise OSError("the network is blocked")


sys.addaudithook(block)
"""

IMPORTS_ALL = """
import importlib, pkgutil, lts
names = [module.name for module in pkgutil.walk_packages(lts.__path__, "lts.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


SILENT = ("NO_ALBUMENTATIONS_UPDATE", "PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS")
"""Variables that keep libraries from asking, whatever lts does."""


class Offline:
    """Runs Python where any use of the network fails and is written down, even if its error is swallowed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "asked.txt"
        (folder / "hooks").mkdir()
        (folder / "hooks" / "sitecustomize.py").write_text(BLOCKS_SOCKETS.format(log=str(self.log)))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {
            **{name: value for name, value in os.environ.items() if name not in SILENT},
            "PYTHONPATH": f"{self.folder / 'hooks'}{os.pathsep}{ROOT}",
            "TORCH_HOME": str(self.folder / "torch"),
        }
        line = [sys.executable, *arguments]
        return subprocess.run(line, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def asked(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture
def offline(tmp_path: Path) -> Offline:
    return Offline(tmp_path)


def test_a_use_of_the_network_is_seen_even_where_its_error_is_swallowed(offline: Offline) -> None:
    tries = "import urllib.request as r, contextlib as c\nwith c.suppress(OSError): r.urlopen('http://127.0.0.1:9')"
    assert offline.run("-c", tries).returncode == 0
    assert "127.0.0.1" in offline.asked()


def test_no_module_asks_anything_when_it_is_imported(offline: Offline) -> None:
    done = offline.run("-c", IMPORTS_ALL)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
    assert offline.asked() == ""


def test_training_and_predicting_ask_nothing(offline: Offline, make_case) -> None:
    scan = make_case().image
    settings = (*ON_CPU, "trainer.max_epochs=1", "paths.output_dir=run")
    trained = offline.run(str(ROOT / "train.py"), *settings)
    assert trained.returncode == 0, trained.stderr
    best = "run/checkpoints/best.ckpt"
    done = offline.run(str(ROOT / "predict.py"), f"ckpt={best}", f"input={scan}", "output=masks")
    assert done.returncode == 0, done.stderr
    assert (offline.folder / "masks" / "volume-0_mask.nii.gz").is_file()
    assert offline.asked() == ""


def test_loggers_that_could_send_ask_nothing(offline: Offline) -> None:
    pytest.importorskip("wandb")
    pytest.importorskip("mlflow")
    settings = (*ON_CPU, "trainer.max_epochs=1", "logger=[wandb,mlflow]", "paths.output_dir=run")
    trained = offline.run(str(ROOT / "train.py"), *settings)
    assert trained.returncode == 0, trained.stderr
    assert offline.asked() == ""


def test_imagenet_weights_are_asked_for_where_the_model_says_so(offline: Offline) -> None:
    settings = [word for word in ON_CPU if not word.startswith("model.")]
    refused = offline.run(str(ROOT / "train.py"), *settings, "model=resnet50", "paths.output_dir=run")
    assert refused.returncode == 2
    assert 'model.weights: "imagenet" must be at' in refused.stderr
    assert "download.pytorch.org" in offline.asked()
