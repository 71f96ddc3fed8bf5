"""Which settings say what is scored."""

import re

import pytest
from settings_kit import compose

from lts.app.commands.evaluate import task_of
from lts.base import ConfigError


@pytest.mark.parametrize(
    ("task", "setting", "told"),
    [
        ("ckpt=a", "references=b", "references: has no meaning for ckpt=..., got 'b'"),
        ("ckpt=a", "allow_unpaired=true", "allow_unpaired: has no meaning for ckpt"),
        ("folds=a", "references=b", "references: has no meaning for folds"),
        ("folds=a", "allow_unpaired=true", "allow_unpaired: has no meaning for folds"),
        (
            "predictions=a",
            "allow_training_cases=true",
            "allow_training_cases: has no meaning for predictions",
        ),
        ("compare=[a,b]", "reference_labels={liver: [5]}", "reference_labels: has no meaning for compare"),
        ("ckpt=a", "prediction_labels={liver: [5]}", "prediction_labels: has no meaning for ckpt"),
        ("compare=[a,b]", "allow_training_cases=true", "allow_training_cases: has no meaning for compare"),
        ("ckpt=a", "data.labels={liver: [5]}", "data.labels: has no meaning without data.root"),
        ("predictions=a", "data.labels={liver: [5]}", "data.labels: has no meaning without data.root"),
        ("compare=[a,b]", "data.root=c", "data: has no meaning for compare=..., got {'root': 'c'}"),
        ("compare=[a,b]", "overlays=true", "overlays: has no meaning for compare=..., got True"),
        ("compare=[a,b]", "viewers=all", "viewers: has no meaning for compare=..., got 'all'"),
        ("predictions=a", "viewers=-1", "viewers: must be 0 or more, or all, got -1"),
    ],
)
def test_a_setting_without_effect_is_refused(task: str, setting: str, told: str) -> None:
    assert task_of(compose("evaluate", task)) == task.partition("=")[0]
    with pytest.raises(ConfigError, match=re.escape(told)):
        task_of(compose("evaluate", task, setting))
