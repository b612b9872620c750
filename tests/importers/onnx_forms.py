"""One small model for each op that is imported, in each version that ONNX has of it since opset 7.

A form says what a node is given: arrays that are fed, constants, attributes. What an op takes instead in another opset,
an attribute for an input say, is decided by the opset.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx.defs
import onnx.helper
import onnx.numpy_helper
from onnx import TensorProto

from kpuir.importers.onnx.graph import OLDEST_OPSET
from tests.importers.nets import Array, floats

MAP = np.random.default_rng(0).uniform(-2, 2, (1, 4, 6, 5)).astype(np.float32)
SMALL = np.random.default_rng(1).uniform(-0.9, 0.9, (2, 3, 4)).astype(np.float32)
CODES = np.random.default_rng(2).integers(0, 256, (1, 4, 6, 5)).astype(np.uint8)


GENERATORS = {"Constant", "ConstantOfShape", "RandomNormal", "RandomUniform"}
"""Ops without operands that are fed."""


class Form(NamedTuple):
    """What a node is given; an operand of None is left out."""

    fed: dict[str, Array]
    constants: Mapping[str, Any] = {}
    attributes: Mapping[str, Any] = {}
    outputs: tuple[str, ...] = ("y",)


def weights(*shape: int) -> Array:
    """Random numbers in -0.5..0.5."""
    return np.random.default_rng(3).uniform(-0.5, 0.5, shape).astype(np.float32)


def whole(*values: int) -> Array:
    """A list of integers."""
    return np.array(values, np.int64)


def versions() -> dict[str, list[int]]:
    """The opsets since 7 in which ONNX changed each op, the version that opset 7 itself has included."""
    found: dict[str, set[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.domain and not schema.deprecated:
            found.setdefault(schema.name, set()).add(max(schema.since_version, OLDEST_OPSET))
    return {op_type: sorted(opsets) for op_type, opsets in found.items()}


def models() -> Iterator[tuple[str, int, onnx.ModelProto, dict[str, Array]]]:
    """Op, opset, model and what to feed it."""
    opsets = versions()
    for op_type, make in FORMS.items():
        for opset in opsets[op_type]:
            form = make(opset)
            model = model_of(op_type, opset, form)
            yield op_type, opset, model, {"unused": SMALL} if op_type in GENERATORS else form.fed


def model_of(op_type: str, opset: int, form: Form) -> onnx.ModelProto:
    """The model of one node; its outputs have the types that ONNX infers. A node without inputs gets a neighbour."""
    constants = {name: value for name, value in form.constants.items() if value is not None}
    operands = [*form.fed, *(name if name in constants else "" for name in form.constants)]
    node = onnx.helper.make_node(op_type, operands, list(form.outputs), name="layer", **form.attributes)
    nodes, fed, outputs = [node], dict(form.fed), list(form.outputs)
    if op_type in GENERATORS:
        nodes.append(onnx.helper.make_node("Identity", ["unused"], ["same"]))
        fed["unused"] = SMALL
        outputs.append("same")
    graph = onnx.helper.make_graph(
        nodes,
        "form",
        [_value(name, array) for name, array in fed.items()],
        [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    model.ir_version = 8 if opset < 20 else 10
    return onnx.shape_inference.infer_shapes(model)


def _value(name: str, array: Array) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _unary(array: Array = SMALL, **attributes: Any) -> Callable[[int], Form]:
    return lambda _: Form({"x": array}, attributes=attributes)


def _binary(first: Array = SMALL, second: Array = SMALL[:1, :, :1] * -2) -> Callable[[int], Form]:
    return lambda _: Form({"a": first, "b": second})


def _variadic(opset: int) -> Form:
    return Form({"a": SMALL, "b": SMALL[:1] * -2 if opset >= 8 else SMALL * -2, "c": SMALL * 3})


def _same(form: Form) -> Callable[[int], Form]:
    return lambda _: form


def _by_opset(since: int, name: str, values: Array, fed: Array, **attributes: Any) -> Callable[[int], Form]:
    """A list of integers that is an input since an opset, before that an attribute."""

    def form(opset: int) -> Form:
        if opset >= since:
            return Form({"x": fed}, {name: values}, attributes)
        return Form({"x": fed}, {}, {**attributes, name: values.tolist()})

    return form


def _reduction(since: int) -> Callable[[int], Form]:
    return _by_opset(since, "axes", whole(0, 2), np.abs(SMALL) + 0.1, keepdims=0)


def _pool(opset: int, **attributes: Any) -> Form:
    newer = {"ceil_mode": 1} if opset >= 10 else {}
    return Form(
        {"x": MAP}, {}, {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1], **newer, **attributes}
    )


def _max_pool(opset: int) -> Form:
    attributes = {"dilations": [1, 2]} if opset >= 10 else {}
    form = _pool(opset, **attributes)
    return form._replace(outputs=("y", "i")) if opset >= 8 else form


def _average_pool(opset: int) -> Form:
    return _pool(opset, count_include_pad=1, **({"dilations": [1, 2]} if opset >= 19 else {}))


def _lp_pool(opset: int) -> Form:
    newer = {"ceil_mode": 1, "dilations": [2, 1]} if opset >= 18 else {}
    return Form({"x": MAP}, {}, {"kernel_shape": [2, 3], "strides": [1, 2], "p": 3, **newer})


def _batch_normalization(opset: int) -> Form:
    constants = {name: weights(4) + 1 for name in ("s", "b", "m", "v")}
    return Form({"x": MAP}, constants, {"epsilon": 1e-3, **({"spatial": 1} if opset < 9 else {})})


def _group_normalization(opset: int) -> Form:
    size = 4 if opset >= 21 else 2
    return Form({"x": MAP}, {"s": weights(size) + 1, "b": weights(size)}, {"num_groups": 2})


def _clip(opset: int) -> Form:
    if opset < 11:
        return Form({"x": SMALL}, {}, {"min": -0.25, "max": 0.5})
    return Form({"x": SMALL}, {"low": None, "high": np.float32(0.5)})


def _dropout(opset: int) -> Form:
    if opset < 12:
        return Form({"x": SMALL}, {}, {"ratio": 0.3})
    return Form({"x": SMALL}, {"ratio": np.float32(0.3), "training": np.array(False)})


def _pad(opset: int) -> Form:
    pads = whole(0, 0, 2, -1, 0, 0, 1, 2)
    if opset < 11:
        return Form({"x": MAP}, {}, {"pads": pads.tolist(), "value": 0.5})
    if opset < 18:
        return Form({"x": MAP}, {"pads": pads, "value": np.float32(0.5)})
    mode = "wrap" if opset >= 19 else "reflect"
    return Form({"x": MAP}, {"pads": whole(2, 1, 1, 2), "value": None, "axes": whole(-2, 3)}, {"mode": mode})


def _slice(opset: int) -> Form:
    if opset < 10:
        return Form({"x": MAP}, {}, {"starts": [1, -4], "ends": [3, -1], "axes": [1, 2]})
    axes = whole(-3, 2) if opset >= 11 else whole(1, 2)
    return Form({"x": MAP}, {"starts": whole(1, -1), "ends": whole(100, -6), "axes": axes, "steps": whole(2, -2)})


def _split(opset: int) -> Form:
    outputs = ("y", "z")
    if opset < 13:
        return Form({"x": MAP}, {}, {"axis": 2, "split": [2, 4]}, outputs)
    if opset < 18:
        return Form({"x": MAP}, {"split": whole(2, 4)}, {"axis": -2}, outputs)
    return Form({"x": MAP}, {}, {"axis": -1, "num_outputs": 2}, outputs)


def _top_k(opset: int) -> Form:
    newer = {"largest": 0} if opset >= 11 else {}
    if opset < 10:
        return Form({"x": SMALL}, {}, {"k": 2, "axis": 1}, ("y", "i"))
    return Form({"x": SMALL}, {"k": whole(2)}, {"axis": 1, **newer}, ("y", "i"))


def _upsample(opset: int) -> Form:
    if opset < 9:
        return Form({"x": MAP}, {}, {"scales": [1.0, 1.0, 2.0, 3.0], "mode": "linear"})
    return Form({"x": MAP}, {"scales": floats([1, 1, 2, 1.5])}, {"mode": "nearest"})


def _resize(opset: int) -> Form:
    if opset < 11:
        return Form({"x": MAP}, {"scales": floats([1, 1, 2, 0.5])}, {"mode": "linear"})
    attributes: dict[str, Any] = {"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel"}
    none = floats([]) if opset < 13 else None  # opset 11 has no optional inputs in front of others
    if opset < 18:
        return Form({"x": MAP}, {"roi": none, "scales": none, "sizes": whole(1, 4, 3, 9)}, attributes)
    attributes |= {"axes": [3, 2], "keep_aspect_ratio_policy": "not_larger", "antialias": 1}
    return Form({"x": MAP}, {"roi": None, "scales": None, "sizes": whole(9, 10)}, attributes)


def _quantize(opset: int) -> Form:
    if opset < 13:
        return Form({"x": MAP}, {"s": np.float32(0.02), "z": np.uint8(100)})
    return Form({"x": MAP}, {"s": floats([0.02, 0.01, 0.03, 0.04]), "z": np.array([0, 3, -5, 8], np.int8)}, {"axis": 1})


def _dequantize(opset: int) -> Form:
    if opset < 13:
        return Form({"x": CODES}, {"s": np.float32(0.02), "z": np.uint8(100)})
    return Form(
        {"x": CODES}, {"s": floats([0.02, 0.01, 0.03, 0.04]), "z": np.array([0, 3, 5, 8], np.uint8)}, {"axis": 1}
    )


def _recurrent(gates: int, **attributes: Any) -> Callable[[int], Form]:
    def form(opset: int) -> Form:
        first = opset >= 14
        x = np.random.default_rng(4).uniform(-1, 1, (2, 5, 3) if first else (5, 2, 3)).astype(np.float32)
        constants = {
            "w": weights(2, gates * 4, 3),
            "r": weights(2, gates * 4, 4),
            "b": weights(2, gates * 8),
        }
        given = {"hidden_size": 4, "direction": "bidirectional", **attributes, **({"layout": 1} if first else {})}
        return Form({"x": x}, constants, given, ("y", "h"))

    return form


def _roi_align(opset: int) -> Form:
    rois = {"r": floats([[0, 0, 3, 4], [1, 1, 4.5, 3.5]]), "i": whole(0, 0)}
    return Form({"x": MAP}, rois, {"output_height": 2, "output_width": 3, "sampling_ratio": 2})


def _random(like: bool) -> Callable[[int], Form]:
    if like:
        return _same(Form({"x": SMALL}, {}, {"seed": 1.0}))
    return _same(Form({}, {}, {"seed": 1.0, "shape": [2, 3]}))


def _each(names: str, form: Callable[[int], Form]) -> dict[str, Callable[[int], Form]]:
    return dict.fromkeys(names.split(), form)


FORMS: dict[str, Callable[[int], Form]] = {
    **_each(
        "Abs Acos Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor Neg Reciprocal Round Sign Sin Sinh Tan", _unary()
    ),
    **_each("Celu Elu Gelu HardSigmoid HardSwish LeakyRelu Mish Relu Selu Shrink Sigmoid Softplus Softsign", _unary()),
    **_each("Swish Tanh ThresholdedRelu Flatten Hardmax Identity LogSoftmax LpNormalization Softmax", _unary()),
    **_each("Shape Size Transpose Trilu", _unary()),
    **_each("Add Div Greater GreaterOrEqual Less LessOrEqual Mul PRelu Sub", _binary()),
    **_each("Max Mean Min Sum", _variadic),
    **_each("GlobalAveragePool GlobalLpPool GlobalMaxPool", _unary(MAP)),
    **_each("Acosh Log Sqrt", _unary(np.abs(SMALL) + 1)),
    **_each("And Or Xor", _binary(SMALL > 0, SMALL[:1] > 0.2)),
    "Equal": _binary(np.rint(SMALL * 3).astype(np.int32), np.rint(SMALL[:1] * 3).astype(np.int32)),
    "Not": _unary(SMALL > 0),
    "Where": _same(Form({"c": SMALL > 0, "a": SMALL, "b": SMALL[:1, :1] * 3})),
    "Pow": _binary(np.abs(SMALL) + 0.5, SMALL[:1]),
    "Mod": _binary(np.array([-7, 7, 8, -9], np.int32), np.array([3, -4, 5, -2], np.int32)),
    "Cast": _unary(SMALL * 9, to=TensorProto.INT32),
    "CastLike": _same(Form({"x": SMALL * 9}, {"like": np.zeros(1, np.int32)})),
    "ArgMax": _unary(axis=1),
    "ArgMin": _unary(axis=2, keepdims=0),
    "Conv": _same(
        Form({"x": MAP}, {"w": weights(6, 2, 3, 2), "b": weights(6)}, {"group": 2, "auto_pad": "SAME_LOWER"})
    ),
    "ConvTranspose": _same(
        Form({"x": MAP}, {"w": weights(4, 3, 3, 2)}, {"group": 2, "strides": [2, 3], "output_shape": [12, 15]})
    ),
    "ConvInteger": _same(
        Form({"x": CODES}, {"w": np.rint(weights(3, 4, 2, 2) * 120).astype(np.int8), "z": np.uint8(7)})
    ),
    "MatMul": _same(Form({"a": SMALL, "b": weights(4, 5)})),
    "Einsum": _same(Form({"a": SMALL, "b": weights(4, 5)}, {}, {"equation": "bij, jk -> kbi"})),
    "MatMulInteger": _same(Form({"a": CODES}, {"b": np.rint(weights(5, 3) * 120).astype(np.int8), "z": np.uint8(7)})),
    "Gemm": _same(
        Form({"a": weights(3, 4)}, {"b": weights(5, 3), "c": weights(5)}, {"transA": 1, "transB": 1, "alpha": 0.5})
    ),
    # weights of 7 bits: ONNX Runtime adds pairs of products in 16 bits on some processors
    "QLinearConv": _same(
        Form(
            {"x": CODES},
            {
                "xs": np.float32(0.0213),
                "xz": np.uint8(99),
                "w": np.rint(weights(3, 4, 2, 2) * 120).astype(np.int8),
                "ws": floats([0.01, 0.02, 0.03]),
                "wz": np.zeros(3, np.int8),
                "ys": np.float32(0.05),
                "yz": np.uint8(120),
            },
        )
    ),
    "QLinearMatMul": _same(
        Form(
            {"x": CODES},
            {
                "xs": np.float32(0.0213),
                "xz": np.uint8(99),
                "w": np.rint(weights(5, 3) * 120).astype(np.int8),
                "ws": np.float32(0.01),
                "wz": np.int8(0),
                "ys": np.float32(0.05),
                "yz": np.uint8(120),
            },
        )
    ),
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _same(Form({"x": SMALL}, outputs=("y", "s", "z"))),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "LpPool": _lp_pool,
    "RoiAlign": _roi_align,
    "BatchNormalization": _batch_normalization,
    "InstanceNormalization": _same(Form({"x": MAP}, {"s": weights(4) + 1, "b": weights(4)})),
    "GroupNormalization": _group_normalization,
    "LayerNormalization": _same(Form({"x": MAP}, {"s": weights(6, 5), "b": weights(6, 5)}, {"axis": -2})),
    "RMSNormalization": _same(Form({"x": MAP}, {"s": weights(5)})),
    "MeanVarianceNormalization": _unary(MAP),
    "LRN": _unary(MAP, size=3, alpha=0.1, beta=0.75),
    "Clip": _clip,
    "Dropout": _dropout,
    **_each("ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin", _reduction(18)),
    **_each("ReduceProd ReduceSumSquare", _reduction(18)),
    "ReduceSum": _reduction(13),
    "Squeeze": _by_opset(13, "axes", whole(0), MAP),
    "Unsqueeze": _by_opset(13, "axes", whole(1, 3), SMALL),
    "Reshape": _same(Form({"x": SMALL}, {"shape": whole(0, -1)})),
    "Concat": lambda _: Form({"a": SMALL, "b": SMALL[:, :1]}, {}, {"axis": 1}),
    "Slice": _slice,
    "Split": _split,
    "Pad": _pad,
    "Expand": _same(Form({"x": SMALL[:, :1]}, {"shape": whole(3, 1)})),
    "Tile": _same(Form({"x": SMALL}, {"repeats": whole(1, 3, 2)})),
    "Resize": _resize,
    "Upsample": _upsample,
    "DepthToSpace": _unary(MAP, blocksize=2),
    "SpaceToDepth": _unary(MAP[..., :4], blocksize=2),
    "Gather": _same(Form({"x": SMALL}, {"i": whole(2, 0, 1)}, {"axis": 1})),
    "GatherElements": _same(Form({"x": SMALL}, {"i": whole(2, 0).reshape(1, 2, 1)}, {"axis": 1})),
    "GatherND": _same(Form({"x": SMALL}, {"i": whole(1, 2, 0, 1).reshape(2, 2)})),
    "Compress": _same(Form({"x": SMALL}, {"c": np.array([True, False, True])}, {"axis": 1})),
    "OneHot": _same(Form({"x": whole(1, -1, 3)}, {"d": np.int64(4), "v": floats([0.5, 2])}, {"axis": 0})),
    "TopK": _top_k,
    "CumSum": _same(Form({"x": SMALL}, {"axis": np.int64(1)}, {"reverse": 1})),
    "ReverseSequence": _same(Form({"x": SMALL}, {"l": whole(2, 1, 2)})),
    "Constant": _same(Form({}, {}, {"value": onnx.numpy_helper.from_array(SMALL)})),
    "ConstantOfShape": _same(Form({}, {"shape": whole(2, 3)}, {"value": onnx.numpy_helper.from_array(floats([2]))})),
    "RNN": _recurrent(1),
    "GRU": _recurrent(3, linear_before_reset=1),
    "LSTM": _recurrent(4),
    "RandomNormal": _random(False),
    "RandomNormalLike": _random(True),
    "RandomUniform": _random(False),
    "RandomUniformLike": _random(True),
}
