import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpuir.quantization.parameters import QuantizationParameters
from kpuir.quantization.registers import LayerData, select_layer
from kpuir.quantization.weights import WeightBits, lattice_scale, quantize_weights
from tests.quantization.functions import FUNCTIONS, Real, convolve
from tests.quantization.hardware import accumulators, batch_norm_result, entry_code, run_layer

Q = QuantizationParameters
CODES = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
ZERO_POINTS = [Q(1.0, 0), Q(1 / 255, 0), Q(1 / 128, 127), Q(0.0371, 255), Q(3e-7, 3), Q(900.0, 77)]


def identity(x: Real) -> Real:
    return x


def check_fields(data: LayerData, weights: type[np.unsignedinteger[Any]] = np.uint8) -> None:
    """Every value fits its field of `kpu-hardware.md` 4 and 6."""
    assert (np.abs(data.bn_mul.astype(np.int64)) < 1 << 23).all()
    assert (data.bn_shift <= 15).all()
    assert (data.act_shift <= 20).all()
    assert data.act_start[0] == -(1 << 35)
    assert (np.diff(data.act_start) > 0).all()
    assert data.act_start[-1] < 1 << 35
    assert -(1 << 39) <= data.arg_add < 1 << 39
    assert 0 <= data.pad_value <= 255
    dtypes = [a.dtype for a in (data.bn_mul, data.bn_shift, data.bn_add, data.act_start, data.act_mul)]
    assert dtypes == [np.int32, np.uint8, np.int32, np.int64, np.int16]
    assert data.act_shift.dtype == data.act_add.dtype == np.uint8
    assert data.weights.dtype == weights


def extreme_inputs(data: LayerData, channel: int) -> list[int]:
    """The accumulators of the two inputs that drive a channel furthest."""
    w = data.weights[channel].astype(np.int64) + data.arg_x
    zero = data.pad_value
    return [int(np.where(w > 0, a - zero, b - zero).ravel() @ w.ravel()) for a, b in ((255, 0), (0, 255))]


@pytest.mark.parametrize("q", ZERO_POINTS)
@pytest.mark.parametrize("tap", [None, (1, 1), (0, 0), (2, 1)])
@pytest.mark.parametrize("part", [(1.0, 1.0), (0.3, 0.2), (0.0, 0.5)])
def test_one_hot_depthwise_layers_are_exact(q: Q, tap: tuple[int, int] | None, part: tuple[float, float]):
    weight = np.zeros((1, 1, 3, 3) if tap else (1, 1, 1, 1), np.float32)
    weight[(0, 0, *(tap or (0, 0)))] = 1
    data = select_layer(weight, np.zeros(1, np.float32), identity, q, q, True, (q.lo * part[0], q.hi * part[1]))
    padded = np.full((18, 18), q.zero_point)
    padded[1:-1, 1:-1] = CODES[0]
    row, column = tap or (1, 1)
    assert np.array_equal(run_layer(data, CODES)[0], padded[row : row + 16, column : column + 16])
    check_fields(data)


@pytest.mark.parametrize("q", ZERO_POINTS)
def test_one_hot_dense_layers_are_exact(q: Q):
    weight = np.eye(3)[[2, 0, 1]].reshape(3, 3, 1, 1)
    x = np.stack([CODES[0], CODES[0][::-1], CODES[0].T])
    data = select_layer(weight, np.zeros(3), identity, q, q, False, (q.lo, q.hi))
    assert np.array_equal(run_layer(data, x), x[[2, 0, 1]])


@pytest.mark.parametrize("name", ["relu", "negative"])
@pytest.mark.parametrize(("source", "target"), [(ZERO_POINTS[1], Q(1 / 128, 127)), (Q(0.1, 30), Q(0.037, 99))])
def test_requantization_is_rounding(name: str, source: Q, target: Q):
    function = FUNCTIONS[name]
    data = select_layer(np.ones((1, 1, 1, 1)), np.zeros(1), function, source, target, True, (source.lo, source.hi))
    real = function((CODES[0].astype(np.float64) - source.zero_point) * source.scale)
    exact = np.clip(real / target.scale + target.zero_point, 0, 255)
    assert np.abs(run_layer(data, CODES)[0] - exact).max() <= 0.51


