"""One KPU layer against a reference that follows kmodel-v4.md 9.5 pixel by pixel in Python integers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kpuir.errors import InvalidInputError
from kpuir.interpreters.kernels import kpu_layer
from kpuir.interpreters.kernels.kpu_layer import LayerNumbers, prepare, run, run_dense
from kpuir.interpreters.kernels.kpu_layout import Layout, pack, unpack
from kpuir.kmodel.layer import LayerRegisters, pack_activation, pack_batch_norm
from kpuir.target.k210 import PoolKind, feature_map_bytes, row_layout


def round_shift(t: int, shift: int) -> int:
    if shift == 0:
        return t
    q, fraction, half = t >> shift, t & ((1 << shift) - 1), 1 << (shift - 1)
    away = fraction > half or (fraction == half and q % 2 == 1)
    return q + (1 if t >= 0 else -1) * away


def reference_pixel(layer: LayerNumbers, image: NDArray[np.uint8], oc: int, y: int, x: int) -> int:
    reach = layer.kernel // 2
    channels = [oc] if layer.depthwise else range(layer.input_channels)
    products = pixels = 0
    for position, channel in enumerate(channels):
        for ky in range(layer.kernel):
            for kx in range(layer.kernel):
                iy, ix = y + ky - reach, x + kx - reach
                inside = 0 <= iy < layer.height and 0 <= ix < layer.width
                value = int(image[channel, iy, ix]) if inside else layer.pad_value
                products += value * int(layer.weights[oc, position, ky, kx])
                pixels += value
    weights = int(layer.weights[oc].astype(object).sum())
    acc = products + ((layer.arg_x * pixels) >> layer.shr_x) + ((layer.arg_w * weights) >> layer.shr_w)
    acc += layer.arg_add * len(channels)
    v = ((acc * int(layer.bn_mul[oc])) >> int(layer.bn_shift[oc])) + int(layer.bn_add[oc])
    s = max((i for i in range(16) if v > layer.act_start[i]), default=0)
    t = (v - int(layer.act_start[s])) * int(layer.act_mul[s])
    return min(max(round_shift(t, int(layer.act_shift[s])) + int(layer.act_add[s]), 0), 255)


def reference(layer: LayerNumbers, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    full = np.array(
        [
            [
                [[reference_pixel(layer, image, oc, y, x) for x in range(layer.width)] for y in range(layer.height)]
                for oc in range(layer.output_channels)
            ]
            for image in images
        ],
        np.uint8,
    )
    return reference_pool(layer.pool, full)


def reference_pool(pool: PoolKind, full: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = full.shape[2] // pool.stride, full.shape[3] // pool.stride
    out = np.empty((*full.shape[:2], rows, columns), np.uint8)
    last_row, last_column = full.shape[2] - 1, full.shape[3] - 1
    for y in range(rows):
        for x in range(columns):
            top, left = y * pool.stride + pool.pick[0], x * pool.stride + pool.pick[1]
            ys = [min(top + i, last_row) for i in range(pool.window)]
            xs = [min(left + i, last_column) for i in range(pool.window)]
            window = full[:, :, ys][:, :, :, xs].astype(int)
            total = window.sum((2, 3)) // pool.window**2 if pool.is_mean else window.max((2, 3))
            out[:, :, y, x] = total
    return out


def make_layer(rng: np.random.Generator, **changes: Any) -> LayerNumbers:
    """A layer of everyday numbers: outputs spread over 0..255, two segments as a ReLU has them."""
    inputs, outputs, kernel = changes.pop("inputs", 3), changes.pop("outputs", 4), changes.pop("kernel", 3)
    depthwise = changes.get("depthwise", False)
    shape = (outputs, 1 if depthwise else inputs, kernel, kernel)
    start = np.array([-(2**35), 0, *range(2**35 - 15, 2**35 - 1)])
    values: dict[str, Any] = {
        "height": 5,
        "width": 6,
        "depthwise": False,
        "pool": PoolKind.BYPASS,
        "pad_value": int(rng.integers(256)),
        "arg_x": -int(rng.integers(256)),
        "shr_x": 0,
        "arg_w": -int(rng.integers(256)),
        "shr_w": 0,
        "arg_add": int(rng.integers(2**16)),
        "weights": rng.integers(0, 256, shape).astype(np.uint8),
        "bn_mul": rng.integers(-(2**15), 2**15, outputs),
        "bn_shift": rng.integers(0, 16, outputs),
        "bn_add": rng.integers(-(2**20), 2**20, outputs),
        "act_start": start,
        "act_mul": np.array([0, 700] + [0] * 14),
        "act_shift": np.array([0, 22] + [0] * 14),
        "act_add": np.array([7, 3] + [255] * 14),
    }
    return LayerNumbers(**(values | changes))


def wild_table(rng: np.random.Generator, reach: int, *, descending: bool) -> dict[str, NDArray[Any]]:
    return {
        "act_start": np.array([-(2**35), *np.sort(rng.integers(-reach, reach, 15))]),
        "act_mul": rng.integers(-(2**15) if descending else 0, 2**15, 16),
        "act_shift": rng.integers(5, 30, 16),
        "act_add": rng.integers(0, 256, 16),
    }


def check(layer: LayerNumbers, rng: np.random.Generator, batch: int = 1) -> None:
    images = rng.integers(0, 256, (batch, layer.input_channels, layer.height, layer.width)).astype(np.uint8)
    np.testing.assert_array_equal(run_dense(layer, images), reference(layer, images))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    pool=st.sampled_from(PoolKind),
    kernel=st.sampled_from([1, 3]),
    depthwise=st.booleans(),
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    shifts=st.tuples(st.sampled_from([0, 0, 3, 15]), st.sampled_from([0, 0, 4, 15])),
    table=st.sampled_from(["relu", "ascending", "descending"]),
)
def test_a_layer_is_the_formula(
    seed: int,
    pool: PoolKind,
    kernel: int,
    depthwise: bool,
    size: tuple[int, int],
    shifts: tuple[int, int],
    table: str,
) -> None:
    rng = np.random.default_rng(seed)
    inputs = int(rng.integers(1, 5))
    changes = {} if table == "relu" else wild_table(rng, 2**22, descending=table == "descending")
    layer = make_layer(
        rng,
        inputs=inputs,
        outputs=inputs if depthwise else int(rng.integers(1, 5)),
        kernel=kernel,
        depthwise=depthwise,
        pool=pool,
        height=size[0],
        width=size[1],
        shr_x=shifts[0],
        shr_w=shifts[1],
        **changes,
    )
    check(layer, rng, batch=2)


WORDS = np.random.default_rng(8).integers(0, 1 << 16, (4, 3, 3, 3)).astype(np.uint16)


@pytest.mark.parametrize(
    ("changes", "arithmetic"),
    [
        ({}, "float32"),
        ({"arg_x": -(2**20), "bn_mul": np.array([-9, 1, 2, 30]), "bn_shift": np.full(4, 9)}, "float64"),
        ({"arg_x": -(2**20), "depthwise": True, "inputs": 4}, "float64 exact"),
        ({"shr_x": 4}, "float32 exact"),
        ({"weights": WORDS, "bn_mul": np.array([-9, 1, 2, 30]), "bn_shift": np.full(4, 9)}, "float64"),
        ({"weights": WORDS, "shr_x": 4}, "float64 exact"),
        ({"weights": WORDS[:, :1], "depthwise": True, "inputs": 4}, "float64 exact"),
        ({"bn_mul": np.full(4, 2**23 - 1), "arg_add": 2**36}, "float32 exact"),
    ],
)
def test_each_arithmetic_is_exact(changes: dict[str, Any], arithmetic: str) -> None:
    rng = np.random.default_rng(5)
    layer = make_layer(rng, **changes)
    assert prepare(layer).arithmetic == arithmetic
    check(layer, rng)


def test_sums_at_the_limit_of_float32_stay_exact() -> None:
    # 73 · 9 taps of 255·100 = 16 753 500 lie just below 2^24; one more channel takes the layer to float64
    rng = np.random.default_rng(1)
    for channels, arithmetic in ((73, "float32"), (74, "float64")):
        layer = make_layer(
            rng,
            inputs=channels,
            outputs=2,
            arg_x=0,
            arg_w=0,
            arg_add=0,
            height=4,
            width=4,
            weights=np.full((2, channels, 3, 3), 100, np.uint8),
            bn_mul=np.array([1, 3]),
            bn_shift=np.array([0, 1]),
            bn_add=np.array([-16_753_400 if channels == 73 else -16_980_000, -25_000_000]),
            act_mul=np.array([0, 1] + [0] * 14),
            act_shift=np.zeros(16, int),
        )
        assert prepare(layer).arithmetic == arithmetic
        images = np.full((1, channels, 4, 4), 255, np.uint8)
        images[0, 0, 1, 1] = 254
        np.testing.assert_array_equal(run_dense(layer, images), reference(layer, images))


def test_halves_go_to_even_and_below_zero_one_further_down() -> None:
    # v = x on a 1x1 identity; slope 1/2 up to the start of segment 2, then -1/2
    rng = np.random.default_rng(0)
    identity: dict[str, Any] = {
        "inputs": 1,
        "outputs": 1,
        "kernel": 1,
        "height": 4,
        "width": 4,
        "arg_x": 0,
        "arg_w": 0,
        "arg_add": 0,
        "weights": np.ones((1, 1, 1, 1), np.uint8),
        "bn_mul": np.array([1]),
        "bn_shift": np.array([0]),
        "bn_add": np.array([0]),
        "act_start": np.array([-(2**35), -1, 7] + [2**35 - 1] * 13),
        "act_mul": np.array([0, 1, -1] + [0] * 13),
        "act_shift": np.ones(16, int),
        "act_add": np.array([0, 10, 50] + [0] * 13),
    }
    layer = make_layer(rng, **identity)
    image = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    expected = [10, 11, 12, 12, 12, 13, 14, 14, 48, 49, 48, 48, 46, 47, 46, 46]
    assert run_dense(layer, image).reshape(-1).tolist() == expected
    np.testing.assert_array_equal(run_dense(layer, image), reference(layer, image))


@given(st.integers(1, 2), st.integers(1, 9), st.integers(1, 5), st.integers(1, 130), st.integers(0, 255))
@settings(max_examples=40, deadline=None)
def test_lines_hold_every_pixel_where_the_formula_says(n: int, c: int, h: int, w: int, filler: int) -> None:
    dense = np.random.default_rng(n * c * h * w).integers(0, 256, (n, c, h, w)).astype(np.uint8)
    lines = pack(dense)
    assert lines.size == feature_map_bytes(n, c, h, w)
    g, pitch, r = row_layout(w)
    i = np.indices(dense.shape)
    image = feature_map_bytes(1, c, h, w)
    at = i[0] * image + i[1] // g * (r * h * 64) + i[1] % g * pitch + i[2] * r * 64 + i[3]
    np.testing.assert_array_equal(lines[at], dense)
    np.testing.assert_array_equal(unpack(lines, (n, c, h, w)), dense)
    untouched = np.full(lines.size, filler, np.uint8)
    layout = Layout.lines((n, c, h, w))
    for view in layout.parts(untouched, 0):
        view[...] = 1
    assert int((untouched == 1).sum()) == (dense.size if filler != 1 else lines.size)


def test_a_layer_in_ram_touches_only_its_pixels() -> None:
    rng = np.random.default_rng(3)
    layer = make_layer(rng, inputs=5, outputs=6, height=7, width=11, pool=PoolKind.MAX_2_S2)
    images = rng.integers(0, 256, (2, 5, 7, 11)).astype(np.uint8)
    expected = reference(layer, images)
    target = np.full(feature_map_bytes(2, 6, 3, 5), 99, np.uint8)
    run(prepare(layer), pack(images), target, batches=2)
    np.testing.assert_array_equal(unpack(target, (2, 6, 3, 5)), expected)
    blank = np.zeros(target.size, bool)
    for view in Layout.lines((2, 6, 3, 5)).parts(blank, 0):
        view[...] = True
    assert (target[~blank] == 99).all()


def registers(**changes: int) -> LayerRegisters:
    values = {
        "i_ch_num": 2,
        "o_ch_num": 3,
        "i_row_wid": 7,
        "i_col_high": 4,
        "o_row_wid": 3,
        "o_col_high": 1,
        "kernel_type": 1,
        "pool_type": 1,
    }
    return LayerRegisters(**(values | changes))


def of_registers(layer: LayerRegisters, weights: int = 108) -> LayerNumbers:
    norm = pack_batch_norm([1] * 4, [0] * 4, [0] * 4)
    table = pack_activation([-(2**35)] * 16, [0] * 16, [0] * 16)
    return LayerNumbers.of_registers(layer, norm, table, np.zeros(16, np.uint8), np.zeros(weights, np.uint8))


def test_registers_give_the_numbers() -> None:
    layer = of_registers(registers(arg_x=-5, shr_x=2))
    assert (layer.input_channels, layer.output_channels, layer.kernel, layer.output_size) == (3, 4, 3, (2, 4))
    assert (layer.arg_x, layer.shr_x, layer.pool) == (-5, 2, PoolKind.MAX_2_S2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_type": 2}, "kernel_type is 2"),
        ({"pool_type": 10}, "pool_type is 10"),
        ({"depth_wise_layer": 1}, "3 input and 4 output channels"),
        ({"o_row_wid": 4}, "the output is 2x5, pooling 5x8 gives 2x4"),
        ({"o_ch_num": 4}, "4 batch-norm entries, its registers say 5"),
        ({"i_ch_num": 3}, "108 weights, its registers say 144"),
    ],
)
def test_registers_that_contradict_each_other_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        of_registers(registers(**changes))


def test_an_image_of_another_size_is_refused() -> None:
    layer = make_layer(np.random.default_rng(0))
    with pytest.raises(InvalidInputError, match="the image is 3x5x7, the layer takes 3x5x6"):
        run_dense(layer, np.zeros((1, 3, 5, 7), np.uint8))


def test_scratch_grows_and_is_shared() -> None:
    scratch = kpu_layer.Scratch()
    first = scratch.take("sums", "float32", 2, 3)
    again = scratch.take("sums", "float32", 6)
    assert np.shares_memory(first, again)
    assert not np.shares_memory(first, scratch.take("sums", "float32", 100))
    assert not np.shares_memory(first, scratch.take("pixels", "float32", 6))
