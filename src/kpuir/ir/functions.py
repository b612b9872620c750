"""The entry point of a module and the attributes of its arguments and results."""

from collections.abc import Mapping
from typing import Any

from xdsl.dialects import func
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FloatAttr, ModuleOp, StringAttr, f64
from xdsl.ir import Attribute

from kpuir.errors import InvalidInputError

ENTRY = "main"
"""The function that is the model."""
NAME = "ktensor.name"
"""Attribute of an argument or result: its name in the source model."""
LAYOUT = "ktensor.layout"
"""Attribute of an argument or result: its layout in the source model, where that is not what it is here."""

CODES = "ktensor.codes"
"""Attribute of an argument or result: how a quantized source model stores it, [type, scale, zero point]."""


def codes_attribute(type: str, scale: float, zero_point: int) -> "ArrayAttr[Attribute]":
    """The attribute CODES: `["int8", 5.0e-01 : f64, -128.0 : f64]`."""
    return ArrayAttr([StringAttr(type), FloatAttr(scale, f64), FloatAttr(float(zero_point), f64)])


def codes_of(attributes: Mapping[str, Attribute]) -> tuple[str, float, int] | None:
    """Type, scale and zero point of the codes of an argument or result with these attributes, if it has any."""
    found: Any = attributes.get(CODES)
    if found is None:
        return None
    kind, scale, zero_point = found.data
    return kind.data, scale.value.data, int(zero_point.value.data)


def entry_function(module: ModuleOp) -> func.FuncOp:
    """The function `@main`. Raises InvalidInputError where there is none."""
    for op in module.body.block.ops:
        if isinstance(op, func.FuncOp) and op.sym_name.data == ENTRY and not op.is_declaration:
            return op
    raise InvalidInputError(f"the module has no function @{ENTRY}")


def argument_attributes(function: func.FuncOp, index: int) -> dict[str, Attribute]:
    """A copy of the attributes of an argument."""
    attributes = function.arg_attrs
    return dict(attributes.data[index].data) if attributes is not None else {}


def result_attributes(function: func.FuncOp, index: int) -> dict[str, Attribute]:
    """A copy of the attributes of a result."""
    attributes = function.res_attrs
    return dict(attributes.data[index].data) if attributes is not None else {}


def set_argument_attribute(function: func.FuncOp, index: int, name: str, value: Attribute) -> None:
    """Give an argument one more attribute."""
    count = len(function.function_type.inputs.data)
    all_attributes = [argument_attributes(function, i) for i in range(count)]
    all_attributes[index][name] = value
    function.arg_attrs = ArrayAttr(DictionaryAttr(attributes) for attributes in all_attributes)
