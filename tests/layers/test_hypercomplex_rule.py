"""`HypercomplexRule`: the one owner of A, its initial values, its config, its errors."""

import keras
import numpy as np
import pytest
from compacter_layers import HypercomplexRule, LPHMDense, PHMDense


def test_it_holds_n_square_matrices_and_nothing_else():
    rule = HypercomplexRule(3)
    assert [tuple(variable.shape) for variable in rule.trainable_variables] == [(3, 3, 3)]
    assert rule.trainable_variables[0] is rule.A
    assert rule.count_params() == 27


def test_default_values_are_normal_with_standard_deviation_one_ten_thousandth():
    a = keras.ops.convert_to_numpy(HypercomplexRule(24).A)  # 13,824 values
    assert np.std(a) == pytest.approx(1e-4, rel=0.05)
    assert abs(np.mean(a)) < 5e-6
    assert np.abs(a).max() > 3e-4  # normal, neither uniform nor cut off


def test_each_rule_draws_values_of_its_own():
    first, second = HypercomplexRule(4), HypercomplexRule(4)
    assert not np.array_equal(first.A.numpy(), second.A.numpy())


@pytest.mark.parametrize("initializer", ["ones", keras.initializers.Ones()])
def test_a_given_initializer_is_used(initializer):
    assert np.array_equal(
        HypercomplexRule(2, initializer=initializer).A.numpy(), np.ones((2, 2, 2))
    )


@pytest.mark.parametrize("n", [0, -4, True, 2.0, "4", None])
def test_n_must_be_a_positive_integer(n):
    with pytest.raises(ValueError, match="`n` must be an integer of at least 1") as error:
        HypercomplexRule(n)
    assert f"Received: {n!r}" in str(error.value)


def test_config_round_trip():
    rule = HypercomplexRule(
        5, initializer=keras.initializers.RandomNormal(stddev=0.25, seed=3), name="slow"
    )
    again = HypercomplexRule.from_config(rule.get_config())
    assert (again.n, again.name) == (5, "slow")
    assert np.array_equal(again.A.numpy(), rule.A.numpy())  # the initializer came along


def test_A_stays_float32_in_mixed_precision():
    rule = HypercomplexRule(2, dtype="mixed_bfloat16")
    assert rule.A.dtype == "float32"


@pytest.mark.parametrize("layer", [LPHMDense, PHMDense])
def test_layers_without_a_rule_get_one_each(layer):
    first, second = layer(8, n=4), layer(8, n=4)
    assert first.rule is not second.rule
    assert first.rule.n == 4


@pytest.mark.parametrize("layer", [LPHMDense, PHMDense])
def test_configs_of_single_layers_know_nothing_of_one_another(layer):
    rule = HypercomplexRule(2)
    first, second = (layer.from_config(layer(4, n=2, rule=rule).get_config()) for _ in range(2))
    assert first.rule is not rule
    assert first.rule is not second.rule
