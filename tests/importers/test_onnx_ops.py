"""Every op in the forms and opsets that real models have, against ONNX Runtime."""

import itertools
import re
from typing import Any

import numpy as np
import pytest

from kpuir.errors import InvalidInputError
from kpuir.importers.onnx import import_onnx
from tests.importers.nets import compare, net, node, op_names

IMAGE = {"x": (2, 4, 7, 9)}


def weights(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def one(op_type: str, inputs: dict[str, Any] = IMAGE, constants: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    """A model of one node whose operands are the inputs, then the constants; None stands for an absent operand."""
    opset = kwargs.pop("opset", 13)
    outputs = kwargs.pop("outputs", ("y",))
    given = constants or {}
    names = [*inputs, *(name if value is not None else "" for name, value in given.items())]
    kept = {name: value for name, value in given.items() if value is not None}
    return net([node(op_type, names, outputs, **kwargs)], inputs, kept, outputs, opset)


CONVOLUTIONS: list[dict[str, Any]] = [
    {},
    {"pads": [1, 2, 0, 1], "strides": [2, 1]},
    {"dilations": [2, 3], "pads": [2, 3, 2, 3]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"auto_pad": "VALID", "kernel_shape": [3, 2]},
]


@pytest.mark.parametrize("attributes", CONVOLUTIONS)
@pytest.mark.parametrize("group", [1, 2, 4])
def test_conv(attributes: dict[str, Any], group: int) -> None:
    constants = {"w": weights(8, 4 // group, 3, 2), "b": weights(8)}
    compare(one("Conv", constants=constants, group=group, **attributes))


@pytest.mark.parametrize("attributes", [{}, {"pads": [1, 0], "strides": [2]}, {"auto_pad": "SAME_UPPER"}])
def test_conv_of_one_dimension(attributes: dict[str, Any]) -> None:
    module = compare(one("Conv", {"x": (1, 3, 12)}, {"w": weights(5, 3, 4)}, **attributes))
    assert op_names(module) == ["reshape", "conv2d", "reshape"]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 3], "output_padding": [1, 2]},
        {"strides": [2, 2], "pads": [1, 0, 1, 1], "dilations": [1, 2]},
        {"strides": [2, 2], "output_shape": [13, 17]},
        {"strides": [2, 2], "output_shape": [14, 16], "auto_pad": "SAME_UPPER"},
        {"strides": [3, 3], "output_shape": [22, 28]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [2, 2], "auto_pad": "VALID"},
    ],
)
@pytest.mark.parametrize("group", [1, 4])
def test_conv_transpose(attributes: dict[str, Any], group: int) -> None:
    constants = {"w": weights(4, 2, 3, 3), "b": weights(2 * group)}
    compare(one("ConvTranspose", constants=constants, group=group, **attributes))


def test_conv_transpose_of_one_dimension() -> None:
    compare(one("ConvTranspose", {"x": (1, 3, 5)}, {"w": weights(3, 2, 4)}, strides=[2], pads=[1, 1]))


POOLS: list[dict[str, Any]] = [
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 3], "pads": [1, 0, 1, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 4], "strides": [2, 1], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1, "auto_pad": "VALID"},
]


@pytest.mark.parametrize("attributes", POOLS)
def test_max_pool(attributes: dict[str, Any]) -> None:
    compare(one("MaxPool", **attributes, opset=12))


def test_max_pool_dilated() -> None:
    compare(one("MaxPool", kernel_shape=[2, 3], dilations=[2, 3], opset=12))


@pytest.mark.parametrize("attributes", POOLS)
@pytest.mark.parametrize("count_include_pad", [0, 1])
def test_average_pool(attributes: dict[str, Any], count_include_pad: int) -> None:
    compare(one("AveragePool", **attributes, count_include_pad=count_include_pad, opset=19))


@pytest.mark.parametrize("count_include_pad", [0, 1])
def test_average_pool_dilated(count_include_pad: int) -> None:
    compare(
        one(
            "AveragePool",
            kernel_shape=[2, 3],
            dilations=[2, 2],
            pads=[1, 1, 1, 1],
            count_include_pad=count_include_pad,
            opset=19,
        )
    )


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
def test_pool_of_one_dimension(op_type: str) -> None:
    compare(one(op_type, {"x": (1, 3, 11)}, kernel_shape=[3], strides=[2], pads=[1, 1]))


