"""The walk over a TFLite graph: one function per operator, every refusal collected, then one error or one module."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FunctionType,
    ModuleOp,
    StringAttr,
    TensorType,
    f32,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from kpuir.errors import InvalidInputError, UnsupportedError, UsageError
from kpuir.importers.files import read_source
from kpuir.importers.tflite.codes import check
from kpuir.importers.tflite.graph import BROKEN, DTYPES, Graph, Operator, Tensor, cut, read
from kpuir.importers.tflite.layer import (
    ZERO_POINTS,
    Handler,
    Layer,
    MissingInputError,
    NotExpressibleError,
    Result,
    Scope,
    as_real,
    check_size,
    element_of,
    lookup,
)
from kpuir.importers.tflite.ops import OPS
from kpuir.importers.tflite.refusals import refusal
from kpuir.ir.functions import CODES, NAME, codes_attribute
from kpuir.plugins import table as plugin_table

_INTEGER_ACTIVATIONS = (*ZERO_POINTS, "INT16")


def import_tflite(
    path_or_bytes: "str | Path | bytes",
    *,
    input_shapes: "Mapping[str, Sequence[int]] | None" = None,
    outputs: Sequence[str] = (),
    resize: bool = False,
) -> ModuleOp:
    """The model of a .tflite file, or of its bytes, as a module with one function `@main` at `ktensor` level.

    Arguments and results are float32 in the model's own (channels-last) layout, a dynamic batch is 1. Tensors of an
    int8 or uint8 model are real numbers too, rounded by `ktensor.activation<fake_quantize>` to those that have a code;
    those of an int16 model are only limited to what 16 bits hold. Integers and bools are whole numbers, 0 and 1.
    `outputs`, names of values or of layers, replace those of the model; inputs that these do not need are dropped.
    Sizes of inputs that the model leaves open are what `input_shapes` says, with `resize` all others too. No other
    tensor's stored shape counts. Raises UnsupportedError with all layers that cannot be expressed, UsageError for an
    input or output that is not there and for a shape that contradicts the model, InvalidInputError for everything else.
    """
    return _import(_resized(_graph(path_or_bytes), input_shapes or {}, resize), outputs)


def _graph(path_or_bytes: "str | Path | bytes") -> Graph:
    if isinstance(path_or_bytes, bytes):
        return read(path_or_bytes)
    data = read_source(Path(path_or_bytes))
    try:
        return read(data)
    except InvalidInputError as error:
        raise InvalidInputError(error.message, location=Path(path_or_bytes).name, hint=error.hint) from error


def _resized(graph: Graph, shapes: "Mapping[str, Sequence[int]]", resize: bool) -> Graph:
    """The graph with inputs of these shapes. Raises UsageError where there is no such input, or it has another."""
    inputs = {graph.tensors[index].name: index for index in graph.inputs}
    tensors = list(graph.tensors)
    for name, sizes in shapes.items():
        if name not in inputs:
            raise UsageError(f"there is no input {name!r} to give a shape", hint=f"inputs are {', '.join(inputs)}")
        known = _declared(tensors[inputs[name]])
        fits = len(known) == len(sizes) and all(old < 1 or old == new for old, new in zip(known, sizes, strict=True))
        if len(known) != len(sizes) or not (resize or fits):
            own = "x".join("?" if old < 1 else str(old) for old in known)
            raise UsageError(f"input {name!r} is {own} and cannot be {'x'.join(map(str, sizes))}")
        tensors[inputs[name]] = replace(tensors[inputs[name]], shape=tuple(sizes), signature=tuple(sizes))
    return replace(graph, tensors=tuple(tensors))


def _declared(tensor: Tensor) -> tuple[int, ...]:
    """The shape of an input, sizes that are left open below 1."""
    return tensor.signature if len(tensor.signature) == len(tensor.shape) else tensor.shape


def handlers() -> dict[str, Handler]:
    """All operators' functions: ours, then the `tflite` tables of installed plug-ins, which may replace ours."""
    return {**OPS, **plugin_table("tflite")}


