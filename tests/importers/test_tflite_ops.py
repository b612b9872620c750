"""Every TFLite operator and attribute, one operator a model, against LiteRT; before and after sinking transposes."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

from kpuir.dialects.ktensor import shape_of
from kpuir.importers.tflite import import_tflite
from kpuir.importers.tflite.ops import OPS
from kpuir.interpreters.run import run
from kpuir.passes.ktensor_sink_transposes import KTensorSinkTransposesPass
from tests.importers.litert import run_litert
from tests.importers.tflite_builder import Operator, Tensor, build, constant, one_op

Array = NDArray[np.float32]
SAME, VALID = 0, 1


def weights(*shape: int) -> Array:
    """Reproducible numbers in -1..1, different for each shape."""
    return np.random.default_rng(sum(shape) * 7 + len(shape)).uniform(-1, 1, shape).astype(np.float32)


def ints(*values: int) -> NDArray[np.int32]:
    return np.array(values, np.int32)


class Case(NamedTuple):
    """One operator: inputs are shapes (computed) or arrays (constant); numbers are drawn from `low`..`high`."""

    kind: str
    inputs: tuple[Any, ...]
    table: str = ""
    options: dict[str, Any] = {}
    outputs: int = 1
    low: float = -2.0
    high: float = 2.0
    stored: tuple[int, ...] = (1,)


def conv(x: tuple[int, ...], w: tuple[int, ...], padding: int = SAME, stride: int = 1, dilation: int = 1, **more: Any):
    options = {
        "Padding": padding,
        "StrideH": stride,
        "StrideW": stride,
        "DilationHFactor": dilation,
        "DilationWFactor": dilation,
    }
    return Case("CONV_2D", (x, weights(*w), weights(w[0])), "Conv2DOptions", {**options, **more})


def depthwise(x: tuple[int, ...], w: tuple[int, ...], padding: int = SAME, stride: int = 1, dilation: int = 1):
    options = {
        "Padding": padding,
        "StrideH": stride,
        "StrideW": stride,
        "DepthMultiplier": w[3] // x[3],
        "DilationHFactor": dilation,
        "DilationWFactor": dilation,
    }
    return Case("DEPTHWISE_CONV_2D", (x, weights(*w), weights(w[3])), "DepthwiseConv2DOptions", options)


def transpose_conv(x: tuple[int, ...], w: tuple[int, ...], out: tuple[int, ...], padding: int, stride: int, *bias: Any):
    options = {"Padding": padding, "StrideH": stride, "StrideW": stride}
    return Case("TRANSPOSE_CONV", (ints(*out), weights(*w), x, *bias), "TransposeConvOptions", options)


def pool(kind: str, kernel: tuple[int, int], stride: int, padding: int, activation: int = 0):
    options = {
        "FilterHeight": kernel[0],
        "FilterWidth": kernel[1],
        "StrideH": stride,
        "StrideW": stride,
        "Padding": padding,
        "FusedActivationFunction": activation,
    }
    return Case(kind, ((1, 7, 9, 3),), "Pool2DOptions", options)


def resize(kind: str, size: tuple[int, int], align: bool = False, half: bool = False):
    table = "ResizeBilinearOptions" if kind == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    return Case(kind, ((1, 5, 6, 2), ints(*size)), table, {"AlignCorners": align, "HalfPixelCenters": half})


def dense(x: tuple[int, ...], w: tuple[int, ...], *bias: Any, **options: Any):
    return Case("FULLY_CONNECTED", (x, weights(*w), *bias), "FullyConnectedOptions", options)


def strided(x: tuple[int, ...], begin: Any, end: Any, steps: Any, **masks: int):
    return Case("STRIDED_SLICE", (x, ints(*begin), ints(*end), ints(*steps)), "StridedSliceOptions", masks)


def batch_matmul(x: Any, y: Any, **options: bool):
    return Case("BATCH_MATMUL", (x, y), "BatchMatMulOptions", options)


def reduce(kind: str, x: tuple[int, ...], axes: tuple[int, ...], keep: bool = False):
    return Case(kind, (x, ints(*axes)), "ReducerOptions", {"KeepDims": keep})


MAP = (1, 4, 6, 8)
FUSED = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}

CASES: dict[str, Case] = {
    # convolutions
    "conv_same": conv((1, 6, 7, 3), (4, 3, 3, 3)),
    "conv_valid": conv((1, 6, 7, 3), (4, 3, 2, 3), VALID),
    "conv_same_stride2_even": conv((1, 6, 8, 3), (4, 3, 3, 3), SAME, 2),
    "conv_same_stride2_odd": conv((1, 7, 5, 3), (4, 3, 3, 3), SAME, 2),
    "conv_valid_stride2": conv((1, 7, 8, 3), (4, 3, 3, 3), VALID, 2),
    "conv_1x1_stride2": conv((1, 5, 6, 3), (4, 1, 1, 3), SAME, 2),
    "conv_5x5_stride3": conv((1, 10, 11, 2), (3, 5, 5, 2), SAME, 3),
    "conv_even_kernel": conv((1, 6, 7, 3), (4, 2, 4, 3)),
    "conv_dilated": conv((1, 9, 8, 2), (3, 3, 3, 2), SAME, 1, 2),
    "conv_dilated_valid": conv((1, 9, 8, 2), (3, 3, 3, 2), VALID, 1, 2),
    "conv_grouped": conv((1, 6, 7, 4), (6, 3, 3, 2)),
    "conv_batch": conv((2, 6, 7, 3), (4, 3, 3, 3)),
    **{f"conv_{n}": conv((1, 4, 4, 3), (4, 3, 3, 3), FusedActivationFunction=code) for n, code in FUSED.items()},
    "depthwise": depthwise((1, 6, 7, 4), (1, 3, 3, 4)),
    "depthwise_multiplier": depthwise((1, 6, 7, 3), (1, 3, 3, 6)),
    "depthwise_one_channel": depthwise((1, 6, 7, 1), (1, 3, 3, 8)),
    "depthwise_stride2": depthwise((1, 6, 7, 4), (1, 3, 3, 4), SAME, 2),
    "depthwise_dilated": depthwise((1, 9, 9, 4), (1, 3, 3, 4), VALID, 1, 2),
    "transpose_conv_same": transpose_conv((1, 4, 5, 3), (2, 3, 3, 3), (1, 8, 10, 2), SAME, 2),
    "transpose_conv_odd": transpose_conv((1, 4, 5, 3), (2, 3, 3, 3), (1, 7, 9, 2), SAME, 2),
    "transpose_conv_2x2": transpose_conv((1, 4, 5, 3), (2, 2, 2, 3), (1, 8, 10, 2), VALID, 2),
    "transpose_conv_4x4": transpose_conv((1, 4, 5, 3), (2, 4, 4, 3), (1, 8, 10, 2), SAME, 2),
    "transpose_conv_valid": transpose_conv((1, 4, 5, 3), (2, 3, 3, 3), (1, 9, 11, 2), VALID, 2),
    "transpose_conv_gaps": transpose_conv((1, 4, 5, 3), (2, 1, 1, 3), (1, 8, 10, 2), SAME, 2),
    "transpose_conv_bias": transpose_conv((1, 4, 5, 3), (2, 3, 3, 3), (1, 4, 5, 2), SAME, 1, weights(2)),
    # pooling
    "average_pool_same": pool("AVERAGE_POOL_2D", (3, 3), 2, SAME),
    "average_pool_valid": pool("AVERAGE_POOL_2D", (2, 3), 2, VALID),
    "average_pool_relu": pool("AVERAGE_POOL_2D", (2, 2), 2, VALID, 1),
    "average_pool_global": pool("AVERAGE_POOL_2D", (7, 9), 7, VALID),
    "max_pool_same": pool("MAX_POOL_2D", (3, 3), 2, SAME),
    "max_pool_valid": pool("MAX_POOL_2D", (2, 2), 2, VALID),
    "max_pool_relu6": pool("MAX_POOL_2D", (3, 2), 1, SAME, 3),
    "l2_pool": pool("L2_POOL_2D", (3, 3), 2, VALID),
    # matrix products
    "dense": dense((1, 12), (5, 12), weights(5)),
    "dense_no_bias": dense((1, 12), (5, 12)),
    "dense_absent_bias": dense((1, 12), (5, 12), None),
    "dense_relu": dense((3, 12), (5, 12), weights(5), FusedActivationFunction=1),
    "dense_flattens": dense((1, 2, 2, 3), (5, 12), weights(5)),
    "dense_rows": dense((1, 4, 6), (5, 6), weights(5)),
    "dense_keep_dims": dense((2, 4, 6), (5, 6), weights(5), KeepNumDims=True),
    "batch_matmul": batch_matmul((2, 3, 4), (2, 4, 5)),
    "batch_matmul_adj_x": batch_matmul((2, 4, 3), (2, 4, 5), AdjX=True),
    "batch_matmul_adj_y": batch_matmul((1, 2, 3, 4), (1, 2, 5, 4), AdjY=True),
    "batch_matmul_constant": batch_matmul((2, 3, 4), weights(5, 4), AdjY=True),
    # functions of single elements
    **{
        kind.lower(): Case(kind, (MAP,))
        for kind in ("ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "HARD_SWISH", "LOGISTIC", "NEG", "RELU", "RELU6")
    },
    **{
        kind.lower(): Case(kind, (MAP,))
        for kind in ("RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "SIN", "SQUARE", "TANH", "LOG_SOFTMAX")
    },
    **{kind.lower(): Case(kind, (MAP,), low=0.1, high=9) for kind in ("LOG", "RSQRT", "SQRT")},
    "relu6_large": Case("RELU6", (MAP,), low=-9, high=9),
    "hard_swish_large": Case("HARD_SWISH", (MAP,), low=-9, high=9),
    "leaky_relu": Case("LEAKY_RELU", (MAP,), "LeakyReluOptions", {"Alpha": 0.2}),
    "gelu": Case("GELU", (MAP,), "GeluOptions", {"Approximate": False}),
    "gelu_tanh": Case("GELU", (MAP,), "GeluOptions", {"Approximate": True}),
    "prelu": Case("PRELU", (MAP, weights(1, 1, 8))),
    **{f"pow_{e}": Case("POW", (MAP, np.float32(e)), low=0.2) for e in (-1.0, -0.5, 0.5, 1.0, 2.0, 3.0)},
    "add": Case("ADD", (MAP, MAP), "AddOptions"),
    "add_relu": Case("ADD", (MAP, MAP), "AddOptions", {"FusedActivationFunction": 1}),
    "add_bias": Case("ADD", (MAP, weights(8)), "AddOptions"),
    "add_scalar": Case("ADD", (MAP, np.float32(0.5)), "AddOptions"),
    "add_gate": Case("ADD", (MAP, (1, 1, 1, 8)), "AddOptions"),
    "sub": Case("SUB", (weights(8), MAP), "SubOptions", {"FusedActivationFunction": 2}),
    "mul": Case("MUL", (MAP, (1, 1, 1, 8)), "MulOptions", {"FusedActivationFunction": 3}),
    "div": Case("DIV", (MAP, MAP), "DivOptions", low=0.3),
    "maximum": Case("MAXIMUM", (MAP, weights(8)), "MaximumMinimumOptions"),
    "minimum": Case("MINIMUM", (MAP, MAP), "MaximumMinimumOptions"),
    "squared_difference": Case("SQUARED_DIFFERENCE", (MAP, weights(8))),
    "floor_div": Case("FLOOR_DIV", (MAP, np.float32(0.3))),
    "floor_mod": Case("FLOOR_MOD", (MAP, np.float32(0.75))),
    "add_n": Case("ADD_N", (MAP, MAP, MAP)),
    # reductions
    "mean_map": reduce("MEAN", MAP, (1, 2)),
    "mean_map_keep": reduce("MEAN", MAP, (1, 2), True),
    "mean_channels": reduce("MEAN", MAP, (-1,)),
    "mean_all": reduce("MEAN", MAP, (0, 1, 2, 3), True),
    "sum": reduce("SUM", MAP, (2, 1)),
    "reduce_max": reduce("REDUCE_MAX", MAP, (3,), True),
    "reduce_min": reduce("REDUCE_MIN", MAP, (1,)),
    "softmax": Case("SOFTMAX", ((2, 10),), "SoftmaxOptions", {"Beta": 1.0}),
    "softmax_beta": Case("SOFTMAX", (MAP,), "SoftmaxOptions", {"Beta": 0.5}),
    "l2_normalization": Case("L2_NORMALIZATION", (MAP,), "L2NormOptions"),
    "l2_normalization_zero": Case("L2_NORMALIZATION", (MAP,), "L2NormOptions", low=0, high=0),
    # images
    **{
        f"{kind.lower()}_{size[0]}x{size[1]}_{mode}": resize(kind, size, mode == "align", mode == "half")
        for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
        for size in ((10, 12), (7, 9), (3, 4), (1, 11))
        for mode in ("plain", "align", "half")
    },
    "space_to_batch": Case("SPACE_TO_BATCH_ND", ((1, 5, 6, 2), ints(2, 2), np.array([[1, 0], [2, 0]], np.int32))),
    "space_to_batch_sequence": Case("SPACE_TO_BATCH_ND", ((1, 5, 2), ints(2), np.array([[1, 0]], np.int32))),
    "batch_to_space": Case("BATCH_TO_SPACE_ND", ((4, 3, 4, 2), ints(2, 2), np.array([[1, 0], [0, 2]], np.int32))),
    "batch_to_space_sequence": Case("BATCH_TO_SPACE_ND", ((2, 5, 2), ints(2), np.array([[1, 0]], np.int32))),
    "depth_to_space": Case("DEPTH_TO_SPACE", ((1, 3, 4, 8),), "DepthToSpaceOptions", {"BlockSize": 2}),
    "space_to_depth": Case("SPACE_TO_DEPTH", ((1, 4, 6, 3),), "SpaceToDepthOptions", {"BlockSize": 2}),
    # movement
    "concat": Case("CONCATENATION", (MAP, (1, 4, 6, 3)), "ConcatenationOptions", {"Axis": -1}),
    "concat_constant": Case("CONCATENATION", (MAP, weights(1, 2, 6, 8)), "ConcatenationOptions", {"Axis": 1}),
    "pack": Case("PACK", ((3, 4), (3, 4)), "PackOptions", {"ValuesCount": 2, "Axis": 1}),
    "pack_last": Case("PACK", ((3, 4), weights(3, 4)), "PackOptions", {"ValuesCount": 2, "Axis": -1}),
    "unpack": Case("UNPACK", ((3, 4),), "UnpackOptions", {"Num": 3, "Axis": 0}, outputs=3),
    "unpack_last": Case("UNPACK", ((3, 2),), "UnpackOptions", {"Num": 2, "Axis": -1}, outputs=2),
    "split": Case("SPLIT", (ints(3), MAP), "SplitOptions", {"NumSplits": 2}, outputs=2),
    "split_negative": Case("SPLIT", (np.int32(-2), MAP), "SplitOptions", {"NumSplits": 3}, outputs=3),
    "split_v": Case("SPLIT_V", (MAP, ints(3, -1), ints(3)), "SplitVOptions", {"NumSplits": 2}, outputs=2),
    "slice": Case("SLICE", (MAP, ints(0, 1, 2, 3), ints(1, -1, 3, 4)), stored=(1, 3, 3, 4)),
    "strided_slice": strided(MAP, (0, 1, 0, 2), (1, 4, 6, 8), (1, 2, 3, 1)),
    "strided_slice_negative": strided(MAP, (0, -1, 5, 0), (1, -4, 0, -2), (1, -1, -2, 3)),
    "strided_slice_masks": strided(MAP, (9, 9, 1, 1), (9, 9, 9, 2), (1, 1, 2, 1), BeginMask=3, EndMask=7),
    "strided_slice_mask_reverse": strided((5, 4), (0, 0), (0, 0), (-1, -2), BeginMask=3, EndMask=3),
    "strided_slice_shrink": strided(MAP, (0, 2, 0, -1), (1, 3, 6, 0), (1, 1, 1, 1), ShrinkAxisMask=11),
    "strided_slice_new_axis": strided((4, 5), (1, 0, 0), (3, 0, 5), (1, 1, 2), NewAxisMask=2),
    "strided_slice_ellipsis": strided(MAP, (0, 0, 2), (1, 0, 5), (1, 1, 1), EllipsisMask=2),
    "gather_slice": Case("GATHER", (MAP, ints(2, 3, 4)), "GatherOptions", {"Axis": 3}),
    "gather_scattered": Case("GATHER", (MAP, ints(5, 0, 1, 2, 2, 4, 2)), "GatherOptions", {"Axis": 2}),
    "gather_matrix": Case("GATHER", ((4, 3), np.array([[0, 2], [1, 3]], np.int32)), "GatherOptions", {"Axis": 0}),
    "gather_scalar": Case("GATHER", ((4, 3), np.int32(2)), "GatherOptions", {"Axis": 1}),
    "tile": Case("TILE", ((2, 3), ints(2, 3))),
    "broadcast_to": Case("BROADCAST_TO", ((3, 1), ints(2, 3, 4))),
    "pad": Case("PAD", (MAP, np.array([[0, 0], [1, 2], [0, 1], [2, 0]], np.int32))),
    "pad_value": Case("PADV2", (MAP, np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32), np.float32(-3))),
    "mirror_pad_reflect": Case(
        "MIRROR_PAD", (MAP, np.array([[0, 0], [2, 3], [1, 0], [0, 0]], np.int32)), "MirrorPadOptions", {"Mode": 0}
    ),
    "mirror_pad_symmetric": Case(
        "MIRROR_PAD", (MAP, np.array([[0, 0], [2, 4], [1, 0], [0, 1]], np.int32)), "MirrorPadOptions", {"Mode": 1}
    ),
    "reverse": Case("REVERSE_V2", (MAP, ints(2))),
    "transpose": Case("TRANSPOSE", (MAP, ints(0, 3, 1, 2))),
    "transpose_matrix": Case("TRANSPOSE", ((3, 4), ints(1, 0))),
    # shapes
    "reshape": Case("RESHAPE", (MAP, ints(2, -1, 8)), "ReshapeOptions", {"NewShape": [2, 12, 8]}),
    "reshape_option": Case("RESHAPE", (MAP,), "ReshapeOptions", {"NewShape": [1, 24, 8]}),
    "reshape_scalar": Case("RESHAPE", ((1, 1), Tensor((0,), "int32"))),
    "expand_dims": Case("EXPAND_DIMS", ((3, 4), ints(1))),
    "expand_dims_last": Case("EXPAND_DIMS", ((3, 4), np.int32(-1))),
    "squeeze": Case("SQUEEZE", ((1, 3, 1, 4),), "SqueezeOptions", {"SqueezeDims": [0]}),
    "squeeze_all": Case("SQUEEZE", ((1, 3, 1, 4),), "SqueezeOptions"),
    "cast": Case("CAST", (MAP,), "CastOptions", {"InDataType": 0, "OutDataType": 0}),
    "zeros_like": Case("ZEROS_LIKE", (MAP,)),
}


def model_of(case: Case) -> bytes:
    return one_op(case.kind, case.inputs, case.table, case.outputs, case.stored, **case.options)


def input_shapes(module: ModuleOp) -> list[tuple[int, ...]]:
    function = next(op for op in module.walk() if isinstance(op, FuncOp))
    return [shape_of(argument) for argument in function.body.block.args]


def draw(shapes: list[tuple[int, ...]], low: float = -2.0, high: float = 2.0) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.uniform(low, high, shape).astype(np.float32) for shape in shapes]


def compare(module: ModuleOp, inputs: list[Array], wanted: list[Array]) -> None:
    module.verify()
    got = run(module, inputs)
    assert len(got) == len(wanted)
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


def check(model: bytes, low: float = -2.0, high: float = 2.0) -> ModuleOp:
    """Compare with LiteRT as imported, and after sinking; the sunk module."""
    module = import_tflite(model)
    inputs = draw(input_shapes(module), low, high)
    wanted = run_litert(model, inputs)
    compare(module, inputs, wanted)
    KTensorSinkTransposesPass().apply(Context(), module)
    compare(module, inputs, wanted)
    return module


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_operator(case: Case) -> None:
    check(model_of(case), case.low, case.high)


def test_every_operator_has_a_case() -> None:
    """Those without computed inputs of their own are tested below, folded."""
    folded = {"DEQUANTIZE", "QUANTIZE", "FILL", "RANGE", "RANK", "SHAPE", "REDUCE_PROD"}
    assert {case.kind for case in CASES.values()} | folded == set(OPS)


def test_fused_tanh() -> None:
    """LiteRT has no fused tanh in most kernels; the result of a plain layer serves as reference."""
    plain, fused = conv((1, 4, 4, 3), (4, 3, 3, 3)), conv((1, 4, 4, 3), (4, 3, 3, 3), FusedActivationFunction=4)
    inputs = draw([(1, 4, 4, 3)])
    wanted = [np.tanh(run_litert(model_of(plain), inputs)[0])]
    compare(import_tflite(model_of(fused)), inputs, wanted)


def test_shape_arithmetic_is_folded() -> None:
    """reshape(x, [shape(x)[0], rank(x) * 2, prod(range(1, 3)) + fill - ...]) as converters write a dynamic batch."""
    tensors = [
        Tensor((1, 1, 1, 1), name="x", signature=(-1, 4, 2, 3)),
        Tensor((4,), "int32", "shape"),
        constant(ints(0), "zero"),
        constant(ints(1), "one"),
        Tensor((), "int32", "batch"),
        Tensor((), "int32", "rank"),
        constant(np.int32(1), "first"),
        constant(np.int32(4), "limit"),
        constant(np.int32(1), "step"),
        Tensor((3,), "int32", "range"),
        Tensor((), "int32", "product"),
        constant(np.int32(-1), "minus_one"),
        Tensor((3,), "int32", "wanted"),
        Tensor((1, 1, 1), name="y"),
    ]
    operators = [
        Operator("SHAPE", [0], [1], "ShapeOptions", {"OutType": 2}),
        Operator("STRIDED_SLICE", [1, 2, 3, 3], [4], "StridedSliceOptions", {"ShrinkAxisMask": 1}),
        Operator("RANK", [0], [5]),
        Operator("RANGE", [6, 7, 8], [9], "RangeOptions"),
        Operator("REDUCE_PROD", [9, 2], [10], "ReducerOptions"),
        Operator("PACK", [4, 10, 11], [12], "PackOptions", {"ValuesCount": 3}),
        Operator("RESHAPE", [0, 12], [13]),
    ]
    tensors[0] = Tensor((1, 4, 2, 3), name="x", signature=(-1, 4, 2, 3))
    module = import_tflite(build(tensors, operators, [0], [13]))
    assert [op.name for op in module.walk()] == ["builtin.module", "func.func", "ktensor.reshape", "func.return"]
    x = draw([(1, 4, 2, 3)])
    np.testing.assert_array_equal(run(module, x)[0], x[0].reshape(1, 6, 4))


def test_fill_is_folded() -> None:
    tensors = [
        Tensor((2, 3), name="x"),
        constant(ints(2, 3), "shape"),
        constant(np.float32(1.5), "value"),
        Tensor((2, 3), name="filled"),
        Tensor((2, 3), name="y"),
    ]
    operators = [Operator("FILL", [1, 2], [3], "FillOptions"), Operator("MUL", [0, 3], [4], "MulOptions")]
    check(build(tensors, operators, [0], [4]))


def dequantized_conv(weight: Tensor, reference: Array) -> None:
    tensors = [
        Tensor((1, 5, 5, 3), name="x"),
        weight,
        Tensor(weight.shape, name="w_real"),
        Tensor((1, 5, 5, 4), name="y"),
    ]
    options: dict[str, Any] = {
        "Padding": SAME,
        "StrideH": 1,
        "StrideW": 1,
        "DilationHFactor": 1,
        "DilationWFactor": 1,
    }
    operators = [Operator("DEQUANTIZE", [1], [2]), Operator("CONV_2D", [0, 2], [3], "Conv2DOptions", options)]
    module = import_tflite(build(tensors, operators, [0], [3]))
    inputs = draw([(1, 5, 5, 3)])
    plain = one_op("CONV_2D", [(1, 5, 5, 3), reference, np.zeros(4, np.float32)], "Conv2DOptions", **options)
    compare(module, inputs, run_litert(plain, inputs))
    assert "ktensor.dequantize" not in [op.name for op in module.walk()]


def test_float16_weights() -> None:
    weight = weights(4, 3, 3, 3).astype(np.float16)
    dequantized_conv(constant(weight, "w"), weight.astype(np.float32))


def test_dequantized_weights() -> None:
    weight = np.random.default_rng(1).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    dequantized_conv(
        constant(weight, "w", scale=[0.01], zero_point=[3]), ((weight.astype(np.float32)) - 3) * np.float32(0.01)
    )


@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D"])
def test_dynamic_range_weights(kind: str) -> None:
    """Weights alone are int8, a scale for each output channel. LiteRT would quantize the activations as well."""
    scales = [0.01, 0.02, 0.005, 0.03]
    shape, axis = {
        "CONV_2D": ((4, 3, 3, 2), 0),
        "FULLY_CONNECTED": ((4, 18), 0),
        "DEPTHWISE_CONV_2D": ((1, 3, 3, 4), 3),
    }[kind]
    weight = np.random.default_rng(1).integers(-127, 128, shape).astype(np.int8)
    along = np.array(scales, np.float32).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    stored = constant(weight, "w", scale=scales, zero_point=[0] * 4, axis=axis)
    x = {"CONV_2D": (1, 5, 6, 2), "FULLY_CONNECTED": (1, 18), "DEPTHWISE_CONV_2D": (1, 5, 6, 4)}[kind]
    table = {"CONV_2D": "Conv2DOptions", "FULLY_CONNECTED": "FullyConnectedOptions"}.get(kind, "DepthwiseConv2DOptions")
    window = {"Padding": SAME, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    options: dict[str, Any] = {} if kind == "FULLY_CONNECTED" else window
    inputs = draw([x])
    zero = np.zeros(4, np.float32)
    wanted = run_litert(one_op(kind, [x, weight * along, zero], table, **options), inputs)
    compare(import_tflite(one_op(kind, [x, stored], table, **options)), inputs, wanted)


def test_constant_output_and_argument_as_output() -> None:
    tensors = [Tensor((1, 2), name="x"), constant(weights(3), "c"), Tensor((1, 2), name="y")]
    module = import_tflite(build(tensors, [Operator("RELU", [0], [2])], [0], [2, 0, 1, 2]))
    x = np.array([[-1, 2]], np.float32)
    relu, same, stored, again = run(module, [x])
    np.testing.assert_array_equal(relu, [[0, 2]])
    np.testing.assert_array_equal(again, relu)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(stored, weights(3))