@pytest.mark.parametrize("p", [1, 2])
def test_lp_pools(p: int) -> None:
    compare(one("LpPool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 1, 1, 0], p=p))
    compare(one("GlobalLpPool", p=p))


@pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("shape", [(1, 3, 5, 6), (1, 3, 8)])
def test_global_pools(op_type: str, shape: tuple[int, ...]) -> None:
    compare(one(op_type, {"x": shape}))


@pytest.mark.parametrize(
    ("left", "right"),
    [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 1, 3, 4), (5, 4, 2))],
)
@pytest.mark.parametrize("constant", [True, False])
def test_matmul(left: tuple[int, ...], right: tuple[int, ...], constant: bool) -> None:
    if constant:
        compare(one("MatMul", {"x": left}, {"w": weights(*right)}))
        return
    compare(one("MatMul", {"x": left, "w": right}))


@pytest.mark.parametrize(("transposed_a", "transposed_b"), [*itertools.product([0, 1], repeat=2)])
@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (3, 1), (3, 5), (), (1,)])
def test_gemm(transposed_a: int, transposed_b: int, bias: tuple[int, ...] | None) -> None:
    x, w = ((4, 3) if transposed_a else (3, 4)), ((5, 4) if transposed_b else (4, 5))
    constants = {"w": weights(*w), "c": None if bias is None else weights(*bias, seed=2)}
    factors: dict[str, Any] = {"alpha": 0.5, "beta": 2.0} if transposed_b else {}
    compare(one("Gemm", {"x": x}, constants, transA=transposed_a, transB=transposed_b, **factors))


def test_gemm_of_computed_matrices() -> None:
    compare(one("Gemm", {"x": (3, 4), "w": (5, 4), "c": (3, 5)}, transB=1, alpha=0.5, beta=0.25))
    module = compare(one("Gemm", {"x": (3, 4)}, {"w": weights(4, 5), "c": weights(5)}))
    assert op_names(module) == ["matmul"]


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("shape", [(2, 4, 5, 6), (2, 4), (2, 4, 5)])
def test_batch_normalization(opset: int, shape: tuple[int, ...]) -> None:
    constants = {"s": weights(4), "b": weights(4, seed=2), "m": weights(4, seed=3), "v": np.abs(weights(4, seed=4))}
    module = compare(one("BatchNormalization", {"x": shape}, constants, epsilon=1e-3, opset=opset))
    assert op_names(module) == ["binary", "binary"]


def test_normalizations() -> None:
    channels = {"s": weights(4), "b": weights(4, seed=2)}
    compare(one("InstanceNormalization", constants=channels))
    compare(one("LRN", size=3, alpha=0.5, beta=0.75, bias=1.5))
    compare(one("LRN", size=5, alpha=0.5, beta=0.5))
    compare(one("MeanVarianceNormalization"))
    for p in (1, 2):
        compare(one("LpNormalization", axis=1, p=p))
    compare(one("LayerNormalization", constants={"s": weights(7, 9), "b": weights(7, 9, seed=2)}, axis=2, opset=17))
    compare(one("LayerNormalization", constants={"s": weights(9)}, opset=17, outputs=("y", "mean", "inverse")))
    compare(one("GroupNormalization", constants=channels, num_groups=2, opset=21), tolerance=1e-4)
    compare(one("RMSNormalization", constants={"s": weights(9)}, opset=23))


@pytest.mark.parametrize("kind", ["Mean", "Max", "Min", "Sum", "L1", "L2", "SumSquare", "LogSumExp"])
@pytest.mark.parametrize("axes", [[1], [-1, 1], [2, 3], None])
def test_reductions(kind: str, axes: list[int] | None) -> None:
    attributes: dict[str, Any] = {} if axes is None else {"axes": axes}
    compare(one(f"Reduce{kind}", opset=11, keepdims=0, **attributes))
    constants = None if axes is None else {"axes": np.array(axes, np.int64)}
    compare(one(f"Reduce{kind}", constants=constants, opset=18, keepdims=1))


def test_reduction_over_no_axes() -> None:
    module = compare(one("ReduceL1", constants={"axes": np.array([], np.int64)}, noop_with_empty_axes=1, opset=18))
    assert "reduce" not in op_names(module)


UNARY = ["Abs", "Ceil", "Exp", "Floor", "Neg", "Round", "Sin", "Cos", "Tanh", "Reciprocal", "Softsign", "Softplus"]
ACTIVATIONS = ["Relu", "Sigmoid", "LeakyRelu", "HardSigmoid", "Elu", "Selu", "Celu", "Identity", "HardSwish", "Mish"]