def _import(graph: Graph, outputs: Sequence[str]) -> ModuleOp:
    table = handlers()
    problems = [] if outputs else _subgraph_problems(graph)
    graph = cut(graph, outputs) if outputs else graph
    integers = _integer_problems(graph)
    if integers:
        unknown = [(o.layer, refusal(o)) for o in graph.operators if o.key not in table]
        raise UnsupportedError([*problems, *integers, *unknown], hint=_HINT)
    arguments = [TensorType(f32, _input_shape(graph.tensors[i])) for i in graph.inputs]
    block = Block(arg_types=arguments)
    scope = Scope(graph.tensors, block)
    scope.values.update({i: tensor.data for i, tensor in enumerate(graph.tensors) if tensor.data is not None})
    for index, argument in zip(graph.inputs, block.args, strict=True):
        producer = Layer(Operator("input", "", (), (index,), None, graph.tensors[index].name), scope)
        scope.values[index] = producer.rounded(argument, graph.tensors[index])
    _fill_empty_constants(graph, scope)
    problems += [problem for operator in graph.operators if (problem := _import_layer(operator, scope, table))]
    if problems:
        raise UnsupportedError(problems, hint=_cutting(graph, scope))
    return _module(graph, scope, arguments)


def _cutting(graph: Graph, scope: Scope) -> str:
    """Where to end the model in front of layers that were refused: what they read, and outputs without them."""
    read = [i for operator in graph.operators if scope.refused.issuperset(operator.outputs) for i in operator.inputs]
    done = [i for i in dict.fromkeys((*graph.outputs, *read)) if isinstance(scope.values.get(i), SSAValue)]
    names = [graph.tensors[i].name for i in done if i not in graph.inputs]
    if not names or any("," in name for name in names):
        return "replace these layers by a form that works"
    return f"end the model in front of them with --outputs {shlex.quote(','.join(names))}, or replace them"


_HINT = "give the float32 model, or one quantized to int8 or uint8 with one scale for each tensor of activations"


def _subgraph_problems(graph: Graph) -> list[tuple[str, str]]:
    if len(graph.subgraphs) == 1:
        return []
    names = ", ".join(name or "?" for name in graph.subgraphs[:8])
    return [("model", f"it has {len(graph.subgraphs)} subgraphs ({names}): control flow cannot be compiled")]


def _integer_problems(graph: Graph) -> list[tuple[str, str]]:
    """One problem for a quantized model of which the KPU has no like, with its first such tensor."""
    computed = [graph.tensors[index] for index in (*graph.inputs, *(i for o in graph.operators for i in o.outputs))]
    found = [(one, reason) for one in computed if one.dtype in _INTEGER_ACTIVATIONS and (reason := _unlike(one))]
    if not found:
        return []
    tensor, reason = found[0]
    return [
        ("model", f"{len(found)} of its {len(computed)} activations cannot be bytes on the KPU: {tensor.name} {reason}")
    ]


def _unlike(tensor: Tensor) -> str | None:
    """Why a tensor of integer activations cannot be bytes with a scale and zero point, None if it can."""
    if tensor.quantization is None:
        return None
    if tensor.quantization.scale.size != 1:
        return f"is {tensor.dtype.lower()} with {tensor.quantization.scale.size} scales"
    scale, zero_point = float(tensor.quantization.scale[0]), int(tensor.quantization.zero_point[0])
    if tensor.dtype == "INT16":
        return None if 0 < scale < 1e30 and zero_point == 0 else f"is int16, of scale {scale} and zero {zero_point}"
    try:
        element_of(tensor)
    except VerifyException as error:
        return f"is {tensor.dtype.lower()}, and its {error}"
    return None


def _input_shape(tensor: Tensor) -> tuple[int, ...]:
    declared = _declared(tensor)
    hint = f"give it one (--input-shape {tensor.name}=1x224x224x3), or export the model with a fixed input size"
    if tensor.dtype not in DTYPES:
        raise InvalidInputError(
            f"it is {tensor.dtype.lower()}, only floats, integers and bools can be compiled",
            location=f"input {tensor.name}",
        )
    if any(dim < 1 for dim in declared[1:]):
        message = f"its shape {list(declared)} is dynamic beyond the batch"
        raise InvalidInputError(message, location=f"input {tensor.name}", hint=hint)
    shape = tuple(max(dim, 1) for dim in declared)
    check_size(shape, f"input {tensor.name}")
    return shape