def random_layer(
    seed: int, ic: int, oc: int, k: int, name: str, depthwise: bool, bits: WeightBits = 8
) -> dict[str, float]:
    """Errors in output codes: of the registers against float, of ideal quantization against float, and between both."""
    rng = np.random.default_rng(seed)
    function = FUNCTIONS[name]
    fan_in = (1 if depthwise else ic) * k * k
    x = np.maximum(rng.standard_normal((ic, 8, 10)), -0.3) * rng.uniform(0.5, 2)
    spread = np.exp(rng.normal(0, 0.5, (oc, 1, 1, 1)))
    weight = rng.standard_normal((oc, fan_in // (k * k), k, k)) / math.sqrt(fan_in) * spread
    bias = rng.normal(0, 0.3, oc)
    y = convolve(x, weight, depthwise) + bias[:, None, None]
    z = function(y)
    source = Q.from_range(float(x.min()), float(x.max()))
    target = Q.from_range(float(z.min()), float(z.max()))
    codes = source.quantize(x)
    bounds = (float(y.min()), float(y.max()))
    rounded = quantize_weights(weight, bits=bits)
    data = select_layer(weight, bias, function, source, target, depthwise, bounds, weights=rounded)
    check_fields(data, np.uint8 if bits == 8 else np.uint16)
    for channel in range(oc):
        for acc in extreme_inputs(data, channel):
            entry_code(data, batch_norm_result(data, channel, acc))
    got = (run_layer(data, codes).astype(np.float64) - target.zero_point) * target.scale
    exact = convolve(source.dequantize(codes).astype(np.float64), rounded.real, depthwise)
    ideal = function(exact + bias[:, None, None])
    ideal = target.dequantize(target.quantize(ideal)).astype(np.float64)
    error, floor = np.abs(got - z) / target.scale, np.abs(ideal - z) / target.scale
    return {
        "max": float(error.max()),
        "mean": float(error.mean()),
        "floor max": float(floor.max()),
        "floor mean": float(floor.mean()),
        "apart": float(np.abs(got - ideal).max() / target.scale),
    }


ROWS: list[tuple[int, int, int, str, bool]] = [
    (32, 8, 1, "linear", False),
    (16, 8, 3, "relu", False),
    (128, 4, 3, "relu", False),
    (8, 8, 3, "relu", True),
    (8, 8, 3, "relu6", True),
    (8, 8, 1, "clamp", True),
    (16, 8, 3, "sigmoid", False),
    (32, 8, 1, "leaky", False),
    (32, 8, 1, "hard_swish", False),
    (16, 8, 3, "tanh", False),
    (16, 8, 1, "swish", False),
    (16, 8, 1, "mish", False),
    (16, 8, 1, "elu", False),
    (16, 8, 1, "gelu", False),
    (16, 8, 1, "softplus", False),
    (16, 8, 1, "negative", False),
    (16, 8, 1, "falling_relu", False),
]


@pytest.mark.parametrize(("ic", "oc", "k", "name", "depthwise"), ROWS)
def test_layers_are_close_to_the_quantization_floor(ic: int, oc: int, k: int, name: str, depthwise: bool):
    results = [random_layer(seed, ic, oc, k, name, depthwise) for seed in (1, 2)]
    excess = np.mean([r["mean"] - r["floor mean"] for r in results])
    assert excess <= (0.005 if name in ("linear", "relu", "relu6", "clamp", "leaky", "negative") else 0.07)
    assert max(r["apart"] for r in results) <= 2.01


@pytest.mark.parametrize(("ic", "oc", "k", "name", "depthwise"), ROWS)
def test_wider_weights_bring_layers_closer(ic: int, oc: int, k: int, name: str, depthwise: bool):
    narrow, wide = (
        np.mean([random_layer(seed, ic, oc, k, name, depthwise, bits)["mean"] for seed in (1, 2)]) for bits in (8, 16)
    )
    assert wide <= narrow  # a channel of one weight is exact with 8 bits too


@pytest.mark.parametrize("bits", [8, 16])
def test_sums_of_the_largest_layers_stay_within_the_accumulator(bits: WeightBits):
    weight = np.ones((1, 1024, 3, 3))
    weight[0, 0, 0, 0] = -1
    source = Q(0.01, 3)
    reach = float(np.abs(weight).sum() * 2.55)
    codes = quantize_weights(weight, bits=bits)
    data = select_layer(weight, np.zeros(1), identity, source, Q.from_range(0, reach), False, (0, reach), weights=codes)
    ends = [entry_code(data, batch_norm_result(data, 0, acc)) for acc in extreme_inputs(data, 0)]
    assert ends == [round(252 / 255 * 255), 0]
    assert np.abs(codes.real - weight).max() < (1e-2 if bits == 8 else 1e-4)


@given(
    seed=st.integers(0, 1 << 30),
    bits=st.sampled_from([8, 16]),
    k=st.sampled_from([1, 3]),
    depthwise=st.booleans(),
    weight_exponent=st.integers(-30, 10),
    bias_exponent=st.integers(-20, 20),
    output_exponent=st.integers(-20, 20),
    name=st.sampled_from(sorted(FUNCTIONS)),
)
@settings(max_examples=60, deadline=None)
def test_no_input_overflows_whatever_the_scales(
    seed: int,
    bits: WeightBits,
    k: int,
    depthwise: bool,
    weight_exponent: int,
    bias_exponent: int,
    output_exponent: int,
    name: str,
):
    rng = np.random.default_rng(seed)
    channels = 4
    weight = rng.standard_normal((channels, 1 if depthwise else channels, k, k)) * 2.0**weight_exponent
    weight[0] = 0
    weight[1] *= 1e-6
    bias = rng.standard_normal(channels) * 2.0**bias_exponent
    source, target = Q(0.02, int(rng.integers(256))), Q(2.0**output_exponent, int(rng.integers(256)))
    reach = float(np.abs(weight).sum() * 5 + np.abs(bias).max())
    try:
        with np.errstate(all="ignore"):
            codes, bounds = quantize_weights(weight, bits=bits), (-reach, reach)
            data = select_layer(weight, bias, FUNCTIONS[name], source, target, depthwise, bounds, weights=codes)
    except ValueError:
        assert reach / target.scale > 2.0**18  # codes, of which the output has 256
        return
    check_fields(data, np.uint8 if bits == 8 else np.uint16)
    for channel in range(channels):
        for acc in extreme_inputs(data, channel):
            entry_code(data, batch_norm_result(data, channel, acc))


@pytest.mark.parametrize("name", ["linear", "relu", "relu6", "sigmoid", "hard_swish"])
@pytest.mark.parametrize("excess", [3, 100, 10_000])
def test_ranges_far_wider_than_the_output_do_no_harm(name: str, excess: float):
    source, target = Q(1 / 16, 128), Q.from_range(-1 if name == "linear" else 0, 1 if name == "sigmoid" else 6)
    data = select_layer(np.ones((1, 1, 1, 1)), np.zeros(1), FUNCTIONS[name], source, target, True, (-8, 8 * excess))
    real = FUNCTIONS[name]((CODES[0].astype(np.float64) - 128) / 16)
    exact = np.clip(real / target.scale + target.zero_point, 0, 255)
    assert np.abs(run_layer(data, CODES)[0] - exact).max() <= (1.6 if name in ("sigmoid", "hard_swish") else 0.6)


@pytest.mark.parametrize(("divisor", "side"), [(4, 2), (16, 4)])
def test_mean_pools_are_right_on_average(divisor: int, side: int):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (4, 32, 32)).astype(np.uint8)
    source, target = Q(0.01, 100), Q(0.02, 120)
    weight = rng.standard_normal((4, 4, 1, 1)) * 0.5
    real = convolve(source.dequantize(x).astype(np.float64), quantize_weights(weight).real, False)
    exact = np.clip(real / target.scale + target.zero_point, 0, 255)
    blocks = (4, 32 // side, side, 32 // side, side)
    wanted = exact.reshape(blocks).mean(axis=(2, 4))

    def bias_of_pool(pool_mean_divisor: int) -> float:
        bounds = (float(real.min()), float(real.max()))
        data = select_layer(weight, np.zeros(4), identity, source, target, False, bounds, pool_mean_divisor)
        sums = run_layer(data, x).astype(np.int64).reshape(blocks).sum(axis=(2, 4))
        return float((sums // divisor - wanted).mean())

    assert bias_of_pool(0) < -0.3
    assert abs(bias_of_pool(divisor)) < 0.05


def test_accumulator_terms_are_the_centred_product():
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((5, 3, 3, 3))
    data = select_layer(weight, np.zeros(5), identity, Q(0.1, 37), Q(0.2, 128), False, (-20, 20))
    x = rng.integers(0, 256, (3, 5, 6)).astype(np.uint8)
    centred = convolve(x.astype(np.float64) - 37, data.weights.astype(np.float64) - 128, False)
    assert np.array_equal(accumulators(data, x), centred.astype(np.int64))
    assert (data.arg_x, data.arg_w, data.arg_add, data.pad_value) == (-128, -37, 9 * 128 * 37, 37)


def good() -> tuple[np.ndarray, np.ndarray, Callable[[Real], Real], Q, Q, bool, tuple[float, float]]:
    return np.ones((2, 3, 1, 1)), np.zeros(2), identity, Q(1.0, 0), Q(1.0, 0), False, (-1.0, 1.0)


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, np.ones((2, 3, 2, 2)), r"k 1 or 3"),
        (0, np.full((2, 3, 1, 1), np.nan), "weights must be finite"),
        (1, np.zeros(3), r"bias must have shape \(2,\), got \(3,\)"),
        (1, np.array([0, np.inf]), "bias must be finite"),
        (1, np.array([0, 1e30]), "overflows the KPU's 36 bits"),
        (3, Q(1e30, 0), "overflows the KPU's 36 bits"),
        (5, True, r"depthwise \[C, 1, k, k\]"),
        (6, (1.0, -1.0), "ascending"),
        (6, (np.nan, 1.0), "finite"),
    ],
)
def test_impossible_layers_are_rejected(position: int, value: object, message: str):
    arguments: list[object] = list(good())
    arguments[position] = value
    with pytest.raises(ValueError, match=message):
        select_layer(*arguments)  # pyright: ignore[reportArgumentType]  # the wrong argument is the point


def test_only_mean_pools_the_kpu_has():
    with pytest.raises(ValueError, match="divides by 4 or 16, got 9"):
        select_layer(*good(), pool_mean_divisor=9)


@given(st.integers(0, 1 << 30), st.floats(1e-12, 1e6))
@settings(max_examples=30)
def test_weights_keep_their_bits_at_any_magnitude(seed: int, magnitude: float):
    weight = np.random.default_rng(seed).standard_normal((3, 4, 3, 3)) * magnitude
    weight[2] = 0
    quantized = quantize_weights(weight)
    worst = np.abs(weight).max(axis=(1, 2, 3))
    step = np.maximum(worst / 127, 1e-300)
    full = np.rint(weight / step[:, None, None, None]) * step[:, None, None, None]
    error = ((quantized.real - weight) ** 2).sum(axis=(1, 2, 3))
    assert (error <= ((full - weight) ** 2).sum(axis=(1, 2, 3)) * (1 + 1e-9)).all()
    assert (quantized.codes[2] == 128).all()


@given(st.integers(0, 1000), st.booleans(), st.integers(1, 3))
def test_weights_of_a_quantized_model_keep_their_codes(seed: int, asymmetric: bool, roundings: int):
    rng = np.random.default_rng(seed)
    low, high = (-int(rng.integers(1, 255)), 0) if asymmetric else (-127, 128)
    codes = rng.integers(low, low + 256 if asymmetric else high, (5, 3, 3, 3))
    scale = rng.uniform(1e-4, 1e-1, (5, 1, 1, 1)).astype(np.float32)
    weight = codes.astype(np.float32) * scale
    for _ in range(roundings - 1):  # as by folding constants
        factor = np.float32(rng.uniform(0.5, 2))
        weight, scale = weight * factor, scale * factor
    found = lattice_scale(weight)
    assert found is not None
    quantized = quantize_weights(weight, found)
    np.testing.assert_allclose(quantized.real, codes * scale.astype(np.float64), rtol=1e-5, atol=1e-30)


def test_float_weights_are_on_no_lattice():
    weight = np.random.default_rng(0).standard_normal((4, 8, 3, 3)).astype(np.float32)
    assert lattice_scale(weight) is None
    assert lattice_scale(np.array([[[[-201.0]], [[55.0]]], [[[1.0]], [[100.0]]]])) is None  # codes -201 to 100


def test_an_exact_layer_rounds_as_real_numbers_do():
    """With as many bits as there are, batch-norm and table add nothing to the rounding of results."""
    rng = np.random.default_rng(3)
    codes = rng.integers(-127, 128, (16, 64, 1, 1))
    weight, bias = (codes * 0.004).astype(np.float64), rng.normal(0, 0.3, 16)
    source, target = Q(0.023, 11), Q(0.041, 0)
    x = rng.integers(0, 256, (64, 8, 10)).astype(np.uint8)
    real = convolve(source.dequantize(x).astype(np.float64), weight, False) + bias[:, None, None]
    wanted = target.quantize(np.maximum(real, 0))
    limits = (float(real.min()), float(real.max()))
    exact = select_layer(weight, bias, FUNCTIONS["relu"], source, target, False, limits, tolerated=1e-6)
    usual = select_layer(weight, bias, FUNCTIONS["relu"], source, target, False, limits)
    assert (run_layer(exact, x) != wanted).mean() < 1e-3
    assert (run_layer(usual, x) != wanted).mean() < 2e-2