@pytest.mark.parametrize("op_type", [*UNARY, *ACTIVATIONS])
def test_functions_of_one_value(op_type: str) -> None:
    compare(one(op_type, opset=18))


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("LeakyRelu", {"alpha": 0.3}),
        ("HardSigmoid", {"alpha": 0.3, "beta": 0.6}),
        ("Elu", {"alpha": 0.7}),
        ("Selu", {"alpha": 1.2, "gamma": 0.8}),
        ("Celu", {"alpha": 0.6}),
        ("Gelu", {"approximate": "tanh"}),
        ("Gelu", {}),
        ("ThresholdedRelu", {"alpha": 0.0}),
    ],
)
def test_activation_parameters(op_type: str, attributes: dict[str, Any]) -> None:
    compare(one(op_type, opset=20, **attributes))


def test_roots_and_logarithms() -> None:
    absolute = node("Abs", ["x"], ["a"])
    for op_type in ("Sqrt", "Log"):
        compare(net([absolute, node(op_type, ["a"])], IMAGE))


@pytest.mark.parametrize("slope", [(4, 1, 1), (1,), (), (9,), (4, 7, 9)])
def test_prelu(slope: tuple[int, ...]) -> None:
    compare(one("PRelu", constants={"slope": weights(*slope)}, opset=16))


@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shape", [(4, 1, 1), (), (2, 4, 7, 9), (1, 9), (3, 2, 4, 1, 1)])
def test_arithmetic(op_type: str, shape: tuple[int, ...]) -> None:
    compare(one(op_type, constants={"c": weights(*shape) + 1}))
    compare(net([node(op_type, ["c", "x"])], IMAGE, {"c": weights(*shape)}), tolerance=1e-4)


def test_arithmetic_of_two_inputs() -> None:
    for op_type in ("Add", "Mul", "Div", "Sub"):
        compare(one(op_type, {"x": (2, 4, 7, 9), "c": (4, 1, 1)}), tolerance=1e-4)


@pytest.mark.parametrize("op_type", ["Min", "Max", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_variadic(op_type: str, count: int) -> None:
    inputs = {f"x{index}": (2, 3) for index in range(count)}
    compare(one(op_type, inputs, {"c": weights(3)}))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 5, -1, -2])
def test_whole_powers(exponent: int) -> None:
    compare(one("Pow", constants={"e": np.float32(exponent)}), tolerance=1e-4)


@pytest.mark.parametrize("exponent", [0.5, -0.5, 1.5])
def test_half_powers(exponent: float) -> None:
    nodes = [node("Abs", ["x"], ["a"]), node("Pow", ["a", "e"])]
    compare(net(nodes, IMAGE, {"e": np.float32(exponent)}), tolerance=1e-4)


def test_power_of_a_constant() -> None:
    compare(net([node("Pow", ["base", "x"])], IMAGE, {"base": np.float32(2.5)}))


@pytest.mark.parametrize(
    ("bounds", "function"),
    [((0, 6), "relu6"), ((0, None), "relu"), ((None, 1), "clamp"), ((-1, 1), "clamp")],
)
def test_clip(bounds: tuple[float | None, float | None], function: str) -> None:
    low, high = bounds
    attributes: dict[str, Any] = {
        name: float(value) for name, value in (("min", low), ("max", high)) if value is not None
    }
    arrays = {name: None if value is None else np.float32(value) for name, value in (("lo", low), ("hi", high))}
    for model in (one("Clip", opset=13, constants=arrays), one("Clip", opset=6 + 1, **attributes)):
        module = compare(model)
        assert op_names(module) == ["activation"]
        assert f"ktensor.activation<{function}" in str(module)


def test_clip_with_bounds_out_of_order_is_the_upper_one() -> None:
    compare(one("Clip", constants={"lo": np.float32(1), "hi": np.float32(-1)}))


def test_clip_by_computed_bounds() -> None:
    compare(one("Clip", {"x": (3, 4), "low": (), "high": ()}))


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1])
@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 10), (2, 5, 1, 1)])
def test_softmax(op_type: str, axis: int | None, opset: int, shape: tuple[int, ...]) -> None:
    if axis == 2 and len(shape) == 2:
        axis = 1
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    compare(one(op_type, {"x": shape}, opset=opset, **attributes))


def test_concat() -> None:
    compare(one("Concat", {"a": (1, 2, 3), "b": (1, 4, 3)}, {"c": weights(1, 1, 3)}, axis=-2))
    assert op_names(compare(one("Concat", {"a": (1, 2, 3)}, axis=0))) == []


@pytest.mark.parametrize("shape", [[2, -1], [0, 0, -1], [0, 4, 63], [504], [1, 2, 2, 2, 63]])
def test_reshape(shape: list[int]) -> None:
    compare(one("Reshape", constants={"s": np.array(shape, np.int64)}, opset=14))


