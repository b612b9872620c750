"""The walk over a TFLite graph: one function per operator, every refusal collected, then one error or one module."""

import re
from collections.abc import Sequence
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

from kpuir.errors import InvalidInputError, UnsupportedError
from kpuir.importers.files import read_source
from kpuir.importers.tflite.graph import BROKEN, Graph, Operator, Tensor, read
from kpuir.importers.tflite.layer import (
    Handler,
    Layer,
    MissingInputError,
    NotExpressibleError,
    Result,
    Scope,
    as_real,
    check_size,
    lookup,
)
from kpuir.importers.tflite.ops import OPS
from kpuir.importers.tflite.refusals import refusal
from kpuir.ir.functions import NAME
from kpuir.plugins import table as plugin_table

_INTEGER_ACTIVATIONS = ("INT8", "UINT8", "INT16")


def import_tflite(path_or_bytes: "str | Path | bytes") -> ModuleOp:
    """The model of a .tflite file, or of its bytes, as a module with one function `@main` at `ktensor` level.

    Arguments and results are float32 in the model's own (channels-last) layout, a dynamic batch is 1.
    Raises UnsupportedError with all layers that cannot be expressed, InvalidInputError for everything else.
    """
    if isinstance(path_or_bytes, bytes):
        return _import(read(path_or_bytes))
    data = read_source(Path(path_or_bytes))
    try:
        graph = read(data)
    except InvalidInputError as error:
        raise InvalidInputError(error.message, location=Path(path_or_bytes).name, hint=error.hint) from error
    return _import(graph)


def handlers() -> dict[str, Handler]:
    """All operators' functions: ours, then the `tflite` tables of installed plug-ins, which may replace ours."""
    return {**OPS, **plugin_table("tflite")}


def _import(graph: Graph) -> ModuleOp:
    table = handlers()
    problems = [*_subgraph_problems(graph), *_integer_problems(graph)]
    if problems:
        known = {*table, "QUANTIZE"}
        unknown = [(o.layer, refusal(o)) for o in graph.operators if o.kind not in known]
        raise UnsupportedError([*problems, *unknown], hint=_HINT)
    arguments = [TensorType(f32, _input_shape(graph.tensors[i])) for i in graph.inputs]
    block = Block(arg_types=arguments)
    scope = Scope(graph.tensors, block)
    scope.values.update({i: tensor.data for i, tensor in enumerate(graph.tensors) if tensor.data is not None})
    scope.values.update(zip(graph.inputs, block.args, strict=True))
    _fill_empty_constants(graph, scope)
    problems = [problem for operator in graph.operators if (problem := _import_layer(operator, scope, table))]
    if problems:
        raise UnsupportedError(problems)
    return _module(graph, scope, arguments)


_HINT = "give the float32 model: kpuir quantizes by itself"


def _subgraph_problems(graph: Graph) -> list[tuple[str, str]]:
    if len(graph.subgraphs) == 1:
        return []
    names = ", ".join(name or "?" for name in graph.subgraphs[:8])
    return [("model", f"it has {len(graph.subgraphs)} subgraphs ({names}): control flow cannot be compiled")]


def _integer_problems(graph: Graph) -> list[tuple[str, str]]:
    """One problem for a fully quantized model, naming how many of its layers compute on integers."""
    computed = [o for o in graph.operators if any(_is_integer_activation(graph.tensors[i]) for i in o.outputs)]
    inputs = [graph.tensors[i] for i in graph.inputs if graph.tensors[i].dtype in _INTEGER_ACTIVATIONS]
    if not computed and not inputs:
        return []
    kinds = sorted({graph.tensors[o.outputs[0]].dtype.lower() for o in computed} or {i.dtype.lower() for i in inputs})
    where = f"{len(computed)} of {len(graph.operators)} layers" if computed else "the inputs"
    return [("model", f"its activations are {' and '.join(kinds)} ({where}): use the float model")]


def _is_integer_activation(tensor: Tensor) -> bool:
    return tensor.data is None and tensor.dtype in _INTEGER_ACTIVATIONS


def _input_shape(tensor: Tensor) -> tuple[int, ...]:
    declared = tensor.signature if len(tensor.signature) == len(tensor.shape) else tensor.shape
    hint = "export the model with a fixed input size"
    if tensor.dtype != "FLOAT32":
        raise InvalidInputError(
            f"it is {tensor.dtype.lower()}, only float32 inputs can be compiled", location=f"input {tensor.name}"
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
        handler = table.get(operator.kind)
        if handler is None:
            raise NotExpressibleError(refusal(operator))
        results = _as_list(handler(Layer(operator, scope)))
        if len(results) != len(operator.outputs):
            raise ValueError(f"{len(results)} results, but {len(operator.outputs)} outputs")
        scope.values.update(zip(operator.outputs, results, strict=True))
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
    """`ktensor.name` of each input or output: the tensor's name, numbered where it occurs twice."""
    names: list[str] = []
    for index in indices:
        name = graph.tensors[index].name
        names.append(f"{name}_{len(names)}" if name in names else name)
    return ArrayAttr([DictionaryAttr({NAME: StringAttr(name)}) for name in names])
