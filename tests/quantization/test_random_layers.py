"""A thousand random layers against ideal arithmetic: only inputs, weights and outputs rounded, all else exact."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kpuir.quantization.parameters import QuantizationParameters
from kpuir.quantization.registers import LayerData, select_layer
from kpuir.quantization.weights import quantize_weights
from tests.quantization.functions import EXACT, FUNCTIONS, convolve
from tests.quantization.hardware import batch_norm_result, run_layer, run_layer_quickly

EXAMPLES = 1000
SCATTERED = ("abs",)
"""The KPU rounds falling pieces of a table wrongly, and what falls on one side only cannot be mirrored."""


@dataclass(frozen=True)
class Result:
    """Of one layer, in output codes: mean error beyond that of ideal arithmetic, and the farthest from its result."""

    name: str
    excess: float
    apart: int


def extremes_fit(data: LayerData) -> bool:
    """Whether the batch-norm results of the inputs that drive each channel furthest have 36 bits; checks the widths."""
    w = data.weights.reshape(len(data.weights), -1).astype(np.int64) + data.arg_x
    for channel, row in enumerate(w):
        for low, high in ((255, 0), (0, 255)):
            acc = int((np.where(row > 0, high, low) - data.pad_value) @ row)
            batch_norm_result(data, channel, acc)
    return True


def evaluate(seed: int) -> Result:
    """One random layer, its ranges those of its values."""
    rng = np.random.default_rng(seed)
    name, depthwise = str(rng.choice(sorted(FUNCTIONS))), bool(rng.integers(2))
    kernel, inputs, outputs = (int(rng.choice(sizes)) for sizes in ([1, 3], [1, 3, 8, 64, 200], [1, 4, 9]))
    outputs, function = inputs if depthwise else outputs, FUNCTIONS[name]
    x = np.maximum(rng.standard_normal((inputs, 8, 10)), -rng.uniform(0, 3)) * 2.0 ** rng.uniform(-12, 12)
    weight = rng.standard_normal((outputs, 1 if depthwise else inputs, kernel, kernel))
    weight *= np.exp(rng.normal(0, rng.uniform(0, 2), (outputs, 1, 1, 1)))
    weight *= 2.0 ** rng.uniform(-1, 4) / (x.std() * np.sqrt(weight[0].size))
    if outputs > 1 and rng.random() < 0.3:
        weight[0] = 0  # as pruning leaves it
    offset = rng.normal(0, rng.choice([0, 0.5, 3]), outputs)
    y = convolve(x, weight, depthwise) + offset[:, None, None]
    real = function(y)
    assume(np.ptp(real) > 1e-3 * np.abs(real).max())  # a layer that computes something
    source, target = (QuantizationParameters.from_range(float(a.min()), float(a.max())) for a in (x, real))
    codes = source.quantize(x)
    data = select_layer(weight, offset, function, source, target, depthwise, (float(y.min()), float(y.max())))
    assert extremes_fit(data)
    got = run_layer_quickly(data, codes)
    if rng.random() < 0.01:
        np.testing.assert_array_equal(got, run_layer(data, codes))
    rounded = quantize_weights(weight).real
    exact = function(convolve(source.dequantize(codes).astype(np.float64), rounded, depthwise) + offset[:, None, None])
    ideal = target.quantize(exact)
    found, wanted = (np.abs(target.dequantize(c).astype(np.float64) - exact).mean() for c in (got, ideal))
    apart = np.abs(got.astype(int) - ideal.astype(int)).max()
    return Result(name, float(found - wanted) / target.scale, int(apart))


@cache
def results() -> list[Result]:
    """Of all layers."""
    found: list[Result] = []

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None)
    @given(st.integers(0, 1 << 40))
    def collect(seed: int) -> None:
        found.append(evaluate(seed))

    collect()
    return found


def test_the_mean_error_is_that_of_ideal_arithmetic() -> None:
    assert len(results()) >= EXAMPLES
    assert np.mean([result.excess for result in results()]) <= 0.05
    for name in FUNCTIONS.keys() - set(SCATTERED):
        assert np.mean([result.excess for result in results() if result.name == name]) <= 0.05, name


def test_functions_of_straight_pieces_cost_nothing() -> None:
    """Curved ones are followed by at most 15 straight pieces."""
    assert max(result.excess for result in results() if result.name in EXACT) <= 0.05


def test_no_value_is_far_off() -> None:
    assert max(result.apart for result in results()) <= 2