def _fill_empty_constants(graph: Graph, scope: Scope) -> None:
    """Constants of no elements (the new shape of a scalar, say) are stored like computed tensors, without bytes."""
    import numpy as np

    computed = {index for operator in graph.operators for index in operator.outputs}
    for index, tensor in enumerate(graph.tensors):
        if index not in computed and index not in scope.values and tensor.shape == (0,):
            scope.values[index] = np.empty(0, np.int32)


def _import_layer(operator: Operator, scope: Scope, table: dict[str, Handler]) -> tuple[str, str] | None:
    """Import one layer; the problem with it if there is one that is not another layer's already."""
    try:
        handler = table.get(operator.key)
        if handler is None:
            raise NotExpressibleError(refusal(operator))
        layer = Layer(operator, scope)
        if operator.problem is not None:
            layer.refuse(operator.problem)
        check(layer)
        results = _as_list(handler(layer))
        if len(results) != len(operator.outputs):
            raise ValueError(f"{len(results)} results, but {len(operator.outputs)} outputs")
        for index, result in zip(operator.outputs, results, strict=True):
            computed = isinstance(result, SSAValue)
            scope.values[index] = layer.rounded(result, scope.tensors[index]) if computed else result
    except NotExpressibleError as error:
        scope.refused.update(operator.outputs)
        return (operator.layer, str(error))
    except MissingInputError:
        scope.refused.update(operator.outputs)
    except (VerifyException, ZeroDivisionError, *BROKEN) as error:
        # A sound file never gets here: its attributes contradict its shapes, whichever library noticed first.
        message = f"{operator.kind} does not fit its inputs: {error}"
        raise InvalidInputError(message, location=operator.layer) from error
    return None


def _as_list(result: Result) -> "list[SSAValue | Any]":
    return list(result) if isinstance(result, list | tuple) else [result]


def _module(graph: Graph, scope: Scope, arguments: Sequence[Attribute]) -> ModuleOp:
    results = [_output(graph, scope, index) for index in graph.outputs]
    for argument, index in zip(scope.block.args, graph.inputs, strict=True):
        argument.name_hint = re.sub(r"\W", "_", f"_{graph.tensors[index].name}").lstrip("_0123456789") or None
    scope.block.add_op(ReturnOp(*results))
    function = FuncOp(
        "main",
        FunctionType.from_lists(arguments, [value.type for value in results]),
        Region(scope.block),
        arg_attrs=_names(graph, graph.inputs),
        res_attrs=_names(graph, graph.outputs),
    )
    return ModuleOp([function])


def _output(graph: Graph, scope: Scope, index: int) -> SSAValue:
    name = graph.tensors[index].name
    value = lookup(scope, index, f"output {name}")
    if isinstance(value, SSAValue):
        return value
    producer = Layer(Operator("output", "", (index,), (index,), None, name), scope)
    return producer.put_constant(as_real(value, graph.tensors[index], name))


def _names(graph: Graph, indices: Sequence[int]) -> ArrayAttr[DictionaryAttr]:
    """`ktensor.name` of each input or output: the tensor's name, numbered where it occurs twice; and its codes."""
    names: list[str] = []
    found: list[dict[str, Attribute]] = []
    for index in indices:
        tensor = graph.tensors[index]
        name = tensor.name
        names.append(f"{name}_{len(names)}" if name in names else name)
        found.append({NAME: StringAttr(names[-1])})
        element = element_of(tensor)
        if element is not None:
            zero_point = element.zero_point_value - ZERO_POINTS[tensor.dtype]
            found[-1][CODES] = codes_attribute(tensor.dtype.lower(), element.scale_value, zero_point)
        elif tensor.dtype == "UINT8":
            found[-1][CODES] = codes_attribute("uint8", 1.0, 0)
    return ArrayAttr(DictionaryAttr(attributes) for attributes in found)
