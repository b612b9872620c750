"""Writes .tflite files for tests, with flatbuffers alone: tensors, operators and their options by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

NAMES: Mapping[str, Any] = vars(tflite)
TYPES = {
    "float32": "FLOAT32",
    "float16": "FLOAT16",
    "float64": "FLOAT64",
    "int4": "INT4",
    "int8": "INT8",
    "uint8": "UINT8",
    "int16": "INT16",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
    "string": "STRING",
}


@dataclass(frozen=True)
class Sparsity:
    """How `data` is stored: levels are dense (a size) or compressed (segments and indices)."""

    order: Sequence[int]
    blocks: Sequence[int]
    levels: Sequence[int | tuple[Sequence[int], Sequence[int]]]


@dataclass(frozen=True)
class Tensor:
    """One tensor; `data` makes it a constant."""

    shape: Sequence[int]
    dtype: str = "float32"
    name: str = ""
    data: NDArray[Any] | None = None
    signature: Sequence[int] | None = None
    scale: Sequence[float] = ()
    zero_point: Sequence[int] = ()
    axis: int = 0
    variable: bool = False
    sparse: Sparsity | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Operator:
    """One operator by the builtin's name; `options` are flatbuffer fields of the table `table`."""

    kind: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    table: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    custom: str = ""
    custom_options: bytes = b""
    intermediates: Sequence[int] = ()


def constant(array: Any, name: str = "", **more: Any) -> Tensor:
    """A constant tensor."""
    data = np.asarray(array)
    return Tensor(data.shape, data.dtype.name, name, data, **more)


def build(
    tensors: Sequence[Tensor],
    operators: Sequence[Operator],
    inputs: Sequence[int],
    outputs: Sequence[int],
    *,
    subgraphs: Sequence[str] = ("main",),
) -> bytes:
    """The bytes of a model; further subgraphs are empty copies of the first one's tensors."""
    b = flatbuffers.Builder(1024)
    buffers = [_buffer(b, None), *(_buffer(b, _stored(tensor)) for tensor in tensors)]
    codes = [_code(b, operator) for operator in operators]
    graphs = [
        _graph(b, name, tensors, operators if i == 0 else (), inputs, outputs) for i, name in enumerate(subgraphs)
    ]
    vectors = {"OperatorCodes": _offsets(b, codes), "Subgraphs": _offsets(b, graphs), "Buffers": _offsets(b, buffers)}
    b.Finish(_table(b, "Model", {"Version": 3, **vectors}), file_identifier=b"TFL3")
    return bytes(b.Output())


def one_op(
    kind: str,
    inputs: Sequence[Any],
    table: str = "",
    outputs: int = 1,
    stored: Sequence[int] = (1,),
    **options: Any,
) -> bytes:
    """A model of one operator. An input is a shape (a float32 input), an array or Tensor (a constant), or None.

    `stored` is the outputs' shape in the file: wrong on purpose, LiteRT wants it right for SLICE alone.
    """
    tensors: list[Tensor] = []
    positions: list[int] = []
    for i, given in enumerate(inputs):
        positions.append(-1 if given is None else len(tensors))
        if isinstance(given, Tensor):
            tensors.append(given)
        elif given is not None:
            tensors.append(Tensor(given, name=f"x{i}") if isinstance(given, tuple) else constant(given, f"c{i}"))
    arguments = [i for i, tensor in enumerate(tensors) if tensor.data is None and tensor.shape != (0,)]
    results = list(range(len(tensors), len(tensors) + outputs))
    tensors += [Tensor(stored, name=f"layer{i}" if i else "layer") for i in range(outputs)]
    return build(tensors, [Operator(kind, positions, results, table, options)], arguments, results)


def with_float_weights(model: bytes) -> bytes:
    """The same model with its int8 constants dequantized: LiteRT then computes in float32 throughout.

    With int8 weights it quantizes the activations of each layer on the fly, which is no reference for float results.
    """
    graph: Any = NAMES["Model"].GetRootAs(model).Subgraphs(0)
    root: Any = NAMES["Model"].GetRootAs(model)
    types = {value: key for key, value in vars(NAMES["TensorType"]).items() if isinstance(value, int)}
    dtypes = {value: key for key, value in TYPES.items()}
    tensors: list[Tensor] = []
    for i in range(graph.TensorsLength()):
        table = graph.Tensors(i)
        dtype, name = dtypes[types[table.Type()]], table.Name().decode()
        shape = table.ShapeAsNumpy().tolist() if table.ShapeLength() else []
        stored = root.Buffers(table.Buffer())
        data = np.frombuffer(stored.DataAsNumpy().tobytes(), dtype).reshape(shape) if stored.DataLength() else None
        if data is not None and dtype == "int8":
            quantization = table.Quantization()
            assert quantization.ScaleLength() == 1
            dtype, data = "float32", ((data.astype(np.float32) - quantization.ZeroPoint(0)) * quantization.Scale(0))
        tensors.append(Tensor(shape, dtype, name, data))
    operators = [_copied(root, graph.Operators(i)) for i in range(graph.OperatorsLength())]
    return build(tensors, operators, graph.InputsAsNumpy().tolist(), graph.OutputsAsNumpy().tolist())


def _copied(root: Any, table: Any) -> Operator:
    kinds = {value: key for key, value in vars(NAMES["BuiltinOperator"]).items() if isinstance(value, int)}
    tables = {value: key for key, value in vars(NAMES["BuiltinOptions"]).items() if isinstance(value, int)}
    name, fields = tables[table.BuiltinOptionsType()], {}
    if name != "NONE":
        options = NAMES[name]()
        options.Init(table.BuiltinOptions().Bytes, table.BuiltinOptions().Pos)
        scalars = [key for key in dir(options) if f"{name}Add{key}" in NAMES and f"{key}Length" not in dir(options)]
        fields = {key: getattr(options, key)() for key in scalars}
    code = root.OperatorCodes(table.OpcodeIndex())
    kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
    inputs, outputs = table.InputsAsNumpy().tolist(), table.OutputsAsNumpy().tolist()
    return Operator(kind, inputs, outputs, "" if name == "NONE" else name, fields)


