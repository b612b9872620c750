"""Models of one operator each: what makes nncase's compiler write the tensor functions that networks seldom have."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tests.importers.tflite_builder import Operator, Tensor, build, constant

Array = NDArray[Any]
_RNG = np.random.default_rng(0)
_TYPES = {"float16": 10, "float32": 1, "int8": 3, "uint8": 2, "int32": 6, "int64": 7, "bool": 9}


@dataclass(frozen=True)
class Model:
    """The bytes of a model, and a sample of its inputs; whether it is compiled with this."""

    suffix: str
    data: bytes
    inputs: Sequence[Array]
    calibrated: bool = False


def floats(*shape: int) -> Array:
    """Random numbers."""
    return _RNG.normal(size=shape).astype(np.float32)


def onnx_model(
    op: str,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, tuple[str, Sequence[int]]],
    constants: Mapping[str, Array] | None = None,
    opset: int = 14,
    **attributes: Any,
) -> Model:
    """One ONNX operator on the inputs and constants, in this order."""
    given = dict(constants or {})
    node = helper.make_node(op, [*inputs, *given], [*outputs], **attributes)
    return onnx_graph([node], inputs, outputs, given, opset)


def onnx_graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Array],
    outputs: Mapping[str, tuple[str, Sequence[int]]],
    constants: Mapping[str, Array],
    opset: int = 14,
) -> Model:
    """An ONNX model."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "graph",
        [info(name, _TYPES[array.dtype.name], array.shape) for name, array in inputs.items()],
        [info(name, _TYPES[dtype], shape) for name, (dtype, shape) in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    return Model(".onnx", onnx.shape_inference.infer_shapes(model).SerializeToString(), [*inputs.values()])


def tflite_model(kind: str, x: Array, others: Sequence[Array], shape: Sequence[int], **options: Any) -> Model:
    """One TFLite operator on an input and constants."""
    table = "".join(part.title() for part in kind.split("_")).replace("Nd", "ND") + "Options"
    table = {"GatherNDOptions": "GatherNdOptions"}.get(table, table)
    tensors = [Tensor(x.shape, name="x"), *(constant(one, f"c{i}") for i, one in enumerate(others))]
    tensors.append(Tensor(shape, name="y"))
    last = len(tensors) - 1
    return Model(".tflite", build(tensors, [Operator(kind, range(last), [last], table, options)], [0], [last]), [x])


def ints(*values: int) -> Array:
    """Sizes, axes and the like."""
    return np.array(values, np.int64)


_X = floats(1, 4, 5, 6)
_WHOLE = _RNG.integers(-9, 9, (3, 4))
_S = _X.shape
_NOTHING = np.zeros(0, np.float32)


def models() -> dict[str, Model]:
    """All of them."""
    parts = (_found(), _moved(), _calculated(), _compared(), _converted(), _resized(), _recurrent(), _of_tflite())
    return {name: model for part in parts for name, model in part}


def _found() -> Iterator[tuple[str, Model]]:
    """Functions of indices."""
    matrix, table = floats(3, 5), np.array([[0, 1, 4], [2, 2, 0]], np.int64)
    ties = _RNG.integers(0, 4, (6, 9)).astype(np.float32)
    for name, axis, keep, last in (("ArgMax", 1, 1, 0), ("ArgMin", 3, 0, 0), ("ArgMax", 2, 1, 1)):
        shape = [1 if i == axis else size for i, size in enumerate(_S) if i != axis or keep]
        y = {"y": ("int64", shape)}
        model = onnx_model(name, {"x": _X}, y, axis=axis, keepdims=keep, select_last_index=last)
        yield f"{name}{axis}", model
    yield "argmax_ties", onnx_model("ArgMax", {"x": ties}, {"y": ("int64", (6, 1))}, axis=1)
    for largest in (0, 1):
        for k in (1, 3, 4, 7, 9):
            results = {"v": ("float32", (6, k)), "i": ("int64", (6, k))}
            yield (
                f"topk{k}_{largest}",
                onnx_model("TopK", {"x": ties}, results, {"k": ints(k)}, axis=-1, largest=largest),
            )
    x = {"x": floats(5, 4)}
    yield "gather", onnx_model("Gather", x, {"y": ("float32", (2, 3, 4))}, {"i": table}, axis=0)
    yield "gather_input", onnx_model("Gather", {**x, "i": table}, {"y": ("float32", (2, 3, 4))}, axis=0)
    yield "gather_one", onnx_model("Gather", {"x": _X}, {"y": ("float32", (1, 5, 6))}, {"i": np.array(2)}, axis=1)
    y = {"y": ("int64", (2, 4))}
    yield "gather_int64", onnx_model("Gather", {"x": _WHOLE}, y, {"i": ints(2, 0)}, axis=0)
    x, indices = {"x": floats(3, 2, 5, 6)}, _RNG.integers(0, 5, (3, 2, 1))
    yield "gather_nd", onnx_model("GatherND", x, {"y": ("float32", (3, 2, 6))}, {"i": indices}, batch_dims=2)
    indices = _RNG.integers(0, 5, (3, 2))
    y = {"y": ("float32", (3, 2))}
    yield "gather_elements", onnx_model("GatherElements", {"x": matrix}, y, {"i": indices}, axis=1)
    places = np.array([(0, 0, 20, 16), (3, 2, 4, 3), (-5, -6, 9, 9), (10, 4, 30, 25)], np.float32)
    regions = {"r": places, "b": np.array([0, 1, 1, 0])}
    size: dict[str, Any] = {"output_height": 3, "output_width": 4, "spatial_scale": 0.5}
    for mode, ratio in (("avg", 2), ("max", 0)):
        x, y = {"x": floats(2, 3, 9, 11)}, {"y": ("float32", (4, 3, 3, 4))}
        yield f"roi_align_{mode}", onnx_model("RoiAlign", x, y, regions, 10, mode=mode, sampling_ratio=ratio, **size)
    values = {"d": ints(6), "v": np.array([0.5, 3], np.float32)}
    i = {"i": np.array([[0, 2, 5], [1, -1, 3]])}
    yield "onehot", onnx_model("OneHot", i, {"y": ("float32", (2, 6, 3))}, values, axis=1)
    yield "onehot_last", onnx_model("OneHot", i, {"y": ("float32", (2, 3, 6))}, values, axis=-1)
    for axis in (0, 1):
        yield f"hardmax{axis}", onnx_model("Hardmax", {"x": ties - 2}, {"y": ("float32", (6, 9))}, axis=axis)
    for axis, kept in ((0, [True, False, True]), (1, [True, False, True])):
        y = {"y": ("float32", (2, 5) if axis == 0 else (3, 2))}
        yield f"compress{axis}", onnx_model("Compress", {"x": matrix}, y, {"c": np.array(kept)}, axis=axis)
    y = {"y": ("float32", (2,))}
    yield "compress_flat", onnx_model("Compress", {"x": matrix}, y, {"c": np.array([True, False, True])})


def _moved() -> Iterator[tuple[str, Model]]:
    """Functions that only move elements, of all sizes."""
    y = {"y": ("float32", (4, 5))}
    yield "triu", onnx_model("Trilu", {"x": floats(4, 5)}, y, upper=1)
    x, y = {"x": floats(2, 4, 5)}, {"y": ("float32", (2, 4, 5))}
    yield "tril", onnx_model("Trilu", x, y, {"k": np.array(1)}, upper=0)
    for mode in ("constant", "reflect", "edge"):
        y = {"y": ("float32", (1, 4, 8, 9))}
        yield f"pad_{mode}", onnx_model("Pad", {"x": _X}, y, {"p": ints(0, 0, 1, 2, 0, 0, 2, 1)}, mode=mode)
    whole = _WHOLE.astype(np.int32)
    pads = {"p": ints(0, 1, 0, 1), "v": np.array(7, np.int32)}
    yield "pad_int32", onnx_model("Pad", {"x": whole}, {"y": ("int32", (3, 6))}, pads)
    x = {"x": floats(1, 2, 3, 4, 5)}
    pads = {"p": ints(0, 0, 0, 0, 1, 0, 0, 0, 0, 1)}
    yield "pad_of_rank_5", onnx_model("Pad", x, {"y": ("float32", (1, 2, 3, 4, 7))}, pads)
    for dtype in ("int8", "uint8", "int64"):
        x = {"x": np.abs(_WHOLE).astype(dtype)}
        yield f"transpose_{dtype}", onnx_model("Transpose", x, {"y": (dtype, (4, 3))}, perm=[1, 0])
        cut = {"b": ints(0), "e": ints(4), "a": ints(1), "s": ints(2)}
        yield f"slice_{dtype}", onnx_model("Slice", x, {"y": (dtype, (3, 2))}, cut)
    cut = {"b": ints(0, 1, 0, 1), "e": ints(1, 4, 5, 6), "a": ints(0, 1, 2, 3), "s": ints(1, 2, 2, 3)}
    yield "slice_steps", onnx_model("Slice", {"x": _X}, {"y": ("float32", (1, 2, 3, 2))}, cut)
    x = {"x": floats(1, 2, 2, 3, 4, 2)}
    y = {"y": ("float32", (1, 3, 2, 2, 4, 2))}
    yield "transpose_of_rank_6", onnx_model("Transpose", x, y, perm=[0, 3, 1, 2, 4, 5])
    x, y = {"x": _WHOLE, "z": _WHOLE + 1}, {"y": ("int64", (3, 8))}
    yield "concat_int64", onnx_model("Concat", x, y, axis=1)
    yield "expand", onnx_model("Expand", {"x": floats(3, 1)}, {"y": ("float32", (3, 4))}, {"s": ints(3, 4)})
    yield "tile", onnx_model("Tile", {"x": _X}, {"y": ("float32", (2, 4, 10, 6))}, {"r": ints(2, 1, 2, 1)})
    y = {"y": ("float32", (5, 2, 3))}
    x, lengths = {"x": floats(5, 2, 3)}, {"l": ints(5, 3)}
    yield "reverse_sequence", onnx_model("ReverseSequence", x, y, lengths, batch_axis=1, time_axis=0)
    image = floats(1, 3, 16, 16)
    weights = {name: floats(4, 3, 3, 3) / 9 for name in ("v", "w")}
    nodes = [
        helper.make_node("Conv", ["x", "u"], ["a"], pads=[1] * 4),
        helper.make_node("Split", ["a"], ["b", "c"], axis=1),
        *(helper.make_node("Conv", pair, [out], pads=[1] * 4) for pair, out in ((["b", "v"], "y"), (["c", "w"], "z"))),
    ]
    outputs = {"y": ("float32", (1, 4, 16, 16)), "z": ("float32", (1, 4, 16, 16))}
    weights = {"u": floats(6, 3, 3, 3) / 9, **weights}
    yield "split_layers", replace(onnx_graph(nodes, {"x": image}, outputs, weights, 11), calibrated=True)


def _calculated() -> Iterator[tuple[str, Model]]:
    """Arithmetic of integers as well."""
    for dtype in ("int32", "int64"):
        a, b = _WHOLE.astype(dtype), (np.abs(_WHOLE[::-1]) + 1).astype(dtype)
        for op in ("Add", "Sub", "Mul", "Div", "Min", "Max"):
            yield f"{op}_{dtype}", onnx_model(op, {"x": a, "z": b}, {"y": (dtype, (3, 4))})
        for op in ("ReduceMax", "ReduceMin", "ReduceMean"):
            yield f"{op}_{dtype}", onnx_model(op, {"x": a}, {"y": (dtype, (3, 1))}, axes=[1])
    whole = _WHOLE.astype(np.int32)
    for op in ("Max", "Min", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"):
        yield (
            f"reduce_{op}",
            onnx_model(f"Reduce{op}", {"x": np.abs(_X) + 1}, {"y": ("float32", (1, 4, 1, 6))}, axes=[2]),
        )
    yield "prod_int32", onnx_model("ReduceProd", {"x": whole}, {"y": ("int32", (3, 1))}, axes=[1])
    yield "prod_axes", onnx_model("ReduceProd", {"x": _X}, {"y": ("float32", (4, 5))}, axes=[0, 3], keepdims=0)
    yield "cumsum", onnx_model("CumSum", {"x": _X}, {"y": ("float32", _S)}, {"a": np.array(2)})
    both = {"exclusive": 1, "reverse": 1}
    yield "cumsum_back", onnx_model("CumSum", {"x": _X}, {"y": ("float32", _S)}, {"a": np.array(1)}, **both)
    yield "cumsum_int32", onnx_model("CumSum", {"x": whole}, {"y": ("int32", (3, 4))}, {"a": np.array(1)})
    for rank, (a, b) in enumerate((((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)))):
        shape = np.matmul(np.zeros(a), np.zeros(b)).shape
        yield f"matmul{rank}", onnx_model("MatMul", {"x": floats(*a), "z": floats(*b)}, {"y": ("float32", shape)})
    x, parameters = {"x": floats(2, 5, 6)}, {"s": floats(5, 6), "b": floats(5, 6)}
    y = {"y": ("float32", (2, 5, 6))}
    yield "layer_norm", onnx_model("LayerNormalization", x, y, parameters, 17, axis=1)
    kinds = ("Abs", "Acos", "Asin", "Ceil", "Cos", "Exp", "Floor", "Log", "Neg", "Round", "Sign", "Sin", "Sqrt", "Tanh")
    for op in (*kinds, "Erf", "Sigmoid", "Softplus", "Softsign", "LogSoftmax", "Softmax", "Elu", "Selu", "HardSwish"):
        yield op, onnx_model(op, {"x": np.tanh(_X)}, {"y": ("float32", _S)})
    yield "Pow", onnx_model("Pow", {"x": np.abs(_X), "z": floats(*_S)}, {"y": ("float32", _S)})


def _compared() -> Iterator[tuple[str, Model]]:
    """Comparisons, logic and choices."""
    pairs = {
        "float32": (_X, floats(*_S)),
        "int32": (_WHOLE.astype(np.int32), np.array([[1, 2, -3, 4]], np.int32)),
        "int64": (_WHOLE, _WHOLE[::-1].copy()),
    }
    for dtype, (a, b) in pairs.items():
        for op in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"):
            yield f"{op}_{dtype}", onnx_model(op, {"x": a, "z": b}, {"y": ("bool", a.shape)})
    yes = {"x": _WHOLE > 0, "z": _WHOLE > 2}
    yield "equal_bool", onnx_model("Equal", yes, {"y": ("bool", (3, 4))})
    yield "and", onnx_model("And", yes, {"y": ("bool", (3, 4))})
    yield "not", onnx_model("Not", {"x": yes["x"]}, {"y": ("bool", (3, 4))})
    other = {"z": floats(1, 4, 1, 1)}
    yield "where", onnx_model("Where", {"c": _X > 0, "x": _X}, {"y": ("float32", _S)}, other)


def _converted() -> Iterator[tuple[str, Model]]:
    """Casts between types."""
    wide = {"float32": ("int64", "int32", "uint8", "int8", "float16", "bool"), "int64": ("float32", "int32")}
    for source, targets in {
        **wide,
        **dict.fromkeys(("int32", "uint8", "int8", "bool", "float16"), ("float32",)),
    }.items():
        for target in targets:
            x = {"x": (np.abs(_WHOLE) * (1.3 if "float" in source else 1)).astype(source)}
            yield f"{source}_to_{target}", onnx_model("Cast", x, {"y": (target, (3, 4))}, to=_TYPES[target])


def _resized() -> Iterator[tuple[str, Model]]:
    """Every way that exports of resizing have."""
    for mode in ("nearest", "linear"):
        for place in ("asymmetric", "half_pixel", "align_corners"):
            for size in ((8, 9), (2, 3)):
                more = {"mode": mode, "coordinate_transformation_mode": place, "nearest_mode": "floor"}
                sizes = {"r": _NOTHING, "s": _NOTHING, "z": ints(1, 4, *size)}
                y = {"y": ("float32", (1, 4, *size))}
                yield f"resize_{mode}_{place}_{size[0]}", onnx_model("Resize", {"x": _X}, y, sizes, 13, **more)


def _recurrent() -> Iterator[tuple[str, Model]]:
    """Layers with a state."""
    hidden, size, length = 3, 4, 2
    for direction in ("forward", "reverse", "bidirectional"):
        count = 2 if direction == "bidirectional" else 1
        x = {"x": floats(length, 1, size)}
        for op, gates, states in (("LSTM", 4, ("h", "c")), ("GRU", 3, ("h",)), ("GRU", 3, ("h", "linear"))):
            weights = {
                "w": floats(count, gates * hidden, size),
                "r": floats(count, gates * hidden, hidden),
                "b": floats(count, 2 * gates * hidden),
            }
            outputs = {"y": ("float32", (length, count, 1, hidden))}
            outputs |= {state: ("float32", (count, 1, hidden)) for state in states if state != "linear"}
            more = {"linear_before_reset": 1} if "linear" in states else {}
            model = onnx_model(op, x, outputs, weights, hidden_size=hidden, direction=direction, **more)
            yield f"{op}_{direction}_{len(states)}", model


def _of_tflite() -> Iterator[tuple[str, Model]]:
    """What only TFLite's operators give."""
    x = floats(2, 3, 5, 3)
    blocks, ends = np.array([2, 2], np.int32), np.array([[1, 0], [0, 1]], np.int32)
    yield "to_batch", tflite_model("SPACE_TO_BATCH_ND", x, [blocks, ends], (8, 2, 3, 3))
    yield "from_batch", tflite_model("BATCH_TO_SPACE_ND", floats(8, 2, 3, 3), [blocks, ends], (2, 3, 5, 3))
    ends = np.array([[0, 0], [1, 2], [2, 1], [0, 0]], np.int32)
    for mode in (0, 1):
        yield f"mirror_pad{mode}", tflite_model("MIRROR_PAD", x, [ends], (2, 6, 8, 3), Mode=mode)
    indices = np.array([[0, 1], [1, 2]], np.int32)
    yield "gather_nd_rows", tflite_model("GATHER_ND", x, [indices], (2, 5, 3))
    numbers = [np.array(values, np.int32) for values in ((3, 5), (0, 0), (-1, -2))]
    yield "slice_down", tflite_model("STRIDED_SLICE", floats(4, 6), numbers, (3, 3))
