"""Rounding with regard to the inputs: less error in what is computed, everything else as with the nearest codes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpuir.quantization.code_descent import improved_codes
from kpuir.quantization.rounding import rounded_codes

LOW, HIGH = -128, 127


def case(groups: int, outputs: int, inputs: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, scales and inputs [G, P, K] that have much in common, as neighbouring pixels do."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((groups, outputs, inputs))
    seen = rng.standard_normal((groups, 500, 1)) + 0.3 * rng.standard_normal((groups, 500, inputs))
    return weight, np.abs(weight).max(axis=2) / 7, seen - seen.mean(axis=1, keepdims=True)


def error(codes: np.ndarray, weight: np.ndarray, scale: np.ndarray, seen: np.ndarray) -> float:
    change = codes * scale[:, :, None] - weight
    return float(np.square(change @ seen.swapaxes(1, 2)).mean())


@settings(max_examples=30)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(3, 150), st.integers(0, 1000))
def test_outputs_change_less_than_with_the_nearest_codes(groups: int, outputs: int, inputs: int, seed: int) -> None:
    weight, scale, seen = case(groups, outputs, inputs, seed)
    codes = rounded_codes(weight, scale, seen.swapaxes(1, 2) @ seen, LOW, HIGH)
    assert (codes == np.rint(codes)).all()
    assert np.abs(codes - weight / scale[:, :, None]).max() < 3
    nearest = np.rint(weight / scale[:, :, None])
    assert error(codes, weight, scale, seen) <= error(nearest, weight, scale, seen) * 1.05


def test_the_gain_is_large_where_inputs_have_much_in_common() -> None:
    weight, scale, seen = case(2, 8, 100, 7)
    codes = rounded_codes(weight, scale, seen.swapaxes(1, 2) @ seen, LOW, HIGH)
    assert error(codes, weight, scale, seen) < 0.3 * error(np.rint(weight / scale[:, :, None]), weight, scale, seen)


def test_zeros_stay_and_codes_stay_in_range() -> None:
    weight, scale, seen = case(1, 5, 90, 3)
    weight[:, :, ::3] = 0
    codes = rounded_codes(weight, scale / 2, seen.swapaxes(1, 2) @ seen, -7, 7)
    assert not codes[:, :, ::3].any()
    assert np.abs(codes).max() == 7


@pytest.mark.parametrize("inputs", [1, 9, 70])
def test_inputs_that_never_vary_give_the_nearest_codes(inputs: int) -> None:
    weight, scale, _ = case(2, 3, inputs, 5)
    codes = rounded_codes(weight, scale, np.zeros((2, inputs, inputs)), LOW, HIGH)
    np.testing.assert_array_equal(codes, np.rint(weight / scale[:, :, None]))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(3, 40), st.integers(0, 1000))
def test_searching_on_only_helps(groups: int, outputs: int, inputs: int, seed: int) -> None:
    weight, scale, seen = case(groups, outputs, inputs, seed)
    weight[:, :, ::4] = 0
    covariance = seen.swapaxes(1, 2) @ seen
    first = rounded_codes(weight, scale, covariance, -7, 7)
    better = improved_codes(first, weight, scale, covariance, -7, 7)
    assert error(better, weight, scale, seen) <= error(first, weight, scale, seen)
    assert (better == np.rint(better)).all()
    assert np.abs(better).max() <= 7
    assert not better[weight == 0].any()
    for step in (-1, 1):  # no code of another value is better
        for column in np.flatnonzero(weight[0, 0]):
            moved = better.copy()
            moved[0, 0, column] += step
            if abs(moved[0, 0, column]) <= 7:
                changed = error(moved[:1, :1], weight[:1, :1], scale[:1, :1], seen[:1])
                assert changed >= error(better[:1, :1], weight[:1, :1], scale[:1, :1], seen[:1]) * (1 - 1e-6)