def _stored(tensor: Tensor) -> NDArray[Any] | None:
    if tensor.dtype != "int4" or tensor.data is None:
        return tensor.data
    flat = np.append(tensor.data.ravel(), np.zeros(tensor.data.size % 2, np.int8)).astype(np.int8)
    return (flat[0::2] & 15) | (flat[1::2] << 4)


def _buffer(b: flatbuffers.Builder, data: NDArray[Any] | None) -> int:
    if data is None:
        return _table(b, "Buffer", {})
    stored = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
    return _table(b, "Buffer", {"Data": b.CreateNumpyVector(stored)})


def _code(b: flatbuffers.Builder, operator: Operator) -> int:
    number = getattr(NAMES["BuiltinOperator"], operator.kind)
    custom = {"CustomCode": b.CreateString(operator.custom)} if operator.custom else {}
    version = 2 if operator.kind == "BROADCAST_TO" else 1
    fields = {"DeprecatedBuiltinCode": min(number, 127), "BuiltinCode": number, "Version": version, **custom}
    return _table(b, "OperatorCode", fields)


def _graph(
    b: flatbuffers.Builder,
    name: str,
    tensors: Sequence[Tensor],
    operators: Sequence[Operator],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> int:
    fields = {
        "Tensors": _offsets(b, [_tensor(b, tensor, i + 1) for i, tensor in enumerate(tensors)]),
        "Operators": _offsets(b, [_operator(b, operator, i) for i, operator in enumerate(operators)]),
        "Inputs": _vector(b, inputs),
        "Outputs": _vector(b, outputs),
        "Name": b.CreateString(name),
    }
    return _table(b, "SubGraph", fields)


def _tensor(b: flatbuffers.Builder, tensor: Tensor, buffer: int) -> int:
    fields: dict[str, Any] = {
        "Shape": _vector(b, tensor.shape),
        "Type": getattr(NAMES["TensorType"], TYPES[tensor.dtype]),
        "Buffer": buffer,
        "Name": b.CreateString(tensor.name or f"tensor{buffer}"),
        **tensor.more,
    }
    if tensor.variable:
        fields["IsVariable"] = True
    if tensor.signature is not None:
        fields["ShapeSignature"] = _vector(b, tensor.signature)
    if tensor.scale:
        quantization = {
            "Scale": b.CreateNumpyVector(np.array(tensor.scale, np.float32)),
            "ZeroPoint": b.CreateNumpyVector(np.array(tensor.zero_point, np.int64)),
            "QuantizedDimension": tensor.axis,
        }
        fields["Quantization"] = _table(b, "QuantizationParameters", quantization)
    if tensor.sparse is not None:
        fields["Sparsity"] = _sparsity(b, tensor.sparse)
    return _table(b, "Tensor", fields)


def _sparsity(b: flatbuffers.Builder, sparse: Sparsity) -> int:
    levels: list[int] = []
    for level in sparse.levels:
        if isinstance(level, int):
            levels.append(_table(b, "DimensionMetadata", {"Format": 0, "DenseSize": level}))
            continue
        fields: dict[str, Any] = {"Format": 1}
        for name, values in zip(("ArraySegments", "ArrayIndices"), level, strict=True):
            fields |= {f"{name}Type": 1, name: _table(b, "Int32Vector", {"Values": _vector(b, values)})}
        levels.append(_table(b, "DimensionMetadata", fields))
    vectors = {"TraversalOrder": _vector(b, sparse.order), "DimMetadata": _offsets(b, levels)}
    if sparse.blocks:
        vectors["BlockMap"] = _vector(b, sparse.blocks)
    return _table(b, "SparsityParameters", vectors)


def _operator(b: flatbuffers.Builder, operator: Operator, code: int) -> int:
    fields: dict[str, Any] = {
        "OpcodeIndex": code,
        "Inputs": _vector(b, operator.inputs),
        "Outputs": _vector(b, operator.outputs),
    }
    if operator.intermediates:
        fields["Intermediates"] = _vector(b, operator.intermediates)
    if operator.custom_options:
        fields["CustomOptions"] = b.CreateByteVector(operator.custom_options)
    if operator.table:
        options = {k: _option(b, v) for k, v in operator.options.items()}
        newer = "" if hasattr(NAMES["BuiltinOptions"], operator.table) else "2"
        fields[f"BuiltinOptions{newer}"] = _table(b, operator.table, options)
        fields[f"BuiltinOptions{newer}Type"] = getattr(NAMES[f"BuiltinOptions{newer}"], operator.table)
    return _table(b, "Operator", fields)


def _option(b: flatbuffers.Builder, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return b.CreateNumpyVector(value)
    return _vector(b, value) if isinstance(value, list | tuple) else value


def _vector(b: flatbuffers.Builder, values: Sequence[int]) -> int:
    return b.CreateNumpyVector(np.array(values, np.int32))


def _offsets(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def _table(b: flatbuffers.Builder, name: str, fields: Mapping[str, Any]) -> int:
    """A table of the schema: its generated functions are `<name>Start`, `<name>Add<field>` and `<name>End`."""
    NAMES[f"{name}Start"](b)
    for key, value in fields.items():
        NAMES[f"{name}Add{key}"](b, value)
    return NAMES[f"{name}End"](b)
