"""Ops that are made of others when they are imported, against ONNX Runtime: forms that ONNX's own tests leave out."""

from typing import Any

import numpy as np
import onnx
import onnx.helper
import pytest
from onnx import TensorProto

from kpuir.importers.onnx import import_onnx
from tests.importers.nets import compare, floats, interpret, net, node, op_names, runtime
from tests.importers.test_onnx_ops import IMAGE, one, weights


def whole(*values: Any) -> np.ndarray:
    return np.array(values, np.int64)


def check(
    nodes: list[onnx.NodeProto], inputs: dict[str, np.ndarray], constants: dict[str, Any] | None = None, **kwargs: Any
) -> None:
    """Import and run on inputs of any type, and require what ONNX Runtime gives."""
    tolerance = kwargs.pop("tolerance", 1e-5)
    model = net(nodes, {name: array.shape for name, array in inputs.items()}, constants, **kwargs)
    for value, array in zip(model.graph.input, inputs.values(), strict=True):
        value.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    for value in model.graph.output:
        value.type.tensor_type.elem_type = TensorProto.INT64 if value.name == "i" else TensorProto.UNDEFINED
    inferred = onnx.shape_inference.infer_shapes(model)
    expected = runtime(inferred, inputs)
    found = interpret(import_onnx(inferred.SerializeToString()), list(inputs.values()))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.astype(np.float32), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("op_type", ["Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"])
def test_comparisons(op_type: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-3, 4, (4, 5)), rng.integers(-3, 4, (5,))
    for kind in (np.float32, np.int32, np.int64):
        check([node(op_type, ["a", "b"])], {"a": a.astype(kind), "b": b.astype(kind)}, opset=16)


@pytest.mark.parametrize("op_type", ["And", "Or", "Xor"])
def test_logic(op_type: str) -> None:
    a, b = np.array([[True, False], [False, True]]), np.array([True, False])
    nodes = [node(op_type, ["a", "b"], ["c"]), node("Not", ["c"], ["n"]), node("Where", ["n", "x", "b2"])]
    check(nodes, {"a": a, "b": b, "x": floats([[1, 2], [3, 4]])}, {"b2": np.float32(-1)}, opset=16)


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_arithmetic_of_integers(kind: Any) -> None:
    a, b = np.array([-7, 7, 8, 0, -9], kind), np.array([2, -2, 3, 5, -4], kind)
    for op_type in ("Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Pow"):
        second = np.abs(b) if op_type == "Pow" else b
        check([node(op_type, ["a", "b"])], {"a": a, "b": second}, opset=13)


@pytest.mark.parametrize("target", [TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT16])
def test_casts_of_floats(target: int) -> None:
    x = floats([-2.5, -0.5, 0.0, 0.25, 1.75, 100.0])
    check([node("Cast", ["x"], to=target)], {"x": x})


def test_casts_of_integers_to_bytes_overflow() -> None:
    check([node("Cast", ["x"], to=TensorProto.UINT8)], {"x": np.array([-1, 255, 256, 700], np.int32)})
    check([node("Cast", ["x"], to=TensorProto.INT8)], {"x": np.array([-129, 127, 128, 700], np.int32)})


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("attributes", [{}, {"axis": -2, "keepdims": 0}, {"axis": 2, "select_last_index": 1}])
def test_positions(op_type: str, attributes: dict[str, Any]) -> None:
    x = np.random.default_rng(0).integers(0, 4, (2, 5, 6)).astype(np.float32)
    check([node(op_type, ["x"], **attributes)], {"x": x}, opset=12)
    attributes = {name: value for name, value in attributes.items() if name != "select_last_index"}
    check([node(op_type, ["x"], **attributes)], {"x": x}, opset=7)


@pytest.mark.parametrize(("opset", "k"), [(9, 3), (10, 3), (11, 1), (13, 4)])
@pytest.mark.parametrize("attributes", [{}, {"largest": 0, "axis": 1}])
def test_top_k(opset: int, k: int, attributes: dict[str, Any]) -> None:
    x = np.random.default_rng(0).integers(0, 5, (2, 6, 7)).astype(np.float32)
    attributes = {name: value for name, value in attributes.items() if name != "largest" or opset >= 11}
    given = {"k": whole(k)} if opset >= 10 else {}
    attributes |= {} if given else {"k": k}
    check([node("TopK", ["x", *given], ["y", "i"], **attributes)], {"x": x}, given, outputs=("y", "i"), opset=opset)


@pytest.mark.parametrize("opset", [7, 11, 13])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_hardmax(opset: int, axis: int) -> None:
    axis = axis % 3 if opset < 11 else axis
    check([node("Hardmax", ["x"], axis=axis)], {"x": weights(2, 3, 4)}, opset=opset)


