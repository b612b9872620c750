"""Arithmetic of single elements, and reductions."""

from collections.abc import Callable
from functools import reduce as chain

import numpy as np
from xdsl.ir import SSAValue

from kpuir.importers.onnx.node import Converter, Node, Table, documented

_MAX_POWER = 16


def _unary(kind: str) -> Converter:
    return documented(lambda node: node.unary(kind, node.value(0)), f"The function {kind}.")


def _binary(kind: str) -> Converter:
    def convert(node: Node) -> SSAValue:
        return node.wrapped(node.binary(kind, node.value(0), node.value(1)), node.element(0))

    return documented(convert, f"The operation {kind}; integers of 8 and 16 bits overflow.")


def divide(node: Node) -> SSAValue:
    """Div; of integers it truncates."""
    value = node.binary("div", node.value(0), node.value(1))
    return node.truncated(value) if node.is_integer() else value


def modulo(node: Node) -> SSAValue:
    """Mod: with the sign of the divisor, or of the dividend (fmod)."""
    lhs, rhs = node.value(0), node.value(1)
    if not node.integer("fmod", 0):
        return node.binary("floor_mod", lhs, rhs)
    whole = node.truncated(node.binary("div", lhs, rhs))
    return node.binary("sub", lhs, node.binary("mul", whole, rhs))


def _variadic(kind: str) -> Converter:
    """Min, Max and Sum: any number of operands, one after the other."""

    def convert(node: Node) -> SSAValue:
        values = [node.value(index) for index in range(len(node.operands))]
        total = chain(lambda left, right: node.binary(kind, left, right), values)
        return node.wrapped(total, node.element(0)) if kind == "add" else total

    return documented(convert, f"The operation {kind}, of any number of operands.")


def mean(node: Node) -> SSAValue:
    """Mean of any number of operands."""
    count = len(node.operands)
    total = chain(lambda left, right: node.binary("add", left, right), [node.value(i) for i in range(count)])
    return total if count == 1 else node.binary("mul", total, 1.0 / count)


def reciprocal(node: Node) -> SSAValue:
    """Reciprocal: 1 / x."""
    return node.rbinary("div", 1.0, node.value(0))


def power(node: Node) -> SSAValue:
    """Pow; constant exponents that are multiples of a half and constant bases become simpler operations."""
    value = node.wrapped(_power(node), node.element(0))
    return node.truncated(value) if node.is_integer() and not node.is_integer(1) else value


def _power(node: Node) -> SSAValue:
    shape = node.shape(0)
    if node.is_constant(0) and (node.array(0, "base") > 0).all() and not node.is_integer():
        return _exponential(node)
    exponents = node.array(1, "exponent") if node.is_constant(1) else np.zeros(0)
    same = exponents.size > 0 and bool((exponents == exponents.flat[0]).all())
    if not same or np.broadcast_shapes(shape, exponents.shape) != shape:
        return node.binary("pow", node.value(0), node.value(1))
    exponent = float(exponents.flat[0])
    whole, half = divmod(abs(exponent), 1.0)
    value = node.value(0)
    if half not in (0.0, 0.5) or whole > _MAX_POWER:
        return node.binary("pow", value, node.value(1))
    if exponent == -0.5:
        return node.unary("rsqrt", value)
    if exponent == 0:
        return node.constant(np.ones(shape, np.float32))
    result = _whole_power(node, value, int(whole))
    if half:
        root = node.unary("sqrt", value)
        result = root if result is None else node.binary("mul", result, root)
    assert result is not None
    return result if exponent > 0 else node.rbinary("div", 1.0, result)


def _whole_power(node: Node, value: SSAValue, exponent: int) -> SSAValue | None:
    """x ** exponent by repeated squaring; None for exponent 0."""
    result: SSAValue | None = None
    while exponent:
        if exponent & 1:
            result = value if result is None else node.binary("mul", result, value)
        exponent >>= 1
        if exponent:
            value = node.unary("square", value)
    return result


def _exponential(node: Node) -> SSAValue:
    base = node.array(0, "base").astype(np.float64)
    return node.unary("exp", node.binary("mul", node.value(1), np.log(base)))


def _axes(node: Node) -> list[int] | None:
    """The axes a reduction goes over; None where it does nothing (noop_with_empty_axes)."""
    rank = len(node.shape(0))
    axes = node.optional_ints(1, "axes")
    if axes:
        return node.axes(axes, rank)
    return None if node.integer("noop_with_empty_axes", 0) else list(range(rank))


def _reduction(
    kind: str,
    before: Callable[[Node, SSAValue], SSAValue] | None = None,
    after: Callable[[Node, SSAValue], SSAValue] | None = None,
) -> Converter:
    def convert(node: Node) -> SSAValue:
        value, axes = node.value(0), _axes(node)
        value = before(node, value) if before else value
        value = node.reduce(kind, value, axes or [], bool(node.integer("keepdims", 1)))
        if node.is_integer():
            value = node.truncated(value) if kind == "mean" else node.wrapped(value, node.element(0))
        return after(node, value) if after else value

    return documented(convert, f"The reduction {kind}, with functions in front or behind; axes are constant.")


def reduce_log_sum_exp(node: Node) -> SSAValue:
    """ReduceLogSumExp, with the maximum taken out so that the exponential cannot overflow."""
    value, axes = node.value(0), _axes(node)
    if axes is None:
        return value
    largest = node.reduce("max", value, axes)
    total = node.reduce("sum", node.unary("exp", node.binary("sub", value, largest)), axes)
    result = node.binary("add", node.unary("log", total), largest)
    shape = [size for axis, size in enumerate(node.shape(0)) if axis not in axes]
    return result if node.integer("keepdims", 1) else node.reshape(result, shape)


def _apply(kind: str) -> Callable[[Node, SSAValue], SSAValue]:
    return lambda node, value: node.unary(kind, value)


TABLE: Table = {
    **{
        name: _unary(kind)
        for name, kind in {
            "Abs": "abs",
            "Ceil": "ceil",
            "Exp": "exp",
            "Floor": "floor",
            "Log": "log",
            "Neg": "neg",
            "Round": "round",
            "Sqrt": "sqrt",
            "Sin": "sin",
            "Cos": "cos",
            "Tanh": "tanh",
            "Erf": "erf",
            "Sign": "sign",
            "Tan": "tan",
            "Asin": "asin",
            "Acos": "acos",
            "Atan": "atan",
            "Sinh": "sinh",
            "Cosh": "cosh",
            "Asinh": "asinh",
            "Acosh": "acosh",
            "Atanh": "atanh",
        }.items()
    },
    **{name: _binary(kind) for name, kind in {"Add": "add", "Sub": "sub", "Mul": "mul"}.items()},
    "Div": divide,
    "Mod": modulo,
    **{name: _variadic(kind) for name, kind in {"Sum": "add", "Min": "min", "Max": "max"}.items()},
    "Mean": mean,
    "Reciprocal": reciprocal,
    "Pow": power,
    "ReduceMean": _reduction("mean"),
    "ReduceMax": _reduction("max"),
    "ReduceMin": _reduction("min"),
    "ReduceSum": _reduction("sum"),
    "ReduceProd": _reduction("prod"),
    "ReduceL1": _reduction("sum", before=_apply("abs")),
    "ReduceL2": _reduction("sum", before=_apply("square"), after=_apply("sqrt")),
    "ReduceSumSquare": _reduction("sum", before=_apply("square")),
    "ReduceLogSum": _reduction("sum", after=_apply("log")),
    "ReduceLogSumExp": reduce_log_sum_exp,
}
