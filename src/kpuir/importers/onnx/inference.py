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
from onnx import NodeProto, TensorProto, TypeProto

from kpuir.dialects import ktensor
from kpuir.importers.onnx.graph import FLOAT_TYPES
from kpuir.importers.onnx.node import Operand

_LIBRARY_ERRORS = (
    onnx.checker.ValidationError,
    onnx.defs.SchemaError,
    onnx.shape_inference.InferenceError,
    ValueError,
    TypeError,
    RuntimeError,
)


def output_shapes(node: NodeProto, operands: Sequence[Operand], opsets: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """The static shapes of a node's floating-point outputs by name; empty where ONNX does not know them."""
    known = [(name, operand) for name, operand in zip(node.input, operands, strict=True) if operand is not None]
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(node.domain, 0), node.domain)
        inferred = onnx.shape_inference.infer_node_outputs(
            schema,
            node,
            {name: _type(operand) for name, operand in known},
            {name: onnx.numpy_helper.from_array(value) for name, value in known if isinstance(value, np.ndarray)},
            opset_imports=[onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()],
        )
    except _LIBRARY_ERRORS:
        return {}
    shapes = {name: _static_shape(kind) for name, kind in inferred.items()}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def _type(operand: Any) -> TypeProto:
    if isinstance(operand, np.ndarray):
        element = onnx.helper.np_dtype_to_tensor_dtype(operand.dtype)
        return onnx.helper.make_tensor_type_proto(element, operand.shape)
    return onnx.helper.make_tensor_type_proto(TensorProto.FLOAT, ktensor.shape_of(operand))


def _static_shape(kind: TypeProto) -> tuple[int, ...] | None:
    tensor = kind.tensor_type
    if tensor.elem_type not in FLOAT_TYPES or not tensor.HasField("shape"):
        return None
    if not all(dimension.HasField("dim_value") and dimension.dim_value > 0 for dimension in tensor.shape.dim):
        return None
    return tuple(dimension.dim_value for dimension in tensor.shape.dim)
