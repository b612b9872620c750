"""Evaluating nodes whose inputs are all known, with ONNX's own reference implementation."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import onnx
import onnx.helper
from numpy.typing import NDArray
from onnx import NodeProto

from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.graph import MAX_ELEMENTS, one_line
from kpuir.importers.onnx.node import RefusedError

NEVER_FOLDED = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
"""Nodes without dynamic inputs whose value is still not a constant."""

_OLDEST_EVALUATED = {"DequantizeLinear": 19}
"""Ops whose older versions the reference implementation lacks; the newer one computes the same."""

_SIZE_GIVEN_BY_INPUT = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}


def evaluate(
    node: NodeProto, values: Mapping[str, "NDArray[Any] | None"], layer: str, opsets: dict[str, int]
) -> list[Any]:
    """The outputs of a node, given what it and its body read by name.

    Raises RefusedError where ONNX has no implementation, InvalidInputError where it fails.
    """
    _guard_size(node, [values[name] for name in node.input], layer)
    unique = {name: array for name, array in values.items() if array is not None}
    outputs = [name for name in node.output if name]
    try:
        inputs = [_value_info(name, array) for name, array in unique.items()]
        graph = onnx.helper.make_graph(
            [node], "node", inputs, [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in outputs]
        )
        oldest = _OLDEST_EVALUATED.get(node.op_type, 0)
        imports = [onnx.helper.make_opsetid(domain, max(version, oldest)) for domain, version in opsets.items()]
        from onnx.reference import ReferenceEvaluator

        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # values that are not finite are refused where they become a constant
            evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports))
            results = cast("list[Any]", evaluator.run(None, unique))
    except NotImplementedError as error:
        raise RefusedError(f"{node.op_type}: a constant that cannot be evaluated: {one_line(error)}") from error
    # the evaluator runs numpy on whatever the model says: any of these is the model's fault
    except (
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
        AssertionError,
        MemoryError,
    ) as error:
        raise InvalidInputError(f"{node.op_type} of constants fails: {one_line(error)}", location=layer) from error
    by_name = {name: _as_array(value) for name, value in zip(outputs, results, strict=True)}
    return [by_name.get(name) for name in node.output]


def _value_info(name: str, array: "NDArray[Any]") -> Any:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _as_array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, np.generic | int | float | bool) else value


def _guard_size(node: NodeProto, operands: Sequence["NDArray[Any] | None"], layer: str) -> None:
    sizes: list[Any] = []
    index = _SIZE_GIVEN_BY_INPUT.get(node.op_type)
    if index is not None and index < len(operands):
        shape = operands[index]
        sizes = [] if shape is None else shape.reshape(-1).tolist()
    if node.op_type == "Range" and all(array is not None and array.size == 1 for array in operands):
        start, limit, delta = (float(cast("NDArray[Any]", array).reshape(-1)[0]) for array in operands)
        sizes = [abs((limit - start) / delta)] if delta else []
    count = 1.0
    for size in sizes:
        count *= max(1.0, abs(float(size)))
    if not count <= MAX_ELEMENTS:
        raise InvalidInputError(f"{node.op_type} would make a constant of {count:.3g} elements", location=layer)