def test_indices() -> None:
    x, rng = weights(4, 5, 6), np.random.default_rng(0)
    indices = rng.integers(-5, 5, (3, 7, 2))
    for given in ({"i": indices}, {}):
        inputs = {"x": x} if given else {"x": x, "i": indices}
        check([node("GatherElements", ["x", "i"], axis=1)], inputs, given)
        check([node("Gather", ["x", "i"], axis=1)], inputs, given)
    places = np.stack([rng.integers(-4, 4, (2, 3)), rng.integers(0, 5, (2, 3))], axis=-1)
    check([node("GatherND", ["x", "i"])], {"x": x}, {"i": places})
    check([node("GatherND", ["x", "i"])], {"x": x, "i": places})
    batched = rng.integers(0, 5, (4, 2, 1))
    check([node("GatherND", ["x", "i"], batch_dims=1)], {"x": x}, {"i": batched}, opset=13)


def test_a_table_looked_up_by_computed_indices_is_a_product() -> None:
    indices = np.array([[3, 0, -1]], np.int64)
    model = net([node("Gather", ["t", "i"])], {"i": (1, 3)}, {"t": weights(9, 4)})
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    module = import_onnx(model.SerializeToString())
    assert "matmul" in op_names(module)
    np.testing.assert_array_equal(interpret(module, [indices])[0], weights(9, 4)[indices])


def test_selections() -> None:
    x = weights(3, 4, 5)
    check([node("Compress", ["x", "c"], axis=1)], {"x": x}, {"c": np.array([True, False, True])})
    check([node("Compress", ["x", "c"])], {"x": x}, {"c": np.array([False, True] * 10)})
    for upper, k in ((0, 1), (1, -1), (1, 9)):
        check([node("Trilu", ["x", "k"], upper=upper)], {"x": x}, {"k": np.int64(k)}, opset=14)
    for axis, exclusive, reverse in ((0, 0, 0), (-1, 1, 0), (1, 0, 1), (2, 1, 1)):
        cum_sum = node("CumSum", ["x", "a"], exclusive=exclusive, reverse=reverse)
        check([cum_sum], {"x": x}, {"a": np.int32(axis)}, opset=14)
    lengths = whole(2, 4, 1)
    check([node("ReverseSequence", ["x", "l"], time_axis=1, batch_axis=0)], {"x": x}, {"l": lengths})
    check([node("ReverseSequence", ["x", "l"], time_axis=1, batch_axis=0)], {"x": x, "l": lengths})
    for axis in (-1, 0, 1):
        constants = {"d": whole(6), "v": floats([-1, 2])}
        check([node("OneHot", ["i", "d", "v"], axis=axis)], {"i": np.array([[0, 7, -2], [5, 3, -6]])}, constants)


LAYERS: list[tuple[str, dict[str, Any], int, tuple[str, ...]]] = [
    # op type, attributes, directions, the inputs that are given beyond X, W and R
    ("RNN", {}, 1, ()),
    ("RNN", {"direction": "bidirectional", "activations": ["Relu", "Tanh"]}, 2, ("b", "", "h")),
    ("GRU", {}, 1, ("b",)),
    ("GRU", {"linear_before_reset": 1, "direction": "reverse", "clip": 0.5}, 1, ("b", "", "h")),
    ("GRU", {"direction": "bidirectional"}, 2, ("b", "l")),
    ("LSTM", {}, 1, ("b",)),
    ("LSTM", {"direction": "bidirectional"}, 2, ("b", "", "h", "c", "p")),
    ("LSTM", {"input_forget": 1, "activations": ["HardSigmoid", "Tanh", "Relu"]}, 1, ("b", "s", "h", "c")),
]


@pytest.mark.parametrize(("op_type", "attributes", "directions", "given"), LAYERS)
@pytest.mark.parametrize("opset", [7, 14])
def test_recurrent_layers(
    op_type: str, attributes: dict[str, Any], directions: int, given: tuple[str, ...], opset: int
) -> None:
    gates, (steps, batch, size, hidden) = {"RNN": 1, "GRU": 3, "LSTM": 4}[op_type], (5, 2, 3, 4)
    shapes = {
        "w": (directions, gates * hidden, size),
        "r": (directions, gates * hidden, hidden),
        "b": (directions, 2 * gates * hidden),
        "h": (directions, batch, hidden),
        "c": (directions, batch, hidden),
        "p": (directions, 3 * hidden),
    }
    constants: dict[str, Any] = {name: weights(*shape, seed=ord(name)) for name, shape in shapes.items()}
    constants |= {"l": np.full(batch, steps, np.int32), "s": np.array([3, 5], np.int32)}
    used = {name: constants[name] for name in ("w", "r", *given) if name}
    outputs = ("y", "yh", "yc")[: 3 if op_type == "LSTM" else 2]
    check(
        [node(op_type, ["x", "w", "r", *given], outputs, hidden_size=hidden, **attributes)],
        {"x": weights(steps, batch, size)},
        used,
        outputs=outputs,
        opset=opset,
    )


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize(("opset", "attributes"), [(10, {}), (16, {}), (16, {"sampling_ratio": 2})])
def test_roi_align(mode: str, opset: int, attributes: dict[str, Any]) -> None:
    regions = {"r": floats([[0, 0, 7, 5], [2.5, 1.5, 9, 8], [-3, -2, 4, 3]]), "b": whole(0, 1, 1)}
    attributes = {"output_height": 3, "output_width": 2, "spatial_scale": 0.8, "mode": mode, **attributes}
    check([node("RoiAlign", ["x", "r", "b"], **attributes)], {"x": weights(2, 3, 8, 9)}, regions, opset=opset)


