"""Reading an ONNX file: parsing, checking, local functions inlined, input shapes made static."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.defs
import onnx.inliner
import onnx.numpy_helper
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from kpuir.errors import InvalidInputError, UnsupportedError, UsageError
from kpuir.importers.files import ends, read_source
from kpuir.importers.onnx.elements import is_supported

OLDEST_OPSET = 7
MAX_ELEMENTS = 1 << 27
"""Elements of the largest tensor worth building: 512 MiB as float32, hundred times the chip's RAM."""

_LIBRARY_ERRORS = (
    onnx.checker.ValidationError,
    DecodeError,
    ValueError,
    TypeError,
    RuntimeError,
    AttributeError,
    MemoryError,
    OSError,
)


@dataclass(frozen=True)
class Input:
    """One graph input that the user feeds: its name, static shape and ONNX element type."""

    name: str
    shape: tuple[int, ...]
    element: int


@dataclass(frozen=True)
class Source:
    """A checked ONNX model of static input shapes.

    `opsets` maps a domain to its version, `constants` an initializer's name to its array, `rejected` the name of an
    input that is not usable, which is not among the `inputs`, to the reason.
    """

    nodes: tuple[NodeProto, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    constants: dict[str, NDArray[Any]]
    opsets: dict[str, int]
    location: str
    rejected: dict[str, InvalidInputError]


def load(
    source: str | Path | bytes,
    known: Container[str] = (),
    shapes: Mapping[str, Sequence[int]] | None = None,
    outputs: Sequence[str] = (),
    resize: bool = False,
) -> Source:
    """Read and check a model. Raises InvalidInputError with one line about what is wrong with it.

    Ops that are not `known`, but whose definition in ONNX is a function of others, are replaced by its body. `shapes`
    of inputs and `outputs` replace those of the model; sizes that it does not leave open only with `resize`.
    """
    location = "model" if isinstance(source, bytes) else Path(source).name
    data = source if isinstance(source, bytes) else read_source(Path(source))
    model = _parse(data, location)
    opsets = _opsets(model, location)
    _load_external_data(model, source, location)
    model = _inlined(_checked(model, location), known, location)
    graph = model.graph
    names = {tensor.name for tensor in graph.initializer}
    fed = [value for value in graph.input if value.name not in names]
    _set_shapes(fed, shapes or {}, resize)
    results = _outputs(graph, outputs) if outputs else tuple(value.name for value in graph.output)
    used = {value.name for value in fed}
    if outputs:
        used &= {name for node in needed(graph.node, results) for name in captured(node)}
    if not used:
        raise InvalidInputError("the graph has no inputs", location=location, hint="it would compute a constant")
    inputs: list[Input] = []
    rejected: dict[str, InvalidInputError] = {}
    for value in fed:
        try:
            inputs += [_static_input(value)] if value.name in used else []
        except InvalidInputError as error:
            rejected[value.name] = error
    constants = read_constants(graph)
    return Source(
        nodes=tuple(graph.node),
        inputs=tuple(inputs),
        outputs=results,
        constants=constants,
        opsets=opsets,
        location=location,
        rejected=rejected,
    )


def read_constants(graph: GraphProto) -> dict[str, NDArray[Any]]:
    """The initializers of a graph as arrays by name. Raises InvalidInputError naming the one that is malformed."""
    if graph.sparse_initializer:
        name = graph.sparse_initializer[0].values.name
        raise InvalidInputError("sparse initializers are not supported", location=name, hint="store it dense")
    return {tensor.name: to_array(tensor, tensor.name) for tensor in graph.initializer}


def to_array(tensor: TensorProto, location: str) -> NDArray[Any]:
    """The values of a tensor. Raises InvalidInputError naming `location` where they cannot be read."""
    if any(size < 0 for size in tensor.dims) or _elements(tensor.dims) > MAX_ELEMENTS:
        raise InvalidInputError(f"a constant of shape {list(tensor.dims)} cannot be read", location=location)
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError) as error:
        raise InvalidInputError(f"the constant cannot be read: {one_line(error)}", location=location) from error


def one_line(error: BaseException) -> str:
    """The first sentence of a library's message."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.split("==> Context:")[0].strip()
    return text if len(text) <= 200 else text[:197] + "..."


def type_name(element: int) -> str:
    """ONNX's name of an element type, in lower case: float, int64, uint8 ..."""
    names = {number: name for name, number in TensorProto.DataType.items()}
    return names.get(element, f"type {element}").lower()


