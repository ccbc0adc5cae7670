import pytest

from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.learning.optimiser import rate_share, weight_groups
from greengrocer.training.recipe import Optimisation

STAGES = 9  # the stem, 7 runs of blocks, the last convolution


def test_without_decay_the_backbone_has_one_learning_rate(network: Recogniser) -> None:
    *backbone, head = weight_groups(network, Optimisation(lr=0.1, head_lr=0.2))
    assert {group["peak"] for group in backbone} == {0.1}
    assert head["peak"] == 0.2
    assert len(list(head["params"])) == 2


@pytest.mark.parametrize("variant", ["efficientnet-lite0", "efficientnet-lite2"])
def test_each_stage_below_the_head_learns_more_slowly(variant: str) -> None:
    network = Recogniser(variant, classes=2)
    groups = weight_groups(network, Optimisation(lr=0.1, head_lr=0.2, layer_decay=0.5))
    expected = [0.1 * 0.5**depth for depth in range(STAGES)]
    assert [group["peak"] for group in groups] == pytest.approx([*expected, 0.2])
    of = {id(w): group["peak"] for group in groups for w in group["params"]}
    weights = dict(network.backbone.named_parameters())
    assert of[id(weights["stem.0.weight"])] == pytest.approx(0.1 * 0.5**8)
    assert of[id(weights["head.0.weight"])] == 0.1
    assert of.keys() == {id(weight) for weight in network.parameters()}


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    how = Optimisation(epochs=5, warmup_epochs=1)
    shares = [rate_share(step, 10, how) for step in range(50)]
    assert shares[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert (shares[10], rate_share(50, 10, how)) == pytest.approx((1, 0))
