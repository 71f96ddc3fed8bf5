import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import hydra
import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from lts.evaluation import ProbabilityScores, ScoringRules, summarize
from lts.evaluation.failures import advice, failure_totals
from lts.scores import CaseMasks, LesionFinding
from lts.volume import Voxel

CONF = Path(__file__).parents[2] / "conf"

PLAIN = LesionFinding(
    case="a",
    outcome="found",
    iou=0.0,
    slice=1,
    row=1,
    column=1,
    volume_ml=1.0,
    diameter_mm=15.0,
    mean_hu=60.0,
    contrast_hu=-40.0,
    edge_mm=5.0,
    outside_share=0.0,
    texture_hu=10.0,
    elongation=1.2,
    cause=None,
)


def finding(outcome: str, cause: str | None = None, **changes: float | None) -> LesionFinding:
    return replace(PLAIN, outcome=outcome, cause=cause, **changes)


def test_totals_count_every_lesion_once_in_each_table() -> None:
    findings = [
        finding("found", diameter_mm=9.99, contrast_hu=-19.9),
        finding("found", diameter_mm=10.0, contrast_hu=20.0),
        finding("found", diameter_mm=20.0, contrast_hu=-40.0),
        finding("missed", "low contrast", diameter_mm=20.1, contrast_hu=40.1),
        finding("missed", "low contrast", contrast_hu=None),
        finding("false alarm", "vessel-like", contrast_hu=-90.0),
    ]
    totals = failure_totals(findings)
    table = {
        name: {row["group"]: (row["found"], row["missed"], row["false_alarms"]) for row in rows}
        for name, rows in totals.items()
    }
    assert table == {
        "cause": {
            "low contrast": (None, 2, 0),
            "small": (None, 0, 0),
            "outside liver": (None, 0, 0),
            "vessel-like": (None, 0, 1),
            "bright texture": (None, 0, 0),
            "other": (None, 0, 0),
        },
        "size": {"< 10 mm": (1, 0, 0), "10-20 mm": (2, 1, 1), "> 20 mm": (0, 1, 0)},
        "contrast": {
            "< 20 HU": (1, 0, 0),
            "20-40 HU": (2, 0, 0),
            "> 40 HU": (0, 1, 1),
            "unknown": (0, 1, 0),
        },
    }
    assert list(table["size"]) == ["< 10 mm", "10-20 mm", "> 20 mm"]
    assert list(table["contrast"]) == ["< 20 HU", "20-40 HU", "> 40 HU", "unknown"]


def test_totals_are_plain_types() -> None:
    totals = failure_totals([finding("found"), finding("false alarm", "small", contrast_hu=None)])
    assert json.loads(json.dumps(totals)) == totals


def test_totals_of_nothing_are_zero() -> None:
    totals = failure_totals([])
    assert {row["missed"] for rows in totals.values() for row in rows} == {0}


MISSES = "train with loss=focal_dice loss.pos_weight=3"
ALARMS = "train on fewer slices with tumor"
BOTH = "to trade one for the other helps neither"
VESSELS = "look like vessels"
OUTSIDE = "lie outside the liver"


def lesions(**counts: int) -> list[LesionFinding]:
    """So many findings of each kind; `found=3, missed_small=2, alarm_other=1`."""
    made = []
    for kind, count in counts.items():
        outcome, _, cause = kind.partition("_")
        names = {"alarm": "false alarm", "outside": "outside liver", "low": "low contrast"}
        made += [finding(names.get(outcome, outcome), names.get(cause, cause) or None)] * count
    return [replace(one, cause="vessel-like") if one.cause == "vessel" else one for one in made]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, []),
        ({"found": 20}, []),
        ({"found": 9, "missed_small": 2, "missed_low": 1}, [MISSES]),  # 3 of 12
        ({"found": 19, "missed_small": 4, "missed_low": 2}, []),  # 6 of 25
        ({"found": 1, "missed_small": 1, "missed_low": 1}, []),  # less than three
        ({"found": 2, "missed_other": 9}, []),  # no setting answers these
        ({"found": 9, "alarm_other": 3}, [ALARMS]),
        ({"found": 10, "alarm_other": 3}, []),
        ({"found": 1, "alarm_other": 2}, []),
        ({"found": 9, "missed_small": 3, "alarm_small": 3}, [BOTH]),
        ({"found": 20, "alarm_vessel": 3, "alarm_other": 2}, [VESSELS]),
        ({"found": 90, "alarm_vessel": 3, "alarm_other": 10}, []),
        ({"found": 9, "alarm_vessel": 2, "alarm_outside": 1}, []),
        ({"found": 9, "alarm_outside": 3}, [OUTSIDE]),  # no reason to train otherwise
        ({"found": 90, "alarm_outside": 3, "alarm_other": 10}, []),
        ({"found": 6, "alarm_outside": 4, "alarm_other": 4}, [ALARMS, OUTSIDE]),
        (
            {"found": 9, "missed_low": 5, "alarm_vessel": 5, "alarm_outside": 4},
            [BOTH, VESSELS, OUTSIDE],
        ),
    ],
)
def test_advice_is_given_where_the_figures_bear_it_and_not_otherwise(
    counts: dict[str, int], said: list[str]
) -> None:
    sentences = advice(lesions(**counts))
    assert len(sentences) == len(said)
    for sentence, part in zip(sentences, said, strict=True):
        assert part in sentence
        assert sentence.endswith(".")


