import numpy as np
import pytest

from lts.base import ConfigError
from lts.evaluation import ScoringRules
from lts.scores import region_masks

LABELS = np.array([[[0, 1, 2, 1]], [[2, 2, 0, 0]]], np.uint8)


def test_a_liver_holds_its_tumors_and_each_region_is_a_channel() -> None:
    masks = region_masks(LABELS, ["liver", "tumor"])
    assert masks.shape == (2, 2, 1, 4)
    assert np.array_equal(masks[:, 0], LABELS >= 1)
    assert np.array_equal(masks[:, 1], LABELS == 2)
    assert np.array_equal(region_masks(LABELS, ["tumor"]), masks[:, 1:])
    assert np.array_equal(region_masks(LABELS[0], ["liver", "tumor"]), masks[0])


@pytest.mark.parametrize("regions", [("tumor", "liver"), ("spleen",), ("liver", "liver"), ()])
def test_regions_that_labels_do_not_have_are_refused(regions: tuple[str, ...]) -> None:
    for use in (
        lambda: region_masks(LABELS, regions),
        lambda: ScoringRules(regions=regions),
    ):
        with pytest.raises(ConfigError, match=r"^regions: must be one or more of \['liver', 'tumor'\] in th"):
            use()