@pytest.mark.parametrize("size", [(14, 18), (5, 4)])
@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "cubic"},
        {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
        {"mode": "cubic", "coordinate_transformation_mode": "align_corners"},
        {"mode": "linear", "antialias": 1},
        {"mode": "cubic", "antialias": 1},
    ],
)
def test_resizes_by_matrices(size: tuple[int, int], attributes: dict[str, Any]) -> None:
    constants = {"roi": None, "scales": None, "sizes": whole(2, 4, *size)}
    compare(one("Resize", constants=constants, opset=19, **attributes), tolerance=1e-4)


def test_resize_crops() -> None:
    region = floats([0.1, -0.2, 0.8, 1.1])
    attributes: dict[str, Any] = {
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": 7.0,
        "axes": [2, 3],
    }
    constants = {"roi": region, "scales": None, "sizes": whole(4, 5)}
    for mode in ("linear", "nearest"):
        compare(one("Resize", constants=constants, opset=19, mode=mode, **attributes), tolerance=1e-4)


VOLUME = {"x": (1, 4, 5, 6, 7)}


@pytest.mark.parametrize(
    "attributes",
    [{}, {"pads": [1, 0, 2, 0, 1, 1], "strides": [2, 1, 2]}, {"auto_pad": "SAME_UPPER", "strides": [2, 1, 2]}],
)
def test_volumes(attributes: dict[str, Any]) -> None:
    compare(one("Conv", VOLUME, {"w": weights(6, 2, 3, 2, 3), "b": weights(6)}, group=2, **attributes))
    constants = {"w": weights(4, 3, 2, 3, 2), "b": weights(3)}
    compare(one("ConvTranspose", VOLUME, constants, **attributes))
    pool: dict[str, Any] = {**attributes, "kernel_shape": [2, 3, 3]}
    compare(one("MaxPool", VOLUME, **pool))
    compare(one("AveragePool", VOLUME, opset=19, **pool))
    compare(one("LpPool", VOLUME, p=3, opset=18, **pool), tolerance=1e-4)


def test_max_pool_indices() -> None:
    attributes: dict[str, Any] = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
    for order in (0, 1):
        pool = node("MaxPool", ["x"], ["y", "i"], storage_order=order, **attributes)
        check([pool], {"x": weights(2, 3, 7, 5)}, outputs=("y", "i"))


def test_powers_and_local_responses() -> None:
    check([node("Pow", ["x", "e"])], {"x": np.abs(weights(3, 4)), "e": weights(4)})
    check([node("Pow", ["x", "e"])], {"x": weights(3, 4)}, {"e": floats([1, 2, 3, 0])})
    compare(one("LRN", size=3, alpha=0.5, beta=0.7))


def test_numbers_drawn_at_random() -> None:
    model = net([node("RandomNormalLike", ["x"], ["r"], seed=3.0, mean=5.0), node("Add", ["x", "r"])], {"x": (40, 50)})
    x = np.zeros((40, 50), np.float32)
    first, second = (interpret(import_onnx(model.SerializeToString()), [x])[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert abs(float(first.mean()) - 5) < 0.1


def test_quantized_operators() -> None:
    """With weights of 7 bits: of more, ONNX Runtime saturates sums of two products on processors without VNNI."""
    x = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 6), np.uint8)
    constants: dict[str, Any] = {
        "xs": np.float32(0.02),
        "xz": np.uint8(117),
        "ws": floats([0.01, 0.02, 0.03, 0.04]),
        "wz": np.zeros(4, np.int8),
        "w": np.random.default_rng(1).integers(-63, 64, (4, 4, 3, 3), np.int8),
        "b": np.arange(4, dtype=np.int32),
        "ys": np.float32(0.05),
        "yz": np.uint8(100),
    }
    conv = node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["q"], pads=[1, 1, 1, 1])
    check([conv, node("DequantizeLinear", ["q", "ys", "yz"])], {"x": x}, constants)
    check([node("ConvInteger", ["x", "w", "xz"])], {"x": x}, {name: constants[name] for name in ("w", "xz")})
    a, b = x[0, 0], x[0, 1]
    names = ["a", "as", "az", "b", "bs", "bz", "ys", "yz"]
    numbers = {name: constants["xs" if name.endswith("s") else "xz"] for name in names if name not in "ab"}
    numbers |= {"ys": np.float32(0.3), "b": b}
    multiply = node("QLinearMatMul", names, ["q"])
    check([multiply, node("DequantizeLinear", ["q", "ys", "yz"])], {"a": a}, numbers)


def test_functions_of_the_standard_are_inlined() -> None:
    compare(one("Softsign", IMAGE, opset=22))
    module = compare(one("MeanVarianceNormalization", opset=13))
    assert "reduce" in op_names(module)
    check([node("ReduceMax", ["x"], ["m"]), node("Celu", ["m"])], {"x": weights(3, 4)}, opset=13)
