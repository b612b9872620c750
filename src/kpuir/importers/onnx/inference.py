"""ONNX's shape inference, for the nodes that have no converter.

Converters give their results a shape themselves; only what follows a refused node needs to be told one, so that it is
checked as well. ONNX is asked node by node: its inference of whole models can bring the process down on a malformed
one (LayerNormalization with an axis out of range), and the nodes that do have a converter are checked there.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx.checker
import onnx.defs
import onnx.helper
import onnx.numpy_helper
import onnx.shape_inference
from onnx import NodeProto, TypeProto

from kpuir.dialects import ktensor
from kpuir.importers.onnx.elements import is_supported
from kpuir.importers.onnx.node import Operand

_LIBRARY_ERRORS = (
    onnx.checker.ValidationError,
    onnx.defs.SchemaError,
    onnx.shape_inference.InferenceError,
    ValueError,
    TypeError,
    RuntimeError,
)


def output_shapes(
    node: NodeProto, operands: Sequence[Operand], elements: Sequence[int], opsets: dict[str, int]
) -> dict[str, tuple[int, ...]]:
    """The static shapes of a node's outputs by name; empty where ONNX does not know them."""
    given = zip(node.input, operands, elements, strict=True)
    known = [(name, operand, element) for name, operand, element in given if operand is not None]
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(node.domain, 0), node.domain)
        inferred = onnx.shape_inference.infer_node_outputs(
            schema,
            node,
            {name: _type(operand, element) for name, operand, element in known},
            {name: onnx.numpy_helper.from_array(value) for name, value, _ in known if isinstance(value, np.ndarray)},
            opset_imports=[onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()],
        )
    except _LIBRARY_ERRORS:
        return {}
    shapes = {name: _static_shape(kind) for name, kind in inferred.items()}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def _type(operand: Any, element: int) -> TypeProto:
    shape = operand.shape if isinstance(operand, np.ndarray) else ktensor.shape_of(operand)
    return onnx.helper.make_tensor_type_proto(element, shape)


def _static_shape(kind: TypeProto) -> tuple[int, ...] | None:
    tensor = kind.tensor_type
    if not is_supported(tensor.elem_type) or not tensor.HasField("shape"):
        return None
    if not all(dimension.HasField("dim_value") and dimension.dim_value > 0 for dimension in tensor.shape.dim):
        return None
    return tuple(dimension.dim_value for dimension in tensor.shape.dim)
