"""A .tflite file as plain dataclasses, without any IR: the only place that touches flatbuffers.

Everything is read and checked once, so that no later code meets a broken file. Shapes of tensors that are computed
are kept only for messages: converters store wrong ones when the batch is dynamic.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kpuir.errors import InvalidInputError
from kpuir.importers.files import ends
from kpuir.importers.tflite.options import has_newer_fields, unread
from kpuir.importers.tflite.sparsity import densified, read_levels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IDENTIFIER = b"TFL3"
MAX_RANK = 8
MAX_NAME = 500
MAX_ELEMENTS = 1 << 26
"""No tensor of a model for this chip comes near 64 Mi elements; a shape that does is a broken file."""

BROKEN = (struct.error, ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError, AttributeError)
"""What flatbuffers and numpy raise when a file is not what it says."""

DTYPES = {
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "FLOAT64": "<f8",
    "INT8": "<i1",
    "UINT8": "<u1",
    "INT16": "<i2",
    "UINT16": "<u2",
    "INT32": "<i4",
    "UINT32": "<u4",
    "INT64": "<i8",
    "BOOL": "?",
}


WHOLE = frozenset({"INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "BOOL"})
"""Types of whole numbers, where they are no codes."""


class UnsoundError(ValueError):
    """What a file contradicts itself in, in words for its owner."""


@dataclass(frozen=True)
class Quantization:
    """real = (stored - zero_point) * scale; one scale, or one per index of `axis`."""

    scale: "NDArray[np.float32]"
    zero_point: "NDArray[np.int64]"
    axis: int


@dataclass(frozen=True)
class Tensor:
    """One tensor: `data` is its stored value where it is constant, `problem` why that value cannot be used."""

    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    dtype: str
    data: "NDArray[Any] | None" = None
    quantization: Quantization | None = None
    problem: str | None = None

    @property
    def is_coded(self) -> bool:
        """Whether its integers are codes of real numbers, with a scale."""
        return self.dtype in WHOLE and self.quantization is not None


@dataclass(frozen=True)
class Operator:
    """One operator: the builtin's name, tensor indices (-1: absent), its options and its layer's name.

    The options are the builtin's table, of a custom operator the bytes that its maker gave it.
    """

    kind: str
    custom: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any
    layer: str
    problem: str | None = None
    """What stands in its options that would be ignored."""

    @property
    def key(self) -> str:
        """What its function is found by."""
        return f"CUSTOM {self.custom}" if self.kind == "CUSTOM" else self.kind


@dataclass(frozen=True)
class Graph:
    """The main subgraph of a model (or a part of it), and the names of all its subgraphs."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    subgraphs: tuple[str, ...] = field(default=())


def read(data: bytes) -> Graph:
    """The main subgraph of a .tflite file's bytes. Raises InvalidInputError for anything but a whole, sound file."""
    if data[4:8] != IDENTIFIER:
        what = "it is empty" if not data else f"its identifier is {data[4:8]!r}, not {IDENTIFIER!r}"
        raise InvalidInputError(f"not a TFLite model: {what}", hint="give a .tflite flatbuffer file")
    try:
        return _Reader(data).graph()
    except BROKEN as error:
        hint = "the file is truncated or corrupt: export or download it again"
        reason = str(error) if isinstance(error, UnsoundError) else "it refers to bytes that are not there"
        raise InvalidInputError(f"broken TFLite file of {len(data)} bytes: {reason}", hint=hint) from error


def cut(graph: Graph, names: Sequence[str]) -> Graph:
    """What computes some values, named as in the model or by their layers. Raises UsageError for other names."""
    values = {graph.tensors[i].name: i for operator in graph.operators[::-1] for i in operator.outputs}
    layers = {operator.layer: operator.outputs[0] for operator in graph.operators if operator.outputs}
    outputs = ends(names, values, layers, graph.tensors[graph.outputs[0]].name)
    wanted, kept = set(outputs), list[Operator]()
    for operator in reversed(graph.operators):
        if not wanted.isdisjoint(operator.outputs):
            kept.append(operator)
            wanted.update(operator.inputs)
    inputs = tuple(i for i in graph.inputs if i in wanted)
    return replace(graph, operators=tuple(kept[::-1]), inputs=inputs, outputs=outputs)


