"""The element types of ONNX values, which are all real numbers in `ktensor`.

Integers and bools are float32 there too: whole numbers, 0 and 1. That is what the runtime of the chip computes with,
and it is exact up to 2^24. Each converter is told the types its node has in the model, and makes what differs explicit:
a division that truncates, 8 bits that overflow.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import onnx.defs
from onnx import NodeProto, TensorProto

FLOATS: frozenset[int] = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16})
BITS: dict[int, int] = {
    TensorProto.INT8: 8,
    TensorProto.UINT8: 8,
    TensorProto.INT16: 16,
    TensorProto.UINT16: 16,
    TensorProto.INT32: 32,
    TensorProto.UINT32: 32,
    TensorProto.INT64: 64,
    TensorProto.UINT64: 64,
}
"""The integers and their sizes."""
UNSIGNED: frozenset[int] = frozenset({TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64})
LARGEST = 1 << 24
"""Up to here float32 holds every whole number."""
_NAMED_BY = {"Cast": "to", "RandomNormal": "dtype", "RandomUniform": "dtype", "EyeLike": "dtype"}


def is_supported(element: int) -> bool:
    """Whether tensors of these elements can be real numbers."""
    return element in FLOATS or element in BITS or element == TensorProto.BOOL


def result_elements(node: NodeProto, elements: Sequence[int], opsets: dict[str, int]) -> list[int]:
    """The element type of each output, by the operator's signature; FLOAT where that does not say."""
    if node.op_type in _NAMED_BY:
        named = [attribute.i for attribute in node.attribute if attribute.name == _NAMED_BY[node.op_type]]
        return [named[0] if named else TensorProto.FLOAT] * len(node.output)
    inputs, outputs = _signature(node.op_type, opsets.get(node.domain, 0), node.domain)
    known: dict[str, int] = {}
    for index, element in enumerate(elements):
        if element and inputs:  # the last parameter may be variadic
            known.setdefault(inputs[min(index, len(inputs) - 1)], element)
    kinds = [outputs[min(index, len(outputs) - 1)] if outputs else "" for index in range(len(node.output))]
    return [known.get(kind, _CONCRETE.get(kind, TensorProto.FLOAT)) for kind in kinds]


@lru_cache(maxsize=512)
def _signature(op_type: str, version: int, domain: str) -> tuple[list[str], list[str]]:
    """The type parameters of inputs and outputs: `T`, or a type."""
    try:
        schema: Any = onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return [], []
    return [one.type_str for one in schema.inputs], [one.type_str for one in schema.outputs]


_CONCRETE = {f"tensor({name.lower()})": number for name, number in TensorProto.DataType.items()}
