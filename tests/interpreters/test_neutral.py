"""The CPU instructions against references written out slowly; what the conformance vectors leave open."""

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kpuir.errors import InvalidInputError
from kpuir.interpreters.kernels import neutral
from kpuir.interpreters.kernels.neutral import Requantization, Taps, Window

FULL = (-float(np.finfo(np.float32).max), float(np.finfo(np.float32).max))
INT32 = st.integers(-(2**31), 2**31 - 1)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def to_int32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


@given(st.lists(INT32, min_size=1, max_size=5), INT32, st.integers(0, 62))
def test_fixed_point_rounds_halves_up(values: list[int], mul: int, shift: int) -> None:
    def slow(v: int) -> int:
        wrapped = (v * mul + (1 << (shift - 1) if shift else 0) + 2**63) % 2**64 - 2**63
        return to_int32(wrapped >> shift)

    assert neutral.fixed_point(np.array(values), mul, shift).tolist() == [slow(v) for v in values]


@pytest.mark.parametrize("shift", [-1, 63])
def test_fixed_point_shifts_that_break_the_runtime_are_refused(shift: int) -> None:
    with pytest.raises(InvalidInputError, match=f"shift is {shift}"):
        neutral.fixed_point(np.array([1]), 1, shift)


@given(st.lists(FLOATS, min_size=1, max_size=6), st.floats(2.0**-10, 1024, width=32), st.integers(0, 255))
def test_quantize_rounds_ties_away_from_zero(values: list[float], scale: float, zero_point: int) -> None:
    x = np.array(values, np.float32)
    out = np.empty(len(values), np.uint8)
    neutral.quantize(x, out, zero_point, scale)

    def slow(v: np.float32) -> int:
        with np.errstate(over="ignore"):
            exact = v * np.float32(scale) + np.float32(zero_point)
        if not math.isfinite(exact) or not -(2**31) <= exact < 2**31:
            return 0
        whole = math.floor(abs(Fraction(float(exact))) + Fraction(1, 2)) * (1 if exact >= 0 else -1)
        return min(max(whole, 0), 255)

    assert out.tolist() == [slow(v) for v in x]


def test_quantize_at_ties_and_beyond() -> None:
    x = np.array([0.5, 1.5, 2.5, 0.49999997, -0.5, 3e9, -3e9, np.nan, np.inf, 255.5], np.float32)
    out = np.empty(x.size, np.uint8)
    neutral.quantize(x, out, 0, 1.0)
    assert out.tolist() == [1, 2, 3, 0, 0, 0, 0, 0, 0, 255]


def test_dequantize_multiplies_by_the_rounded_reciprocal() -> None:
    q = np.arange(256, dtype=np.uint8)
    out = np.empty(256, np.float32)
    neutral.dequantize(q, out, 3, 49.0)
    inverse = np.float32(1) / np.float32(49)
    assert out.tolist() == [np.float32(int(value) - 3) * inverse for value in q]
    assert (out != (q.astype(np.float32) - np.float32(3)) / np.float32(49)).any()


def slow_conv2d(
    x: NDArray[Any], weights: NDArray[Any], bias: NDArray[Any], groups: int, window: Window
) -> NDArray[np.float32]:
    batch, channels, height, width = x.shape
    outputs, inputs = weights.shape[:2]
    out = np.empty((batch, outputs, *window.output_size(height, width)), np.float32)
    for n, oc, oy, ox in product(*map(range, out.shape)):
        total = np.float32(bias[oc])
        base = oc // (outputs // groups) * (channels // groups)
        for ic, ky, kx in product(range(inputs), range(window.size[0]), range(window.size[1])):
            iy = oy * window.stride[0] - window.pad_h[0] + ky * window.dilation[0]
            ix = ox * window.stride[1] - window.pad_w[0] + kx * window.dilation[1]
            if 0 <= iy < height and 0 <= ix < width:
                total = np.float32(total + np.float32(x[n, base + ic, iy, ix] * weights[oc, ic, ky, kx]))
        out[n, oc, oy, ox] = total
    return out