class _Reader:
    def __init__(self, data: bytes) -> None:
        import tflite

        self.data = data
        self.model: Any = tflite.Model.GetRootAs(data)
        self.operator_names = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
        self.type_names = {v: k for k, v in vars(tflite.TensorType).items() if isinstance(v, int)}
        self.option_names = {v: k for k, v in vars(tflite.BuiltinOptions).items() if isinstance(v, int)}
        self.newer_option_names = {v: k for k, v in vars(tflite.BuiltinOptions2).items() if isinstance(v, int)}
        self.option_types = vars(tflite)

    def graph(self) -> Graph:
        names = [_text(graph.Name()) for graph in self.each(self.model.SubgraphsLength, self.model.Subgraphs)]
        if not names:
            raise UnsoundError("it holds no graph")
        main: Any = self.model.Subgraphs(0)
        tensors = tuple(self.tensor(t, i) for i, t in enumerate(self.each(main.TensorsLength, main.Tensors)))
        count = len(tensors)
        inputs = _indices(main.InputsAsNumpy(), count)
        outputs = _indices(main.OutputsAsNumpy(), count)
        if not outputs or min(inputs + outputs) < 0:
            raise UnsoundError("its inputs or outputs are missing")
        labels = _Labels()
        operators = tuple(self.operator(o, tensors, labels) for o in self.each(main.OperatorsLength, main.Operators))
        return Graph(tensors, operators, inputs, outputs, tuple(names))

    def each(self, length: Callable[[], int], item: Callable[[int], Any]) -> Iterator[Any]:
        """The tables of a vector, none for an absent one; each takes 4 bytes of the file at least."""
        count = length()
        if count * 4 > len(self.data):
            raise UnsoundError(f"a list of {count} entries")
        return (item(i) for i in range(count))

    def tensor(self, table: Any, index: int) -> Tensor:
        dtype = self.type_names.get(table.Type(), f"type {table.Type()}")
        shape = _integers(table.ShapeAsNumpy())
        signature = _integers(table.ShapeSignatureAsNumpy())
        if max(len(shape), len(signature)) > MAX_RANK:
            raise UnsoundError(f"tensor {index} has {len(shape)} dimensions, more than {MAX_RANK}")
        name = _text(table.Name()) or f"tensor_{index}"
        stored = self.buffer(table.Buffer())
        quantization = _quantization(table.Quantization())
        if has_newer_fields(table):
            return Tensor(name, shape, signature, dtype, problem=f"tensor {name} holds what is newer than kpuir")
        if not len(stored):
            return Tensor(name, shape, signature, dtype, quantization=quantization)
        if dtype == "INT4":
            dtype, stored = "INT8", _nibbles(stored, shape)
        if dtype not in DTYPES:
            return Tensor(name, shape, signature, dtype, problem=f"constant {name} is {dtype}")
        sparsity = table.Sparsity()
        data = _typed(stored, dtype, shape, name) if sparsity is None else _dense(stored, dtype, shape, name, sparsity)
        return Tensor(name, shape, signature, dtype, data, quantization)

    def buffer(self, index: int) -> "NDArray[np.uint8]":
        """The bytes of a buffer, also of one stored behind the flatbuffer (files over 2 GB); empty for none."""
        import numpy as np

        if not 0 <= index < self.model.BuffersLength():
            raise UnsoundError(f"a tensor refers to buffer {index} of {self.model.BuffersLength()}")
        table = self.model.Buffers(index)
        if table.Offset() <= 1:
            return np.empty(0, np.uint8) if table.DataIsNone() else table.DataAsNumpy()
        return np.frombuffer(self.data, np.uint8, table.Size(), table.Offset())

    def operator(self, table: Any, tensors: tuple[Tensor, ...], labels: "_Labels") -> Operator:
        if not 0 <= table.OpcodeIndex() < self.model.OperatorCodesLength():
            raise UnsoundError(f"an operator refers to code {table.OpcodeIndex()}")
        code = self.model.OperatorCodes(table.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = self.operator_names.get(number, f"operator {number}")
        custom = _text(code.CustomCode()) if kind == "CUSTOM" else ""
        inputs = _indices(table.InputsAsNumpy(), len(tensors))
        outputs = _indices(table.OutputsAsNumpy(), len(tensors))
        if outputs and min(outputs) < 0:
            raise UnsoundError(f"{kind} has an output without a tensor")
        layer = labels.unique(tensors[outputs[0]].name if outputs else kind)
        if kind == "CUSTOM":
            return Operator(kind, custom, inputs, outputs, _bytes(table.CustomOptionsAsNumpy()), layer)
        options = self.options(table)
        if isinstance(options, int) or (table.BuiltinOptionsType() and table.BuiltinOptions2Type()):
            problem = "its options are of a kind that kpuir does not know"
        else:
            problem = None if options is None else unread(kind, options)
        return Operator(kind, custom, inputs, outputs, options, layer, problem)

    def options(self, table: Any) -> Any:
        """The table of options, None where there is none, its number where it is unknown."""
        number, union, names = table.BuiltinOptionsType(), table.BuiltinOptions(), self.option_names
        if table.BuiltinOptions2Type():
            number, union, names = table.BuiltinOptions2Type(), table.BuiltinOptions2(), self.newer_option_names
        if number == 0 or union is None:
            return None
        kind = self.option_types.get(names.get(number, ""))
        if kind is None:
            return number
        options = kind()
        options.Init(union.Bytes, union.Pos)
        return options


class _Labels:
    """Short, unique layer names out of the converter's joined ones (`conv1/Relu;bn1/FusedBatchNorm;...`)."""

    def __init__(self) -> None:
        self.taken: dict[str, int] = {}

    def unique(self, name: str) -> str:
        parts = [part for part in name.split(";") if part]
        sensible = [part for part in parts if not part.startswith("StatefulPartitionedCall")]
        label = (sensible or parts or [name])[0]
        candidate = label
        while candidate in self.taken:
            self.taken[label] += 1
            candidate = f"{label}_{self.taken[label]}"
        self.taken[candidate] = 1
        return candidate


def _text(raw: bytes | None) -> str:
    text = (raw or b"")[:MAX_NAME].decode("utf-8", "replace")
    return "".join(c if c.isprintable() and c not in '"\\' else "?" for c in text)


def _integers(vector: Any) -> tuple[int, ...]:
    """A vector accessor's array, or 0 where the field is absent."""
    return () if isinstance(vector, int) else tuple(vector.tolist())


def _bytes(vector: Any) -> bytes:
    return b"" if isinstance(vector, int) else vector.tobytes()


def _indices(vector: Any, count: int) -> tuple[int, ...]:
    indices = _integers(vector)
    if any(not -1 <= i < count for i in indices):
        raise UnsoundError(f"a tensor index is not among {count} tensors: {indices[:8]}")
    return indices


def _nibbles(stored: "NDArray[np.uint8]", shape: tuple[int, ...]) -> "NDArray[np.uint8]":
    """Integers of 4 bits, the first of two in the lower ones, as bytes; behind an odd number of them is padding."""
    import math

    import numpy as np

    both = np.stack([stored << 4, stored], axis=-1).view(np.int8) >> 4
    padded = stored.size * 2 - math.prod(shape) == 1
    return both.reshape(-1)[: -1 if padded else None].view(np.uint8)


def _typed(stored: "NDArray[np.uint8]", dtype: str, shape: tuple[int, ...], name: str) -> "NDArray[Any]":
    import math

    import numpy as np

    kind = np.dtype(DTYPES[dtype])
    if any(dim < 0 for dim in shape) or math.prod(shape) * kind.itemsize != stored.nbytes:
        raise UnsoundError(f"constant {name} of shape {list(shape)} and type {dtype} has {stored.nbytes} bytes")
    return np.frombuffer(stored.tobytes(), kind).reshape(shape)


def _dense(stored: "NDArray[np.uint8]", dtype: str, shape: tuple[int, ...], name: str, sparsity: Any) -> "NDArray[Any]":
    import math

    import numpy as np

    if math.prod(shape) > MAX_ELEMENTS:
        raise UnsoundError(f"sparse constant {name} has the shape {list(shape)}")
    values = np.frombuffer(stored.tobytes(), np.dtype(DTYPES[dtype]))
    try:
        return densified(values, shape, *read_levels(sparsity))
    except BROKEN as error:
        raise UnsoundError(f"sparse constant {name} contradicts its shape: {error}") from error


def _quantization(table: Any) -> Quantization | None:
    import numpy as np

    if table is None or table.ScaleLength() == 0:
        return None
    scale = np.array(table.ScaleAsNumpy(), np.float32)
    points = np.array(table.ZeroPointAsNumpy(), np.int64) if table.ZeroPointLength() else np.zeros(1, np.int64)
    if points.size not in (1, scale.size):
        raise UnsoundError(f"a tensor has {scale.size} scales but {points.size} zero points")
    return Quantization(scale, points, table.QuantizedDimension())
