"""Options among the settings of a command line."""

import pytest

from lts.app.config.options import options_first
from lts.base import ConfigError


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["model=unet", "-m", "seed=1,2"], ["-m", "model=unet", "seed=1,2"]),
        (["model=unet", "--cfg", "job", "seed=1"], ["--cfg", "job", "model=unet", "seed=1"]),
        (["seed=1", "--help"], ["--help", "seed=1"]),
        (["seed=1", "seed=1"], ["seed=1", "seed=1"]),
        (["scan.nii.gz"], ["scan.nii.gz"]),  # told of by who reads settings
        ([], []),
    ],
)
def test_options_may_stand_anywhere(given: list[str], read: list[str]) -> None:
    assert options_first(given, name="train") == read


@pytest.mark.parametrize(
    ("command", "arguments", "line"),
    [
        ("train", ["--epochs", "3"], "--epochs: no such option; .* Did you mean trainer.max_epochs=3\\?"),
        ("train", ["model=unet", "--batch-size=4"], "--batch-size=4: .* Did you mean data.batch_size=4\\?"),
        ("predict", ["--input", "a.nii", "--x"], "--input: .* Did you mean input=a.nii\\?"),
        ("predict", ["--overwrite"], "--overwrite: .* Did you mean overwrite=...\\?"),
        ("predict", ["--input", "output=masks"], "--input: .* Did you mean input=...\\?"),
        ("train", ["--zzz"], "--zzz: no such option; settings are written KEY=VALUE$"),
        ("train", ["--cfg", "jub"], "--cfg/-c: invalid choice: 'jub'"),
        ("train", ["--cfg"], "--cfg/-c: expected one argument"),
    ],
)
def test_an_unknown_option_is_told_in_one_line_with_the_setting_that_was_meant(
    command: str, arguments: list[str], line: str
) -> None:
    with pytest.raises(ConfigError, match=line) as refused:
        options_first(arguments, name=command)
    assert "\n" not in str(refused.value)