def _parse(data: bytes, location: str) -> ModelProto:
    try:
        model = ModelProto.FromString(data)
        named = model.HasField("graph") and any(node.op_type for node in model.graph.node)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise InvalidInputError(
            "this is not an ONNX model, or a truncated or damaged one",
            location=location,
            hint="export it again, and check that the file was copied whole",
        ) from error
    if any(isinstance(name, bytes) for name in _names(model.graph)):
        raise InvalidInputError("it has names that are no text (UTF-8)", location=location, hint="export it again")
    if model.HasField("graph") and (named or model.graph.output):
        return model
    raise InvalidInputError(
        "the file holds no ONNX graph", location=location, hint="export it again, and check that it was copied whole"
    )


def _names(graph: GraphProto) -> Iterator[object]:
    """All names of a graph; the library hands out what is no UTF-8 as bytes."""
    for value in (*graph.input, *graph.output, *graph.initializer):
        yield value.name
    for node in _all_nodes(graph):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


def _opsets(model: ModelProto, location: str) -> dict[str, int]:
    opsets = {entry.domain if entry.domain != "ai.onnx" else "": entry.version for entry in model.opset_import}
    version = opsets.get("", 0)
    newest = onnx.defs.onnx_opset_version()
    if not model.opset_import:
        raise InvalidInputError("the model names no opset", location=location, hint="export it again")
    if "" in opsets and version < OLDEST_OPSET:
        raise InvalidInputError(
            f"opset {version} is older than {OLDEST_OPSET}, the oldest that is supported",
            location=location,
            hint="convert it with onnx.version_converter.convert_version(model, 13), or export it again",
        )
    if version > newest:
        raise InvalidInputError(
            f"opset {version} is newer than {newest}, the newest that the installed onnx {onnx.__version__} knows",
            location=location,
            hint=f"upgrade the onnx package, or export with opset {newest}",
        )
    return opsets


def _load_external_data(model: ModelProto, source: str | Path | bytes, location: str) -> None:
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    external = [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]
    if not external:
        return
    name = next((entry.value for entry in external[0].external_data if entry.key == "location"), "?")
    if isinstance(source, bytes):
        raise InvalidInputError(
            f"the weights are in another file, {name!r}", location=location, hint="give the path of the model instead"
        )
    try:
        load_external_data_for_model(model, str(Path(source).resolve().parent))
    except _LIBRARY_ERRORS as error:
        raise InvalidInputError(
            f"external data of {external[0].name!r} cannot be read from {name!r}: {one_line(error)}",
            location=location,
            hint=f"put {name!r} beside the model",
        ) from error


def _checked(model: ModelProto, location: str) -> ModelProto:
    for value in model.graph.input:
        if not value.type.HasField("tensor_type"):
            kind = value.type.WhichOneof("value") or "nothing"
            raise InvalidInputError(f"input {value.name!r} is no tensor but {kind}", location=location)
    del model.graph.value_info[:]  # not used, and stale wherever a batch size was changed by hand
    for value in model.graph.output:
        # the checker wants a type and shape, which some exporters leave out and nothing here relies on
        value.type.tensor_type.shape.SetInParent()
        value.type.tensor_type.elem_type = value.type.tensor_type.elem_type or TensorProto.FLOAT
    try:
        onnx.checker.check_model(model)
        return onnx.inliner.inline_local_functions(model, True) if model.functions else model
    except _LIBRARY_ERRORS as error:
        found = list(_contradictions(model))
        if len(found) > 1:
            raise UnsupportedError(found, what="are not valid ONNX", hint="export it again") from error
        raise InvalidInputError(
            f"not a valid ONNX model: {one_line(error)}", location=location, hint="export it again"
        ) from error


def _contradictions(model: ModelProto) -> Iterator[tuple[str, str]]:
    """All that is wrong with single nodes, which ONNX's check of a whole model ends at the first of: layer, reason."""
    context: Any = type(onnx.checker.DEFAULT_CONTEXT)()
    context.ir_version = model.ir_version
    context.opset_imports = {entry.domain: entry.version for entry in model.opset_import}
    functions = {(function.domain, function.name) for function in model.functions}
    graph = model.graph
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        layer = node.name or next((name for name in node.output if name), node.op_type)
        for name in node.input:
            if name and name not in known:
                yield layer, f"it reads {name!r}, which nothing in front of it computes"
        known.update(node.output)
        if (node.domain, node.op_type) in functions or any(attribute.HasField("g") for attribute in node.attribute):
            continue
        try:
            onnx.checker.check_node(node, context)
        except _LIBRARY_ERRORS as error:
            yield layer, one_line(error)


def _inlined(model: ModelProto, known: Container[str], location: str) -> ModelProto:
    """The model with the bodies of functions that ONNX defines in place of the ops that are not known."""
    versions = _opsets(model, location)
    functions = {
        (node.domain, node.op_type)
        for node in _all_nodes(model.graph)
        if node.op_type not in known and node.op_type not in _FOLDED and _has_body(node, versions.get(node.domain, 0))
    }
    if not functions:
        return model
    try:
        return onnx.inliner.inline_selected_functions(model, sorted(functions), inline_schema_functions=True)
    except _LIBRARY_ERRORS as error:
        names = ", ".join(sorted(name for _, name in functions))
        message = f"the functions {names} cannot be inlined: {one_line(error)}"
        raise InvalidInputError(message, location=location) from error


