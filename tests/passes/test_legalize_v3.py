"""What instructions become in kmodel v3: the same numbers come out as of the instructions of v4."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from xdsl.builder import Builder
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Block, Region, SSAValue
from xdsl.rewriter import InsertPoint

from kpuir.dialects import kbuf
from kpuir.errors import UnsupportedError
from kpuir.interpreters.kbuf import Machine
from kpuir.ir.locations import named
from kpuir.named_pipelines import PIPELINES
from kpuir.passes.convert_kpu_to_kbuf.lowering import Lowering
from kpuir.passes.convert_kpu_to_kbuf.placement import copy
from kpuir.passes.kbuf_legalize_v3.computing import never_negative
from kpuir.passes.kbuf_legalize_v3.first_layer import map_shape
from kpuir.passes.kbuf_legalize_v3.legalizer import RefusalError
from kpuir.passes.kbuf_legalize_v3.moving import flatten_steps
from kpuir.pipelines import make_context, parse_passes, run_passes

NO_CLAMP = (-kbuf.FLOAT_MAX, kbuf.FLOAT_MAX)
DEQUANTIZED = {"zero_point": 100, "scale": 20.0}
MASKS = dict.fromkeys(("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"), 0)

Body = Callable[[Lowering, SSAValue], SSAValue]


def module_of(version: str, shape: Sequence[int], body: Body) -> ModuleOp:
    """An allocated module of a body that makes an output of an input of bytes in main RAM."""
    block = Block()
    lowering = Lowering(Builder(InsertPoint.at_end(block)))
    x = lowering.alloc(shape, kbuf.UI8)
    lowering.emit(kbuf.InputOp(x, 0, (1,) * (4 - len(shape)) + tuple(shape), "x"))
    before = block.last_op
    lowering.emit(kbuf.OutputOp(body(lowering, x), 0, name="y"))
    assert before is not None
    for op in block.ops:
        op.location = named("layer")
    lowering.emit(func.ReturnOp())
    module = ModuleOp([func.FuncOp("main", ([], []), Region(block))], {"kbuf.version": StringAttr(version)})
    run_passes(make_context(), module, parse_passes("kbuf-legalize-v3,kbuf-allocate", lambda: PIPELINES))
    return module


def layers(module: ModuleOp) -> list[str]:
    return [op.name.removeprefix("kbuf.").removeprefix("v3_") for op in module.walk() if is_layer(op)]


def is_layer(op: object) -> bool:
    return isinstance(op, kbuf.InstructionOp)


def check(shape: Sequence[int], body: Body, expected: str, tolerance: float = 0.0) -> None:
    """Both versions give the same of random bytes; `expected` are the layers of v3, without the first."""
    ours, theirs = (module_of(version, shape, body) for version in ("v3", "v4"))
    assert layers(ours)[0] == "kpu_conv2d"
    assert " ".join(layers(ours)[1:]) == expected
    assert not any(isinstance(op, kbuf.ConstantOp) for op in ours.walk())
    codes = np.random.default_rng(0).integers(0, 256, tuple(shape)).astype(np.uint8)
    mine, other = (Machine(module, check=True).run([codes])[0] for module in (ours, theirs))
    assert Machine(ours, check=True).warnings == ()
    np.testing.assert_allclose(mine.ravel().astype(np.float64), other.ravel(), rtol=tolerance, atol=tolerance)


def floats(lowering: Lowering, x: SSAValue) -> SSAValue:
    """The input, dequantized."""
    y = lowering.alloc(kbuf.shape_of(x))
    lowering.emit(kbuf.DequantizeOp(x, y, **DEQUANTIZED))
    return y


def on_floats(make: Callable[..., kbuf.InstructionOp], shape: Sequence[int]) -> Body:
    """A body that dequantizes, and applies an instruction whose result has a shape."""

    def body(lowering: Lowering, x: SSAValue) -> SSAValue:
        y = lowering.alloc(shape)
        lowering.emit(make(floats(lowering, x), y))
        return y

    return body


def on_bytes(make: Callable[..., kbuf.InstructionOp], shape: Sequence[int]) -> Body:
    """A body that applies an instruction to the input."""

    def body(lowering: Lowering, x: SSAValue) -> SSAValue:
        y = lowering.alloc(shape, kbuf.UI8)
        lowering.emit(make(x, y))
        return y

    return body


def window(op: str, **fields: object) -> Callable[[SSAValue, SSAValue], kbuf.ReduceWindow2dOp]:
    defaults = {"pad_h": (0, 0), "pad_w": (0, 0), "dilation_h": 1, "dilation_w": 1, "init": 0.0, "act": NO_CLAMP}
    sizes = {"filter_h": 3, "filter_w": 2, "stride_h": 2, "stride_w": 1, "in_shape": (1, 2, 8, 8)}
    if op == "max":
        defaults["init"] = -kbuf.FLOAT_MAX
    return lambda x, y: kbuf.ReduceWindow2dOp(x, y, op=op, **{**defaults, **sizes, **fields})


def pad(paddings: Sequence[int], fill: bytes, shape: Sequence[int]) -> Callable[..., kbuf.PadOp]:
    value = np.frombuffer(fill.ljust(4, b"\0"), np.uint8)
    return lambda x, y: kbuf.PadOp(x, y, in_shape=tuple(shape), paddings=paddings, value_type=0, value=value)


IMAGE, POOLED, VECTOR = (1, 2, 8, 8), (1, 2, 4, 8), (1, 64)


@pytest.mark.parametrize(
    ("shape", "body", "expected"),
    [
        (
            IMAGE,
            on_floats(
                lambda x, y: kbuf.ReduceOp(x, y, op="mean", in_shape=IMAGE, out_shape=(1, 2, 1, 1), init=0.0),
                (1, 2, 1, 1),
            ),
            "dequantize global_average_pool2d",
        ),
        (
            IMAGE,
            on_floats(window("mean", filter_h=8, filter_w=8, stride_h=8, stride_w=8), (1, 2, 1, 1)),
            "dequantize global_average_pool2d",
        ),
        (
            IMAGE,
            on_floats(window("mean", pad_h=(1, 1), pad_w=(1, 0)), (1, 2, 4, 8)),
            "dequantize average_pool2d",
        ),
        (
            IMAGE,
            on_floats(window("max", pad_h=(1, 1), pad_w=(1, 0)), (1, 2, 4, 8)),
            "quantized_max_pool2d dequantize",
        ),
        (
            IMAGE,
            on_bytes(
                lambda x, y: kbuf.ResizeImageOp(x, y, in_shape=IMAGE, out_h=13, out_w=5, mode="nearest"), (1, 2, 13, 5)
            ),
            "quantized_resize_nearest_neighbor",
        ),
        (
            IMAGE,
            on_floats(
                lambda x, y: kbuf.ResizeImageOp(x, y, in_shape=IMAGE, out_h=4, out_w=20, mode="nearest"), (1, 2, 4, 20)
            ),
            "dequantize resize_nearest_neighbor",
        ),
        (
            IMAGE,
            on_bytes(
                lambda x, y: kbuf.StridedSliceOp(
                    x, y, in_shape=IMAGE, begin=(0, 1, 7, 1), end=(1, 2, 0, 8), strides=(1, 1, -2, 3), **MASKS
                ),
                (1, 1, 4, 3),
            ),
            "quantized_concat",
        ),
        (
            IMAGE,
            on_bytes(pad((0, 0, 0, 1, 2, 0, -1, 3), b"\x07", IMAGE), (1, 3, 10, 10)),
            "requantize quantized_concat",
        ),
        (
            IMAGE,
            on_floats(pad((0, 0, 0, 0, 1, 1, 1, 1), np.float32(-2.5).tobytes(), IMAGE), (1, 2, 10, 10)),
            "dequantize fully_connected concat",
        ),
        (
            (1, 5, 4, 4),
            on_bytes(pad((0, 0, 0, 0, 0, -3, 0, -3), b"", (1, 5, 4, 4)), (1, 5, 1, 1)),
            "k210_remove_padding",
        ),
        (
            IMAGE,
            on_floats(lambda x, y: kbuf.TransposeOp(x, y, in_shape=IMAGE, perm=(0, 2, 3, 1)), (1, 8, 8, 2)),
            "dequantize tensorflow_flatten",
        ),
        (
            IMAGE,
            on_floats(lambda x, y: kbuf.TransposeOp(x, y, in_shape=IMAGE, perm=(0, 3, 2, 1)), (1, 8, 8, 2)),
            "dequantize" + 3 * " tensorflow_flatten",
        ),
        (
            (1, 40, 16, 8),
            on_bytes(lambda x, y: kbuf.TransposeOp(x, y, in_shape=(1, 40, 16, 8), perm=(0, 2, 3, 1)), (1, 16, 8, 40)),
            "dequantize tensorflow_flatten quantize",
        ),
        (
            VECTOR,
            on_floats(lambda x, y: kbuf.SoftmaxOp(x, y, inner_size=16, outer_size=4, beta=1.0), VECTOR),
            "dequantize softmax softmax softmax softmax",
        ),
        (
            VECTOR,
            on_floats(lambda x, y: kbuf.SoftmaxOp(x, y, inner_size=2, outer_size=32, beta=1.0), VECTOR),
            "dequantize dequantize concat add logistic",
        ),
        (
            VECTOR,
            on_floats(lambda x, y: kbuf.SoftmaxOp(x, y, inner_size=64, outer_size=1, beta=1.0), VECTOR),
            "dequantize softmax",
        ),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_layers(shape: Sequence[int], body: Body, expected: str) -> None:
    check(shape, body, expected, 1e-6)


def test_sums_and_products_with_constants_are_a_scale_and_a_bias() -> None:
    def body(lowering: Lowering, x: SSAValue) -> SSAValue:
        value, rng = floats(lowering, x), np.random.default_rng(0)
        for kind, shape in (("mul", (1, 2, 1, 1)), ("add", (1, 2, 1, 1)), ("sub", (1, 1, 1, 1)), ("div", (1, 1, 1, 1))):
            constant = lowering.constant(rng.uniform(0.5, 2, shape).astype(np.float32))
            result = lowering.alloc(IMAGE)
            operands = (constant, value) if kind == "sub" else (value, constant)
            shapes = dict(zip(("a_shape", "b_shape"), (kbuf.shape_of(one) for one in operands), strict=True))
            lowering.emit(kbuf.BinaryOp(*operands, result, op=kind, out_shape=IMAGE, act=NO_CLAMP, **shapes))
            value = result
        return value

    check(IMAGE, body, "channelwise_dequantize", 1e-5)


@pytest.mark.parametrize("kind", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("first", [True, False])
def test_numbers_in_front_of_quantize_are_its_scale_and_bias(kind: str, first: bool) -> None:
    def body(lowering: Lowering, x: SSAValue) -> SSAValue:
        mean, value, codes = lowering.alloc(POOLED), lowering.alloc(POOLED), lowering.alloc(POOLED, kbuf.UI8)
        lowering.emit(window("mean", pad_h=(1, 1), pad_w=(1, 0))(floats(lowering, x), mean))
        operands = (lowering.constant(np.full((1, 1, 1, 1), 1.7, np.float32)), mean)
        operands = operands if first else operands[::-1]
        shapes = dict(zip(("a_shape", "b_shape"), (kbuf.shape_of(one) for one in operands), strict=True))
        lowering.emit(kbuf.BinaryOp(*operands, value, op=kind, out_shape=POOLED, act=NO_CLAMP, **shapes))
        lowering.emit(kbuf.QuantizeOp(value, codes, zero_point=100, scale=13.71))
        return codes

    if (kind, first) != ("div", True):
        check(IMAGE, body, "dequantize average_pool2d quantize")
        return
    with pytest.raises(UnsupportedError, match="div of floats"):
        module_of("v3", IMAGE, body)


def test_a_sigmoid_is_found_again() -> None:
    def body(lowering: Lowering, x: SSAValue) -> SSAValue:
        one = lowering.constant(np.ones((1, 1, 1, 1), np.float32))
        n, e, d, y = (lowering.alloc(VECTOR) for _ in range(4))
        lowering.emit(kbuf.UnaryOp(floats(lowering, x), n, op="neg"))
        lowering.emit(kbuf.UnaryOp(n, e, op="exp"))
        flat, single = (1, 1, 1, 64), (1, 1, 1, 1)
        lowering.emit(kbuf.BinaryOp(e, one, d, op="add", a_shape=flat, b_shape=single, out_shape=flat, act=NO_CLAMP))
        lowering.emit(kbuf.BinaryOp(one, d, y, op="div", a_shape=single, b_shape=flat, out_shape=flat, act=NO_CLAMP))
        return y

    check(VECTOR, body, "dequantize logistic", 1e-6)


@pytest.mark.parametrize("kind", ["max", "min"])
def test_what_is_cut_at_zero_are_the_bytes(kind: str) -> None:
    def body(lowering: Lowering, x: SSAValue) -> SSAValue:
        zero, y, pooled = lowering.constant(np.zeros((1, 1, 1, 1), np.float32)), *map(lowering.alloc, (IMAGE, POOLED))
        shapes = {"a_shape": (1, 1, 1, 1), "b_shape": IMAGE, "out_shape": IMAGE}
        lowering.emit(kbuf.BinaryOp(zero, floats(lowering, x), y, op=kind, act=NO_CLAMP, **shapes))
        lowering.emit(window("max", pad_h=(1, 1), pad_w=(1, 0))(y, pooled))
        return pooled

    check(IMAGE, body, "requantize quantized_max_pool2d dequantize", 1e-6)


def normalized(lowering: Lowering, x: SSAValue, *, repeats: bool = False, least: float = 1e-9) -> SSAValue:
    """Four rows of 16 by the roots of their sums of squares, `least` at least; a root for a row, or 16 times."""
    whole, rows, one = (1, 1, 4, 16), (1, 1, 4, 1), (1, 1, 1, 1)
    value = floats(lowering, x)
    squares, sums, bound, inverse, root, y = map(lowering.alloc, (whole, rows, rows, rows, rows, VECTOR))
    constant = lowering.constant(np.full(one, least, np.float32))
    lowering.emit(kbuf.UnaryOp(value, squares, op="square"))
    lowering.emit(kbuf.ReduceOp(squares, sums, op="sum", in_shape=whole, out_shape=rows, init=0.0))
    same = {"act": NO_CLAMP, "a_shape": rows, "out_shape": rows}
    lowering.emit(kbuf.BinaryOp(sums, constant, bound, op="max", b_shape=one, **same))
    lowering.emit(kbuf.UnaryOp(bound, inverse, op="rsqrt"))
    lowering.emit(kbuf.BinaryOp(bound, inverse, root, op="mul", b_shape=rows, **same))
    divisor, shape = root, rows
    if repeats:
        divisor, shape = lowering.alloc(whole), whole
        lowering.emit(kbuf.ConcatOp([root] * 16, divisor, inner_size=4, outer_size=4, dims=(1,) * 16))
    shapes = {"a_shape": whole, "b_shape": shape, "out_shape": whole}
    lowering.emit(kbuf.BinaryOp(value, divisor, y, op="div", act=NO_CLAMP, **shapes))
    return y


@pytest.mark.parametrize("repeats", [False, True])
def test_a_normalization_is_found_again(repeats: bool) -> None:
    check(VECTOR, partial(normalized, repeats=repeats), "dequantize" + 4 * " l2_normalization", 1e-6)


def test_what_is_not_divided_by_a_root_is_none() -> None:
    with pytest.raises(UnsupportedError, match="div of floats"):
        module_of("v3", VECTOR, partial(normalized, least=0.1))


def test_a_matrix_product_has_its_weights_inside() -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(64, 10)).astype(np.float32), rng.normal(size=10).astype(np.float32)

    def body(lowering: Lowering, x: SSAValue) -> SSAValue:
        y, shape = lowering.alloc((1, 10)), {"a_rows": 1, "a_cols": 64, "b_cols": 10}
        constant = lowering.constant(weight)
        lowering.emit(kbuf.MatmulOp(floats(lowering, x), constant, y, **shape, act=(0.0, 6.0), bias=bias))
        return y

    check(VECTOR, body, "dequantize fully_connected", 1e-4)


def test_operands_with_several_rows_are_joined_row_by_row() -> None:
    def body(lowering: Lowering, x: SSAValue) -> SSAValue:
        y = lowering.alloc((8, 24), kbuf.UI8)
        narrow = lowering.viewed(x, (8, 8))
        wide = lowering.viewed(x, (8, 16))
        lowering.emit(kbuf.ConcatOp([wide, narrow], y, inner_size=1, outer_size=8, dims=(16, 8)))
        return y

    check(IMAGE, body, "quantized_concat")


def test_the_sum_of_two_maps_is_rounded_as_in_v4() -> None:
    numbers = {"a_offset": -100, "b_offset": -30, "a_mul": 1 << 20, "b_mul": 700_000, "a_shift": 0, "b_shift": 0}
    output = {"output_offset": 90, "output_mul": 1_300_000_000, "output_shift": 51}

    def body(lowering: Lowering, x: SSAValue) -> SSAValue:
        y, flat = lowering.alloc((1, 64), kbuf.UI8), dict.fromkeys(("a_shape", "b_shape", "out_shape"), (1, 1, 1, 64))
        halves = (lowering.viewed(lowering.viewed(x, (128,)), (1, 64), start) for start in (0, 64))
        lowering.emit(kbuf.QuantizedBinaryOp(*halves, y, op="add", **flat, **numbers, **output))
        return y

    check(IMAGE, body, "quantized_add", 1.0)
    changed = never_negative({**numbers, **output})
    a, b = (np.arange(256)[:, None], np.arange(256)[None])
    before, after = (
        ((a + n["a_offset"]) * n["a_mul"] + (b + n["b_offset"]) * n["b_mul"]) * n["output_mul"] / 2 ** n["output_shift"]
        + n["output_offset"]
        for n in ({**numbers, **output}, changed)
    )
    assert np.abs(after - before).max() < 0.01
    assert (after - changed["output_offset"]).min() >= 0


def test_a_vector_for_layers_goes_to_the_first_pixels_of_maps() -> None:
    """Where kernels of 1x1 alone read them; a 3x3 one sees zeros around."""

    def body(lowering: Lowering, x: SSAValue) -> SSAValue:
        padded = lowering.alloc((1, 64, 4, 4), kbuf.UI8)
        lowering.emit(pad((0, 0, 0, 0, 0, 3, 0, 3), b"\x05", (1, 64, 1, 1))(x, padded))
        uploaded = lowering.alloc((1, 64, 4, 4), kbuf.UI8, kbuf.Space.KPU)
        lowering.emit(kbuf.KpuUploadOp(padded, uploaded, in_shape=(1, 64, 4, 4)))
        copied = lowering.alloc((1, 64, 4, 4), kbuf.UI8, kbuf.Space.KPU)
        sent, result = (lowering.alloc(shape, kbuf.UI8) for shape in ((1, 64, 4, 4), (1, 64, 1, 1)))
        copy(lowering, uploaded, copied, main=sent)
        lowering.emit(pad((0, 0, 0, 0, 0, -3, 0, -3), b"", (1, 64, 4, 4))(sent, result))
        return result

    check((1, 64, 1, 1), body, "k210_add_padding kpu_conv2d k210_remove_padding")


@pytest.mark.parametrize(
    ("shape", "body", "why"),
    [
        (IMAGE, on_floats(window("max", dilation_h=2), (1, 2, 2, 7)), "layer: a pool (max) of floats"),
        (VECTOR, on_floats(lambda x, y: kbuf.UnaryOp(x, y, op="exp"), VECTOR), "layer: unary on the CPU"),
        (
            IMAGE,
            on_bytes(
                lambda x, y: kbuf.ResizeImageOp(x, y, in_shape=IMAGE, out_h=13, out_w=5, mode="bilinear"), (1, 2, 13, 5)
            ),
            "layer: a bilinear resize",
        ),
        (
            VECTOR,
            on_floats(lambda x, y: kbuf.SoftmaxOp(x, y, inner_size=64, outer_size=1, beta=2.0), VECTOR),
            "layer: a softmax with beta 2",
        ),
        (
            (1, 13),
            on_floats(lambda x, y: kbuf.SoftmaxOp(x, y, inner_size=13, outer_size=1, beta=1.0), (1, 13)),
            "input: it has 13 bytes",
        ),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_what_v3_has_no_layer_for_is_named(shape: Sequence[int], body: Body, why: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        module_of("v3", shape, body)
    assert why in str(caught.value)
    assert "kmodel v4" in str(caught.value)


def test_inputs_of_other_shapes_come_as_maps() -> None:
    assert map_shape((1, 3, 8, 9)) == (1, 3, 8, 9)
    assert map_shape((1, 640)) == (1, 40, 4, 4)
    assert map_shape((1, 1, 7, 20)) == (1, 1, 7, 20)
    assert map_shape((1, 70, 2, 1)) == (1, 7, 4, 5)
    with pytest.raises(RefusalError, match="76800 pixels"):
        map_shape((1, 3, 240, 320))


def test_steps_of_a_transpose() -> None:
    assert flatten_steps((1, 3, 4, 5), (0, 2, 3, 1)) == [(1, 3, 20)]
    assert flatten_steps((1, 3, 1, 5), (2, 1, 0, 3)) == []
    assert flatten_steps((1, 300, 400, 500), (0, 1, 3, 2)) is None
    for shape, permutation in (
        ((2, 3, 4, 5), (0, 1, 3, 2)),
        ((1, 300, 4, 5), (0, 1, 3, 2)),
        ((3, 4, 5, 6), (3, 2, 1, 0)),
    ):
        array = np.arange(np.prod(shape)).reshape(shape)
        found = array
        for count, rows, columns in flatten_steps(shape, permutation) or ():
            found = found.reshape(count, rows, columns).transpose(0, 2, 1)
        np.testing.assert_array_equal(found.ravel(), array.transpose(permutation).ravel())