def test_reshape_allowzero() -> None:
    compare(one("Reshape", constants={"s": np.array([504, 1], np.int64)}, opset=14, allowzero=1))


@pytest.mark.parametrize("axis", [0, 1, 2, 4, -1, -3])
def test_flatten(axis: int) -> None:
    compare(one("Flatten", axis=axis))


def test_squeeze_and_unsqueeze() -> None:
    x = {"x": (1, 3, 1, 4)}
    for axes in ([0], [-2], [0, 2]):
        compare(one("Squeeze", x, opset=11, axes=axes))
        compare(one("Squeeze", x, {"axes": np.array(axes, np.int64)}))
        compare(one("Unsqueeze", x, opset=11, axes=axes))
        compare(one("Unsqueeze", x, {"axes": np.array(axes, np.int64)}))
    compare(one("Squeeze", x))


def test_transpose() -> None:
    compare(one("Transpose"))
    compare(one("Transpose", perm=[0, 2, 3, 1]))
    assert op_names(compare(one("Transpose", perm=[0, 1, 2, 3]))) == []


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ([1], [3], [1], [1]),
        ([0, -5], [99, -1], [2, -1], [2, 3]),
        ([-1], [-99], [3], [-1]),
        ([6], [0], [2], [-2]),
        ([0, 1, 0, 0], [1, 4, 7, 9], None, None),
        ([-99], [2**62], [3], [4]),
    ],
)
def test_slice(starts: list[int], ends: list[int], axes: list[int] | None, steps: list[int] | None) -> None:
    given = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
    arrays = {name: None if value is None else np.array(value, np.int64) for name, value in given.items()}
    while arrays and list(arrays.values())[-1] is None:
        arrays.popitem()
    compare(one("Slice", constants=arrays))
    if steps is None or set(steps) == {1}:
        attributes: dict[str, Any] = {} if axes is None else {"axes": axes}
        compare(one("Slice", opset=9, starts=starts, ends=ends, **attributes))


def test_slice_of_everything_is_nothing() -> None:
    bounds = {"starts": np.array([0]), "ends": np.array([4]), "axes": np.array([1])}
    assert op_names(compare(one("Slice", constants=bounds))) == []


def test_split() -> None:
    outputs = ("y", "z", "w")
    compare(one("Split", {"x": (2, 6)}, axis=1, outputs=outputs))
    compare(one("Split", {"x": (2, 6)}, axis=-1, split=[1, 2, 3], outputs=outputs, opset=11))
    compare(one("Split", {"x": (2, 6)}, {"split": np.array([1, 2, 3])}, axis=1, outputs=outputs))
    compare(one("Split", {"x": (2, 7)}, axis=1, num_outputs=3, outputs=outputs, opset=18))


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        (2, ["slice", "reshape"]),
        (-1, ["slice", "reshape"]),
        ([1, 2, 3], ["slice"]),
        ([3, 2, 1, 0], ["slice"]),
        ([0, 2], ["slice"]),
        ([0, 0, 3, 1], ["slice", "slice", "slice", "concat"]),
        ([[0, 1], [2, 3]], ["reshape"]),
    ],
)
def test_gather(indices: Any, expected: list[str]) -> None:
    assert op_names(compare(one("Gather", constants={"i": np.array(indices)}, axis=1))) == expected


def test_expand_and_tile() -> None:
    compare(one("Expand", {"x": (3, 1, 2)}, {"shape": np.array([2, 1, 4, 1])}))
    compare(one("Tile", {"x": (3, 1, 2)}, {"repeats": np.array([1, 3, 2])}))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_pad(mode: str) -> None:
    pads = [0, 0, 2, 1, 0, 0, 0, 3]
    compare(one("Pad", constants={"pads": np.array(pads)}, mode=mode, opset=19))
    if mode != "wrap":
        compare(one("Pad", mode=mode, pads=pads, opset=10))


def test_pad_value_axes_and_negative_amounts() -> None:
    compare(one("Pad", constants={"pads": np.array([0, 0, -1, 2, 0, 0, 3, -4]), "value": np.float32(1.5)}))
    constants = {"pads": np.array([1, 2, 3, 4]), "value": None, "axes": np.array([-1, 2])}
    compare(one("Pad", constants=constants, opset=18))
    compare(one("Pad", pads=[0, 0, 1, 1, 0, 0, 1, 1], value=-1.0, opset=7))


COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("scales", [(2.0, 3.0), (0.57, 1.63)])
def test_resize_nearest(coordinates: str, rounding: str, scales: tuple[float, float]) -> None:
    attributes: dict[str, Any] = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    constants = {"roi": None, "scales": np.array([1, 1, *scales], np.float32)}
    compare(one("Resize", constants=constants, mode="nearest", opset=19, **attributes))


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("size", [(14, 18), (5, 13), (1, 1)])
def test_resize_linear(coordinates: str, size: tuple[int, int]) -> None:
    constants = {"roi": None, "scales": None, "sizes": np.array([2, 4, *size])}
    compare(
        one("Resize", constants=constants, mode="linear", coordinate_transformation_mode=coordinates, opset=19),
        tolerance=1e-4,
    )
    scales = {"roi": None, "scales": np.array([1, 1, size[0] / 7.3, size[1] / 8.7], np.float32)}
    if min(size) > 1:
        compare(
            one("Resize", constants=scales, mode="linear", coordinate_transformation_mode=coordinates, opset=19),
            tolerance=1e-4,
        )


def test_resize_of_other_axes() -> None:
    nhwc = {"x": (1, 5, 6, 3)}
    compare(one("Resize", nhwc, {"roi": None, "scales": np.array([1, 2, 2, 1], np.float32)}, mode="linear"))
    compare(one("Resize", {"x": (2, 3, 8)}, {"roi": None, "scales": np.array([1, 1, 2], np.float32)}, mode="linear"))
    compare(one("Resize", {"x": (5, 6)}, {"roi": None, "scales": np.array([2, 2], np.float32)}, mode="nearest"))
    compare(one("Resize", {"x": (1, 2, 5, 6)}, {"roi": None, "scales": np.array([1, 1, 1, 2], np.float32)}))


def test_resize_axes_and_aspect_ratio() -> None:
    constants = {"roi": None, "scales": None, "sizes": np.array([10, 11])}
    for policy in ("stretch", "not_larger", "not_smaller"):
        compare(one("Resize", constants=constants, axes=[2, 3], keep_aspect_ratio_policy=policy, opset=18))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample(mode: str) -> None:
    scales = [1.0, 1.0, 2.0, 3.0]
    compare(one("Upsample", opset=7, mode=mode, scales=scales))
    compare(one("Upsample", constants={"s": np.array(scales, np.float32)}, opset=9, mode=mode))
    compare(one("Resize", constants={"s": np.array(scales, np.float32)}, opset=10, mode=mode))


def test_resize_10_makes_images_smaller() -> None:
    compare(one("Resize", constants={"s": np.array([1, 1, 0.5, 0.6], np.float32)}, opset=10, mode="nearest"))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str) -> None:
    compare(one("DepthToSpace", {"x": (1, 12, 3, 4)}, blocksize=2, mode=mode))


def test_space_to_depth() -> None:
    compare(one("SpaceToDepth", {"x": (1, 3, 4, 6)}, blocksize=2))


@pytest.mark.parametrize("opset", [7, 10, 12, 13])
def test_dropout(opset: int) -> None:
    assert op_names(compare(one("Dropout", opset=opset))) == []


EINSUM = {
    "bchw,cd->bdhw": ((1, 4, 3, 2), (4, 6)),
    "bhid,bhjd->bhij": ((1, 2, 5, 4), (1, 2, 3, 4)),
    "b i j, b j k": ((2, 3, 4), (2, 4, 5)),
    "i,j->ij": ((3,), (4,)),
    "i,i": ((5,), (5,)),
    "abc->c": ((2, 3, 4),),
    "ii": ((4, 4),),
    "...ii->...i": ((2, 3, 4, 4),),
    "a...,b->ab...": ((2, 3, 4), (5,)),
    "ab,bc,cd->ad": ((2, 3), (3, 4), (4, 5)),
    "ab,cd->": ((2, 3), (3, 2)),
    "nctkv,kvw->nctw": ((1, 2, 3, 3, 5), (3, 5, 5)),
}


@pytest.mark.parametrize("equation", EINSUM)
def test_einsum(equation: str) -> None:
    inputs = {f"x{index}": shape for index, shape in enumerate(EINSUM[equation])}
    compare(net([node("Einsum", list(inputs), equation=equation)], inputs))


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("ij,jk", "axis 'j' has sizes 3 and 4"),
        ("ij,kl->ijj", "axes 'ijj' in its result"),
        ("ij->i", "of 1 operands, there are 2"),
        ("i1,jk->i", "other axes than letters"),
        ("i,jk->i", "does not fit operands of [2, 2] axes"),
    ],
)
def test_einsum_that_contradicts_itself(equation: str, message: str) -> None:
    model = net([node("Einsum", ["x", "z"], equation=equation)], {"x": (2, 3), "z": (4, 5)})
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        import_onnx(model.SerializeToString())
