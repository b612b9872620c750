import numpy as np
import pytest

from kpuir.quantization.bias import weight_rounding_bias
from kpuir.quantization.equalization import LARGEST_FACTOR, equalize_pair
from kpuir.quantization.weights import quantize_weights
from tests.quantization.functions import FUNCTIONS, convolve

rng = np.random.default_rng(11)


@pytest.mark.parametrize("depthwise", [False, True])
def test_bias_correction_restores_the_mean(depthwise: bool):
    x = rng.uniform(0, 1, (6, 40, 40)) * np.arange(1, 7)[:, None, None]
    weight = rng.standard_normal((6, 1 if depthwise else 6, 3, 3))
    rounded = np.round(weight * 4) / 4  # coarse, so that the shift is plain
    shift = weight_rounding_bias(weight, rounded, x.mean(axis=(1, 2)))
    inner = np.s_[:, 1:-1, 1:-1]
    actual = (convolve(x, rounded, depthwise) - convolve(x, weight, depthwise))[inner].mean(axis=(1, 2))
    assert np.abs(actual).max() > 0.1
    np.testing.assert_allclose(shift, actual, atol=0.02 * np.abs(actual).max())


def test_bias_correction_of_exact_weights_is_zero():
    weight = np.ones((2, 3, 1, 1))
    assert weight_rounding_bias(weight, quantize_weights(weight).real, np.ones(3)) == pytest.approx([0, 0])


def test_bias_correction_rejects_other_shapes():
    with pytest.raises(ValueError, match="do not go with"):
        weight_rounding_bias(np.ones((2, 3, 1, 1)), np.ones((2, 3, 1, 1)), np.ones(2))
    with pytest.raises(ValueError, match="were quantized to shape"):
        weight_rounding_bias(np.ones((2, 3, 1, 1)), np.ones((2, 3, 3, 3)), np.ones(3))


@pytest.mark.parametrize("first_depthwise", [False, True])
@pytest.mark.parametrize("second_depthwise", [False, True])
@pytest.mark.parametrize("name", ["linear", "relu", "leaky"])
def test_equalized_layers_compute_the_same(first_depthwise: bool, second_depthwise: bool, name: str):
    w1 = rng.standard_normal((5, 1 if first_depthwise else 5, 3, 3)) * np.exp(rng.normal(0, 2, (5, 1, 1, 1)))
    w2 = rng.standard_normal((5, 1, 3, 3) if second_depthwise else (4, 5, 1, 1))
    w1[3] = 0
    b1, x = rng.standard_normal(5), rng.standard_normal((5, 6, 7))

    def run(w1: np.ndarray, b1: np.ndarray, w2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        between = FUNCTIONS[name](convolve(x, w1, first_depthwise) + b1[:, None, None])
        return between, convolve(between, w2, second_depthwise)

    between, out = run(w1, b1, w2)
    observed = np.abs(between).max(axis=(1, 2))
    observed[3] = 0
    for channel_range in (None, observed):
        even, same = run(*equalize_pair(w1, b1, w2, channel_range))
        np.testing.assert_allclose(same, out, atol=1e-9 * np.abs(out).max())
        if channel_range is not None:
            ranges, before = np.abs(even).max(axis=(1, 2)), observed[observed > 0]
            ranges = ranges[observed > 0]
            assert ranges.max() / ranges.min() < before.max() / before.min()
            assert ranges.max() == pytest.approx(before.max())
            factors = ranges / before
            assert factors.max() <= LARGEST_FACTOR


def test_equalization_rejects_layers_that_do_not_follow():
    w = np.ones((4, 2, 1, 1))
    with pytest.raises(ValueError, match="do not follow each other"):
        equalize_pair(w, np.zeros(4), np.ones((3, 5, 1, 1)))
    with pytest.raises(ValueError, match="expected 4 channel ranges"):
        equalize_pair(w, np.zeros(4), np.ones((3, 4, 1, 1)), np.ones(3))