def test_masks_of_unknown_origin_get_no_advice() -> None:
    reference, prediction = np.zeros((2, 4, 40, 40), np.uint8)
    reference[:] = prediction[:] = 1
    reference[1, ::8, ::8] = 2
    masks = CaseMasks(
        case="a", prediction=prediction, reference=reference, voxel=Voxel.of_spacing((5.0, 1.0, 1.0))
    )
    scored = [ScoringRules().score_case(masks)]
    probabilities = ProbabilityScores()
    slab = SimpleNamespace(slices=slice(0, 4), probs=torch.rand(4, 2, 40, 40))
    probabilities.add(reference, slab)
    assert summarize(scored).metrics["advice"] == []
    (told,) = summarize(scored, probabilities=probabilities).metrics["advice"]
    assert told.startswith("25 of 25 lesions were missed")


def test_advice_quotes_the_counts_it_rests_on() -> None:
    kinds = {"found": 6, "missed_small": 2, "missed_low": 3, "missed_other": 4}
    (misses,) = advice(lesions(**kinds))
    assert misses.startswith(
        "9 of 15 lesions were missed, 5 of them for low contrast (< 20 HU) or small size (< 10 mm): train"
    )
    alarms, vessels, outside = advice(lesions(found=6, alarm_vessel=4, alarm_other=1, alarm_outside=3))
    assert alarms.startswith(
        "5 of 14 predicted lesions are false alarms (3 outside the liver not counted): train on fewer"
    )
    assert vessels.startswith("4 of 8 false alarms look like vessels")
    assert outside.startswith("3 of 8 false alarms lie outside the liver")
    (both,) = advice(lesions(found=6, missed_small=4, alarm_other=5))
    assert "4 of 10 lesions were missed, 4 of them for" in both
    assert "5 of 11 predicted lesions are false alarms: to trade" in both


def composed(sentence: str, *, command: str = "train") -> DictConfig:
    """The settings of a command with all overrides that a sentence names for it."""
    overrides = re.findall(r"[a-z_.]+=(?:\[[^\]]*\]|[^\s,;)]+)", sentence)
    own = [override for override in overrides if override.startswith("postprocess") == (command == "predict")]
    assert own
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(command, overrides=own)


def test_every_setting_that_advice_names_composes_and_does_what_is_said() -> None:
    default = composed("data.batch_size=16")
    (misses,) = advice(lesions(missed_small=5))
    config = composed(misses)
    assert config.loss["_target_"] == "lts.losses.FocalDiceLoss"
    assert hydra.utils.instantiate(config.loss).pos_weight == 3
    assert config.data.region_share > default.data.region_share
    (alarms,) = advice(lesions(alarm_other=5))
    config = composed(alarms)
    assert config.loss["_target_"] == "lts.losses.TverskyLoss"
    assert hydra.utils.instantiate(config.loss).alpha > config.loss.beta
    assert 0 < config.data.region_share < default.data.region_share
    both, vessels, outside = advice(lesions(missed_small=9, alarm_vessel=9, alarm_outside=9))
    config = composed(both)
    assert config.loss["_target_"] == "lts.losses.FocalDiceLoss"
    assert config.data.context == composed(vessels).data.context == 1 > default.data.context
    assert composed(outside).data.regions == ["liver", "tumor"]
    assert composed(outside, command="predict").postprocess.tumor_within_liver is True
