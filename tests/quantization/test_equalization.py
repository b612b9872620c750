import numpy as np
import pytest

from kpuir.quantization.equalization import (
    SMALLEST_FACTOR,
    ChannelStatistics,
    Following,
    equalizing_factors,
    scale_inputs,
    scale_outputs,
)
from kpuir.quantization.weights import quantize_weights
from tests.quantization.functions import FUNCTIONS, convolve

rng = np.random.default_rng(11)


@pytest.mark.parametrize("first_depthwise", [False, True])
@pytest.mark.parametrize("second_depthwise", [False, True])
@pytest.mark.parametrize("name", ["linear", "relu", "leaky"])
def test_equalized_layers_compute_the_same(first_depthwise: bool, second_depthwise: bool, name: str):
    w1 = rng.standard_normal((5, 1 if first_depthwise else 5, 3, 3)) * np.exp(rng.normal(0, 2, (5, 1, 1, 1)))
    w2 = rng.standard_normal((5, 1, 3, 3) if second_depthwise else (4, 5, 1, 1))
    b1, x = rng.standard_normal(5), rng.standard_normal((5, 6, 7))
    w1[3] = b1[3] = 0

    def run(w1: np.ndarray, b1: np.ndarray, w2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        between = FUNCTIONS[name](convolve(x, w1, first_depthwise) + b1[:, None, None])
        return between, convolve(between, w2, second_depthwise)

    between, out = run(w1, b1, w2)
    seen = ChannelStatistics(np.abs(between).max(axis=(1, 2)), (between**2).mean(axis=(1, 2)))
    factors = equalizing_factors([Following(w2, second_depthwise)], seen)
    assert factors.min() >= SMALLEST_FACTOR
    even, same = run(*scale_outputs(w1, b1, factors), scale_inputs(w2, factors, second_depthwise))
    np.testing.assert_allclose(same, out, atol=1e-9 * np.abs(out).max())
    assert np.abs(even).max() == pytest.approx(seen.largest.max())


def test_equalization_lowers_the_error_of_quantized_layers():
    sizes = np.exp(rng.normal(0, 1.5, 16))
    x = np.maximum(rng.standard_normal((16, 40, 40)), 0) * sizes[:, None, None]
    w2 = rng.standard_normal((8, 16, 1, 1)) / sizes[None, :, None, None]
    exact = convolve(x, w2, False)

    def error(factors: np.ndarray) -> float:
        scaled = x / factors[:, None, None]
        step = scaled.max() / 255
        rounded = np.round(scaled / step) * step
        weights = quantize_weights(scale_inputs(w2, factors, False)).real
        return float(((convolve(rounded, weights, False) - exact) ** 2).mean())

    seen = ChannelStatistics(x.max(axis=(1, 2)), (x**2).mean(axis=(1, 2)))
    factors = equalizing_factors([Following(w2, False)], seen)
    assert factors.min() < 0.5
    assert error(factors) < 0.5 * error(np.ones(16))


def test_equalization_rejects_statistics_of_other_channels():
    with pytest.raises(ValueError, match="do not go with"):
        equalizing_factors([Following(np.ones((3, 5, 1, 1)), False)], ChannelStatistics(np.ones(4), np.ones(4)))
