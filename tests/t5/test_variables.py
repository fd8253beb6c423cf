import pytest

from compacter_cli.methods.compacter import Compacter
from compacter_cli.t5.shapes import T5Shape
from compacter_cli.t5.variables import named_variables, select

NAMES = ["embedding", "encoder.0.feed_forward.output", "encoder.layer_norm", "decoder.layer_norm"]


def test_select_keeps_the_names_order_and_repeats_nothing():
    assert select(NAMES, ["*.layer_norm", "enc*", "embedding"]) == NAMES
    assert select(NAMES, ["decoder.*", "encoder.layer_norm"]) == NAMES[2:]
    assert select(NAMES, ["*"]) == NAMES


def test_select_of_no_patterns_is_nothing():
    assert select(NAMES, ()) == []


@pytest.mark.parametrize("pattern", ["*.bias", "layer_norm", "Embedding", ""])
def test_a_selector_that_matches_nothing_is_an_error(pattern):
    with pytest.raises(ValueError, match="matches no weight of the backbone") as error:
        select(NAMES, ["*", pattern])
    assert f'"{pattern}"' in str(error.value)


def test_named_variables_names_a_shared_layer_once():
    layers = Compacter(bottleneck=8).build(T5Shape(64, 32, 48, 1, 4, 8), seed=0)
    names = list(named_variables(layers))
    assert names[0] == "rule.A"
    assert names.count("rule.A") == 1
    assert set(names[1:7]) == {
        f"encoder.0.self_attention.adapter.{side}.{part}"
        for side in ("down", "up")
        for part in ("s", "t", "bias")
    }
    assert len(names) == 1 + 4 * 6
    assert not any("rule" in name for name in names[1:])
