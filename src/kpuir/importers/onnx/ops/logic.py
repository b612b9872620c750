"""Comparisons, logic on bools (0 and 1 here), selections, and casts."""

from onnx import TensorProto
from xdsl.ir import SSAValue

from kpuir.importers.onnx.elements import BITS, FLOATS, UNSIGNED
from kpuir.importers.onnx.graph import type_name
from kpuir.importers.onnx.node import Converter, Node, Table, documented


def _compare(kind: str, swap: bool = False) -> Converter:
    def convert(node: Node) -> SSAValue:
        first, second = (1, 0) if swap else (0, 1)
        return node.binary(kind, node.value(first), node.value(second))

    return documented(convert, "A comparison: 1 where it holds, else 0.")


def _logic(kind: str) -> Converter:
    return documented(lambda node: node.binary(kind, node.value(0), node.value(1)), f"The {kind} of 0s and 1s.")


def not_(node: Node) -> SSAValue:
    """Not: 1 - x."""
    return node.activation(node.value(0), "rsub", 1.0)


def xor(node: Node) -> SSAValue:
    """Xor: |a - b|."""
    return node.unary("abs", node.binary("sub", node.value(0), node.value(1)))


def where(node: Node) -> SSAValue:
    """Where."""
    return node.select(node.value(0), node.value(1), node.value(2))


def cast(node: Node) -> SSAValue:
    """Cast: to integers by truncation, to bool by comparison with 0; between floating-point types it is nothing."""
    return cast_to(node, node.integer("to"))


def cast_like(node: Node) -> SSAValue:
    """CastLike: Cast to the type of its second input."""
    return cast_to(node, node.element(1))


def cast_to(node: Node, target: int) -> SSAValue:
    """The first input as another element type."""
    value, source = node.value(0), node.element(0)
    if target in FLOATS:
        return value
    if target == TensorProto.BOOL:
        return value if node.is_bool() else node.activation(node.binary("equal", value, 0.0), "rsub", 1.0)
    if target not in BITS:
        node.refuse(f"to = {type_name(target)}", "a cast to a float, integer or bool type")
    if node.is_bool() or source == target:
        return value
    if source in BITS:
        narrower = BITS[target] < BITS[source] or (target in UNSIGNED) != (source in UNSIGNED)
        return node.wrapped(value, target) if narrower else value
    return node.truncated(value)


def shrink(node: Node) -> SSAValue:
    """Shrink: x + bias below -lambd, x - bias above lambd, 0 between."""
    value, bias, limit = node.value(0), node.real("bias", 0.0), node.real("lambd", 0.5)
    above = node.binary("greater", value, limit)
    below = node.rbinary("greater", -limit, value)
    moved = node.binary("sub", value, node.binary("mul", node.binary("sub", above, below), bias))
    return node.binary("mul", moved, node.binary("add", above, below))


def thresholded_relu(node: Node) -> SSAValue:
    """ThresholdedRelu: x above its threshold, else 0; with threshold 0 it is Relu."""
    alpha = node.real("alpha", 1.0)
    if alpha == 0.0:
        return node.activation(node.value(0), "relu")
    value = node.value(0)
    return node.binary("mul", value, node.binary("greater", value, alpha))


TABLE: Table = {
    "Equal": _compare("equal"),
    "Greater": _compare("greater"),
    "GreaterOrEqual": _compare("greater_equal"),
    "Less": _compare("greater", swap=True),
    "LessOrEqual": _compare("greater_equal", swap=True),
    "And": _logic("min"),
    "Or": _logic("max"),
    "Xor": xor,
    "Not": not_,
    "Where": where,
    "Cast": cast,
    "CastLike": cast_like,
    "Shrink": shrink,
    "ThresholdedRelu": thresholded_relu,
}