WINDOWS = st.builds(
    Window,
    st.tuples(st.integers(1, 3), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.tuples(st.integers(-1, 3), st.integers(-1, 3)),
    st.tuples(st.integers(-1, 3), st.integers(-1, 3)),
)


@settings(max_examples=40, deadline=None)
@given(WINDOWS, st.sampled_from([1, 2]), st.integers(0, 2**32))
def test_conv2d_adds_in_the_stated_order(window: Window, groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 4, 7, 8)).astype(np.float32)
    weights = rng.normal(size=(6, 4 // groups, *window.size)).astype(np.float32)
    bias = rng.normal(size=6).astype(np.float32)
    rows, columns = window.output_size(7, 8)
    if rows < 1 or columns < 1:
        return
    out = np.empty((2, 6, rows, columns), np.float32)
    neutral.conv2d(x, Taps.nchw(weights, window), bias, out, groups=groups, window=window, act=FULL)
    np.testing.assert_array_equal(out, slow_conv2d(x, weights, bias, groups, window))
    pooled = np.empty((2, 4, rows, columns), np.float32)
    neutral.reduce_window("max", x, pooled, -100.0, window=window, act=FULL)
    np.testing.assert_array_equal(pooled, slow_max(x, window))


def slow_max(x: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    rows, columns = window.output_size(*x.shape[2:])
    out = np.full((*x.shape[:2], rows, columns), -100, np.float32)
    for oy, ox, ky, kx in product(range(rows), range(columns), range(window.size[0]), range(window.size[1])):
        iy = oy * window.stride[0] - window.pad_h[0] + ky * window.dilation[0]
        ix = ox * window.stride[1] - window.pad_w[0] + kx * window.dilation[1]
        if 0 <= iy < x.shape[2] and 0 <= ix < x.shape[3]:
            out[:, :, oy, ox] = np.maximum(out[:, :, oy, ox], x[:, :, iy, ix])
    return out


def test_quantized_sums_wrap_at_32_bits() -> None:
    out = np.empty((1, 1), np.uint8)
    a, b = np.full((1, 2), 255, np.uint8), np.full((2, 1), 255, np.uint8)
    neutral.quantized_matmul(
        a, b, np.array([2**31 - 1], np.int32), out, a_offset=0, b_offset=0, requantization=Requantization(1, 0, 0)
    )
    assert out.item() == 0  # 2^31 - 1 + 2·255·255 is negative in 32 bits


def test_matmul_is_not_reordered() -> None:
    a = np.array([[1e8, 1, -1e8]], np.float32)
    out = np.empty((1, 1), np.float32)
    neutral.matmul(a, np.ones((3, 1), np.float32), np.zeros(1, np.float32), out, FULL)
    assert out.item() == 0


def test_sums_of_a_reduction_are_not_pairwise() -> None:
    x = np.full((1, 1, 1, 4096), 0.1, np.float32)
    out = np.empty((1, 1, 1, 1), np.float32)
    neutral.reduce("sum", x, out, 0.0, 1.0)
    total = np.float32(0)
    for value in x.reshape(-1):
        total = np.float32(total + value)
    assert out.item() == total
    assert total != x.sum()


def test_a_reduced_axis_has_size_one() -> None:
    with pytest.raises(InvalidInputError, match="a reduced axis has size 1"):
        neutral.reduce("sum", np.zeros((1, 1, 4, 4), np.float32), np.zeros((1, 1, 2, 4), np.float32), 0.0, 1.0)


def test_clamp_takes_infinities_but_not_nan() -> None:
    values = np.array([np.inf, -np.inf, np.nan, 3], np.float32)
    neutral.clamp(values, FULL)
    np.testing.assert_array_equal(values, np.array([FULL[1], FULL[0], np.nan, 3], np.float32))


@given(st.lists(st.integers(0, 255), min_size=1, max_size=6), st.integers(-255, 0), st.integers(-3, 3))
def test_quantized_division_rounds_and_truncates(values: list[int], offset: int, divisor: int) -> None:
    a, b = np.array(values, np.uint8), np.full(len(values), divisor + 3, np.uint8)
    out = np.empty(len(values), np.uint8)
    neutral.quantized_binary("div", a, b, out, (offset, 1, 0), (-3, 1, 0), (128, 1, 0))

    def slow(x: int) -> int:
        if divisor == 0:
            return 127
        return min(max(int(Fraction(x + offset + int(divisor / 2), divisor)) + 128, 0), 255)

    assert out.tolist() == [slow(x) for x in values]


AXES = st.integers(1, 6).flatmap(
    lambda size: st.tuples(
        st.just(size), st.integers(0, size - 1), st.integers(-1, size), st.sampled_from([-3, -2, -1, 1, 2, 3])
    )
)


@given(st.lists(AXES, min_size=4, max_size=4))
def test_strided_slice_walks_like_the_runtime(axes: list[tuple[int, int, int, int]]) -> None:
    sizes, begin, end, strides = zip(*axes, strict=True)
    x = np.arange(math.prod(sizes)).reshape(sizes)
    picks: list[list[int]] = []
    for first, last, step in zip(begin, end, strides, strict=True):
        i, picked = first, []
        while i < last if step > 0 else i > last:
            picked.append(i)
            i += step
        picks.append(picked)
    got = neutral.strided_slice(x, begin, end, strides)
    np.testing.assert_array_equal(got, x[np.ix_(*(np.array(picked, int) for picked in picks))])


@pytest.mark.parametrize(
    ("begin", "end", "stride", "message"),
    [(0, 4, 0, "stride of axis 0 is 0"), (2, 6, 1, "takes 2 to 5"), (-1, 3, 1, "takes -1 to 2")],
)
def test_slices_that_leave_the_tensor_are_refused(begin: int, end: int, stride: int, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        neutral.strided_slice(np.zeros(4), [begin], [end], [stride])


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=4))
def test_pad_adds_and_crops(axes: list[tuple[int, int, int]]) -> None:
    shape = [size for size, _, _ in axes]
    target = [size + before + after for size, before, after in axes]
    if min(target) < 0:
        return
    x = np.arange(1, math.prod(shape) + 1).reshape(shape)
    out = np.empty(target, x.dtype)
    neutral.pad(x, out, [before for _, before, _ in axes], -7)
    for index in np.ndindex(*target):
        source = [i - before for i, (_, before, _) in zip(index, axes, strict=True)]
        inside = all(0 <= i < size for i, size in zip(source, shape, strict=True))
        assert out[index] == (x[tuple(source)] if inside else -7)


def test_operands_of_odd_sizes_repeat_their_first_element() -> None:
    x = np.array([[[[1, 2]]]])
    expected = [[1, 2, 1, 1]] * 2
    assert neutral.broadcast(x, (1, 1, 2, 4))[0, 0].tolist() == expected
    assert neutral.broadcast_view(x, (1, 1, 2, 4))()[0, 0].tolist() == expected


def program(*parts: int | float) -> bytes:
    return b"".join(bytes([p]) if isinstance(p, int) else np.float32(p).tobytes() for p in parts)


def test_nnil_runs_a_stack() -> None:
    x = np.array([-2, 0, 5], np.float32)
    out = np.zeros(3, np.float32)
    # clamp(x·x - 2.5, 0, 1) / (1 + x), then an instruction that is not reached
    code = program(3, 1, 0x42, 6, 2.5, 0x41, 4, 5, 0x80, 5, 3, 0x40, 0x43, 0xA0, 0xFF)
    neutral.nnil(code, x, out)
    np.testing.assert_array_equal(out, np.array([-1, 0, np.float32(1) / np.float32(6)], np.float32))


def test_nnil_without_return_writes_nothing() -> None:
    out = np.full(2, 9, np.float32)
    neutral.nnil(program(3, 0, 0), np.zeros(2, np.float32), out)
    assert out.tolist() == [9, 9]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (program(3, 0x40), "byte 1: 0x40 finds the stack empty"),
        (program(0x77), "byte 0: 0x77 is no instruction"),
        (program(6, 1, 2), "byte 0: the literal is cut short"),
        (program(*[3] * 65), "byte 64: the stack holds 64 values"),
    ],
)
def test_broken_nnil_is_refused(code: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        neutral.nnil(code, np.zeros(2, np.float32), np.zeros(2, np.float32))


NOTHING = np.zeros((1, 1, 1, 2), np.float32)


@pytest.mark.parametrize(
    "call",
    [
        lambda: neutral.unary("tan", NOTHING, NOTHING),
        lambda: neutral.binary("tan", NOTHING, NOTHING, NOTHING, FULL),
        lambda: neutral.reduce("tan", NOTHING, NOTHING, 0.0, 1.0),
    ],
)
def test_unknown_operators_are_refused(call: Callable[[], None]) -> None:
    with pytest.raises(InvalidInputError, match="'tan'"):
        call()