_FOLDED = frozenset({"Range"})
"""Functions whose bodies are loops: there is nothing to inline, but they may be constant."""


def _all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _all_nodes(attribute.g)


def _has_body(node: NodeProto, version: int) -> bool:
    try:
        schema: Any = onnx.defs.get_schema(node.op_type, version, node.domain)
    except onnx.defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _set_shapes(inputs: Sequence[ValueInfoProto], shapes: Mapping[str, Sequence[int]], resize: bool) -> None:
    """Give inputs the sizes that the user asks for. Raises UsageError where the model says otherwise."""
    by_name = {value.name: value.type.tensor_type.shape for value in inputs}
    for name, sizes in shapes.items():
        if name not in by_name:
            raise UsageError(f"there is no input {name!r} to give a shape", hint=f"inputs are {', '.join(by_name)}")
        known = by_name[name].dim
        fixed = [one.dim_value if one.dim_value > 0 and not resize else None for one in known] or [None] * len(sizes)
        batch = max(0, len(sizes) - len(fixed))  # of a picture that the model itself gives one
        sizes = sizes[batch:] if all(size == 1 for size in sizes[:batch]) else sizes
        if len(fixed) != len(sizes) or any(old not in (None, new) for old, new in zip(fixed, sizes, strict=True)):
            own = "x".join("?" if old is None else str(old) for old in fixed)
            raise UsageError(f"input {name!r} is {own} and cannot be {'x'.join(map(str, sizes))}")
        del known[:]
        for size in sizes:
            known.add().dim_value = size
        by_name[name].SetInParent()


def _outputs(graph: GraphProto, names: Sequence[str]) -> tuple[str, ...]:
    """The values to end at, for names of values or of nodes. Raises UsageError for one that is neither."""
    nodes = {
        node.name: next(name for name in node.output if name) for node in graph.node if node.name and any(node.output)
    }
    values = {name: name for node in graph.node for name in node.output if name}
    return ends(names, values, nodes, graph.output[0].name)


def needed(nodes: Sequence[NodeProto], outputs: Iterable[str]) -> list[NodeProto]:
    """The nodes that the outputs depend on, in their order."""
    wanted = set(outputs)
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if wanted.isdisjoint(node.output):
            continue
        kept.append(_without_unused(node, wanted))
        wanted.update(captured(node))
    return kept[::-1]


def _without_unused(node: NodeProto, wanted: set[str]) -> NodeProto:
    """The node with the names of outputs nobody reads left empty: old exporters name even the mask of a Dropout."""
    if all(name in wanted for name in node.output):
        return node
    lean = NodeProto()
    lean.CopyFrom(node)
    lean.output[:] = [name if name in wanted else "" for name in node.output]
    return lean


def captured(node: NodeProto) -> Iterator[str]:
    """The names a node reads, those read inside its branches included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from captured(inner)
        yield from (value.name for value in attribute.g.output)


def _static_input(value: ValueInfoProto) -> Input:
    """The input with its first dimension fixed to 1 where it is symbolic; `value` is changed to say so."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise InvalidInputError(
            f"input {value.name!r} has no shape", location=value.name, hint="export the model with a fixed input shape"
        )
    element = tensor.elem_type
    if not is_supported(element):
        raise InvalidInputError(
            f"input {value.name!r} is {type_name(element)}",
            location=value.name,
            hint="make it float32, or uint8 followed by a Cast to float32",
        )
    for dimension in list(tensor.shape.dim)[:1]:
        dimension.dim_value = dimension.dim_value if dimension.dim_value > 0 else 1
    if open_sizes := [(axis, one.dim_param) for axis, one in enumerate(tensor.shape.dim) if one.dim_value < 1]:
        named = ", ".join(
            f"dimension {axis} is dynamic ({repr(name) if name else 'unknown'})" for axis, name in open_sizes
        )
        example = "x".join(str(one.dim_value if one.dim_value > 0 else 224) for one in tensor.shape.dim)
        raise InvalidInputError(
            f"input {value.name!r}: {named}",
            location=value.name,
            hint=f"give a shape (--input-shape {value.name}={example}), or export it fixed; only the batch becomes 1",
        )
    shape = tuple(dimension.dim_value for dimension in tensor.shape.dim)
    if _elements(shape) > MAX_ELEMENTS:
        raise InvalidInputError(f"input {value.name!r} of shape {list(shape)} is too large", location=value.name)
    return Input(value.name, shape, element)


def _elements(shape: Iterable[int]) -> int:
    return int(np.prod([int(size) for size in shape], dtype=object))
