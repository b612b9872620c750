"""Activation functions and softmax."""

import math

import numpy as np
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.node import Converter, Node, Table, documented

_SELU_ALPHA = 1.67326319217681884765625
_SELU_GAMMA = 1.05070102214813232421875


def _plain(kind: str) -> Converter:
    return documented(lambda node: node.activation(node.value(0), kind), f"The function {kind}.")


def leaky_relu(node: Node) -> SSAValue:
    """LeakyRelu."""
    return node.activation(node.value(0), "leaky_relu", node.real("alpha", 0.01))


def prelu(node: Node) -> SSAValue:
    """PRelu; with one slope for all elements it is a LeakyRelu."""
    shape = node.shape(0)
    if np.broadcast_shapes(shape, node.shape(1)) != shape:
        raise InvalidInputError(
            f"PRelu slope {list(node.shape(1))} does not broadcast to {list(shape)}", location=node.layer
        )
    if node.is_constant(1):
        slopes = node.array(1, "slope")
        if slopes.size == 1 and np.isfinite(slopes).all():
            return node.activation(node.value(0), "leaky_relu", float(slopes.flat[0]))
    return node.emit(ktensor.PReluOp(node.value(0), node.value(1)))


def hard_sigmoid(node: Node) -> SSAValue:
    """HardSigmoid."""
    return node.activation(node.value(0), "hard_sigmoid", node.real("alpha", 0.2), node.real("beta", 0.5))


def swish(node: Node) -> SSAValue:
    """Swish: x * sigmoid(alpha * x)."""
    value, alpha = node.value(0), node.real("alpha", 1.0)
    if alpha == 1.0:
        return node.activation(value, "swish")
    return node.binary("mul", value, node.activation(node.binary("mul", value, alpha), "sigmoid"))


def elu(node: Node) -> SSAValue:
    """Elu."""
    return node.activation(node.value(0), "elu", node.real("alpha", 1.0))


def selu(node: Node) -> SSAValue:
    """Selu: gamma * elu(x, alpha)."""
    value = node.activation(node.value(0), "elu", node.real("alpha", _SELU_ALPHA))
    return node.binary("mul", value, node.real("gamma", _SELU_GAMMA))


def celu(node: Node) -> SSAValue:
    """Celu: max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0) is alpha * elu(x / alpha, 1)."""
    alpha = node.real("alpha", 1.0)
    if alpha == 1.0:
        return node.activation(node.value(0), "elu", 1.0)
    if alpha <= 0:
        node.refuse(f"alpha = {alpha:g}", "alpha > 0")
    return node.binary("mul", node.activation(node.binary("div", node.value(0), alpha), "elu", 1.0), alpha)


def gelu(node: Node) -> SSAValue:
    """Gelu, exact or in its tanh approximation."""
    approximate = node.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise InvalidInputError(f"Gelu approximate is {approximate!r}", location=node.layer)
    return node.activation(node.value(0), "gelu" if approximate == "none" else "gelu_tanh")


def softsign(node: Node) -> SSAValue:
    """Softsign: x / (1 + |x|)."""
    value = node.value(0)
    return node.binary("div", value, node.binary("add", node.unary("abs", value), 1.0))


def clip(node: Node) -> SSAValue:
    """Clip, its bounds attributes (opset 6) or inputs (opset 11); one that is computed makes min and max ops."""
    value = node.value(0)
    if any(node.has(index) and not node.is_constant(index) for index in (1, 2)):
        value = node.binary("max", value, node.value(1)) if node.has(1) else value
        return node.binary("min", value, node.value(2)) if node.has(2) else value
    low, high = _bound(node, 1, "min", -math.inf), _bound(node, 2, "max", math.inf)
    if math.isnan(low) or math.isnan(high):
        raise InvalidInputError(f"Clip bounds are {low} and {high}", location=node.layer)
    low = min(low, high)  # every value becomes the upper bound then
    if (low, high) == (-math.inf, math.inf):
        return value
    if (low, high) == (0.0, math.inf):
        return node.activation(value, "relu")
    if (low, high) == (0.0, 6.0):
        return node.activation(value, "relu6")
    return node.activation(value, "clamp", low, high)


def _bound(node: Node, index: int, name: str, default: float) -> float:
    bound = node.scalar(index, name) if node.has(index) else node.number(name, default)
    # exporters write the largest float for a bound that is none
    return default if abs(bound) >= float(np.finfo(np.float32).max) else bound


def softmax(node: Node) -> SSAValue:
    """Softmax; before opset 13 it goes over all axes from `axis` on at once."""
    value, axis = _softmax_operand(node)
    result = node.emit(ktensor.SoftmaxOp(value, axis))
    return node.reshape(result, node.shape(0))


def log_softmax(node: Node) -> SSAValue:
    """LogSoftmax: x - max - log(sum(exp(x - max))), which keeps the precision of very unlikely classes."""
    value, axis = _softmax_operand(node)
    shifted = node.binary("sub", value, node.reduce("max", value, [axis]))
    total = node.reduce("sum", node.unary("exp", shifted), [axis])
    return node.reshape(node.binary("sub", shifted, node.unary("log", total)), node.shape(0))


def _softmax_operand(node: Node) -> tuple[SSAValue, int]:
    """The value and the one axis that a softmax goes over, flattened where opset < 13 says so."""
    shape = node.shape(0)
    rank = len(shape)
    if not rank:
        raise InvalidInputError(f"{node.op_type} of a scalar", location=node.layer)
    if node.opset >= 13:
        return node.value(0), node.axis(node.integer("axis", -1), rank)
    axis = node.integer("axis", 1)
    axis = 1 if axis == 1 == rank else node.axis(axis, rank)
    wide = [index for index in range(axis, rank) if shape[index] > 1]
    if len(wide) <= 1 and axis < rank:
        return node.value(0), wide[0] if wide else axis
    flat = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    return node.reshape(node.value(0), flat), 1


TABLE: Table = {
    "Relu": _plain("relu"),
    "LeakyRelu": leaky_relu,
    "PRelu": prelu,
    "Sigmoid": _plain("sigmoid"),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": _plain("hard_swish"),
    "Swish": swish,
    "Elu": elu,
    "Selu": selu,
    "Celu": celu,
    "Gelu": gelu,
    "Mish": _plain("mish"),
    "Softplus": _plain("softplus"),
    "Softsign": softsign,
    "Clip": clip,
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
}
