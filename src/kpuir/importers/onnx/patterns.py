"""Functions that exporters spell out as several nodes, recognized and replaced by the one node ONNX has for them.

`x * sigmoid(x)` is Swish, `x * hard_sigmoid(x)` and `x * clip(x + 3, 0, 6) / 6` are HardSwish, `x * tanh(softplus(x))`
is Mish, and `x * (1 + erf(x / sqrt(2))) / 2` is Gelu, whose tanh approximation is recognized too. Factors may come in
any order and constants may be multiplied or divided, anywhere in the product.

DynamicQuantizeLinear whose codes go into integer products only, as onnxruntime's `quantize_dynamic` writes it, is
marked as one that need not round.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx.helper
from numpy.typing import NDArray
from onnx import NodeProto

from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.graph import captured, to_array

DOMAIN = "kpuir"
"""Domain of the nodes put in: they follow the newest opset, whatever the model's own is."""
OPSET = 10_000

_DEPTH = 4
_ROOTS = frozenset({"Mul", "Div"})
_WORTH_A_LOOK = frozenset({"Sigmoid", "HardSigmoid", "Clip", "Tanh", "Erf"})
_OPERANDS = {("ConvInteger", 0), ("MatMulInteger", 0), ("MatMulInteger", 1)}
_ZERO_POINTS = {("ConvInteger", 2), ("MatMulInteger", 2), ("MatMulInteger", 3)}


def recognize(
    nodes: Sequence[NodeProto], constants: Mapping[str, NDArray[Any]], outputs: Sequence[str]
) -> list[NodeProto]:
    """The nodes with the last one of every recognized function replaced; what only fed it is then not needed."""
    nodes = _unrounded(nodes, outputs)
    if _WORTH_A_LOOK.isdisjoint(node.op_type for node in nodes):
        return list(nodes)
    matcher = _Matcher(nodes, constants)
    return [matcher.replacement(node) or node if node.op_type in _ROOTS else node for node in nodes]


def _unrounded(nodes: Sequence[NodeProto], outputs: Sequence[str]) -> Sequence[NodeProto]:
    """The nodes with DynamicQuantizeLinear marked where what it does is undone behind products by a Mul."""
    if all(node.op_type != "DynamicQuantizeLinear" for node in nodes):
        return nodes
    readers: dict[str, set[tuple[str, int]]] = {name: {("output", 0)} for name in outputs}
    for node in nodes:
        for index, name in enumerate(captured(node)):
            readers.setdefault(name, set()).add((node.op_type, index))
    return [_marked(node) if _in_front_of_products(node, readers) else node for node in nodes]


def _in_front_of_products(node: NodeProto, readers: Mapping[str, set[tuple[str, int]]]) -> bool:
    if node.op_type != "DynamicQuantizeLinear" or len(node.output) != 3:
        return False
    codes, scale, zero_point = (readers.get(name, set[tuple[str, int]]()) for name in node.output)
    return codes <= _OPERANDS and zero_point <= _ZERO_POINTS and {op_type for op_type, _ in scale} == {"Mul"}


def _marked(node: NodeProto) -> NodeProto:
    marked = NodeProto()
    marked.CopyFrom(node)
    marked.attribute.append(onnx.helper.make_attribute("unrounded", 1))
    return marked


class _Matcher:
    """Who computes what, and which values are known numbers."""

    def __init__(self, nodes: Sequence[NodeProto], constants: Mapping[str, NDArray[Any]]) -> None:
        self.producers = {name: node for node in nodes for name in node.output if name}
        self.constants = constants

    def replacement(self, root: NodeProto) -> NodeProto | None:
        """The node that computes what the product `root` does, None where it is no known function."""
        for coefficient, factors in self.products(root.output[0], _DEPTH):
            if len(factors) != 2:
                continue
            for x, other in (factors, factors[::-1]):
                found = self._function(coefficient, x, other)
                if found is not None:
                    op_type, attributes = found
                    name = root.name or root.output[0]
                    return onnx.helper.make_node(op_type, [x], [root.output[0]], name, domain=DOMAIN, **attributes)
        return None

    def products(self, name: str, depth: int) -> Iterator[tuple[float, tuple[str, ...]]]:
        """Every way to see a value as `coefficient * factor * ...`, from the value itself to its smallest parts."""
        value = self.number(name)
        if value is not None:
            yield value, ()
            return
        yield 1.0, (name,)
        node = self.producers.get(name)
        if node is None or depth == 0 or len(node.input) != 2:
            return
        if node.op_type == "Div":
            divisor = self.number(node.input[1])
            if divisor:
                for coefficient, factors in self.products(node.input[0], depth - 1):
                    yield coefficient / divisor, factors
        if node.op_type == "Mul":
            for left, first in self.products(node.input[0], depth - 1):
                for right, second in self.products(node.input[1], depth - 1):
                    yield left * right, first + second

    def number(self, name: str) -> float | None:
        """The value of a constant of one element."""
        array = self.constants.get(name)
        node = self.producers.get(name)
        if array is None and node is not None and node.op_type == "Constant":
            array = _constant_value(node)
        if array is None or array.size != 1 or array.dtype.kind not in "fiuV":
            return None
        return float(array.reshape(-1)[0])

    def _function(self, coefficient: float, x: str, other: str) -> tuple[str, dict[str, Any]] | None:
        node = self.producers.get(other)
        if node is None:
            return None
        if node.op_type == "Sigmoid" and node.input[0] == x and _close(coefficient, 1):
            return "Swish", {}
        if node.op_type == "HardSigmoid" and node.input[0] == x and _close(coefficient, 1):
            slope, offset = _float(node, "alpha", 0.2), _float(node, "beta", 0.5)
            return ("HardSwish", {}) if _close(slope, 1 / 6) and _close(offset, 0.5) else None
        if node.op_type == "Clip" and _close(coefficient, 1 / 6) and self._is_relu6_of_x_plus_3(node, x):
            return "HardSwish", {}
        if node.op_type == "Tanh" and _close(coefficient, 1) and self._is("Softplus", node.input[0], x):
            return "Mish", {}
        if node.op_type == "Add" and _close(coefficient, 0.5):
            return self._gelu(node, x)
        return None

    def _gelu(self, node: NodeProto, x: str) -> tuple[str, dict[str, Any]] | None:
        inner = self.producers.get(self._other_term(node, 1.0) or "")
        if inner is None:
            return None
        products = self.products(inner.input[0], _DEPTH)
        if inner.op_type == "Erf" and any(_close(c, math.sqrt(0.5)) and f == (x,) for c, f in products):
            return "Gelu", {}
        if inner.op_type == "Tanh" and any(
            _close(c, math.sqrt(2 / math.pi)) and len(f) == 1 and self._is_cubic(f[0], x) for c, f in products
        ):
            return "Gelu", {"approximate": "tanh"}
        return None

    def _is_cubic(self, name: str, x: str) -> bool:
        """Whether a value is x + 0.044715 x^3."""
        node = self.producers.get(name)
        if node is None or node.op_type != "Add" or x not in node.input:
            return False
        other = node.input[1] if node.input[0] == x else node.input[0]
        return any(_close(c, 0.044715) and self._is_cube(f, x) for c, f in self.products(other, _DEPTH))

    def _is_cube(self, factors: tuple[str, ...], x: str) -> bool:
        if factors == (x, x, x):
            return True
        power = self.producers.get(factors[0]) if len(factors) == 1 else None
        return (
            power is not None and power.op_type == "Pow" and power.input[0] == x and self.number(power.input[1]) == 3.0
        )

    def _is_relu6_of_x_plus_3(self, node: NodeProto, x: str) -> bool:
        bounds = [_float(node, "min", math.nan), _float(node, "max", math.nan)]
        for index, name in enumerate(node.input[1:3]):
            bound = self.number(name)
            bounds[index] = math.nan if bound is None else bound
        shifted = self.producers.get(node.input[0])
        return bounds == [0.0, 6.0] and shifted is not None and self._other_term(shifted, 3.0) == x

    def _other_term(self, node: NodeProto, constant: float) -> str | None:
        """`y` where the node computes `y + constant`."""
        if node.op_type != "Add":
            return None
        for y, c in (node.input, node.input[::-1]):
            if self.number(c) == constant:
                return y
        return None

    def _is(self, op_type: str, name: str, x: str) -> bool:
        node = self.producers.get(name)
        return node is not None and node.op_type == op_type and node.input[0] == x


def _close(value: float, expected: float) -> bool:
    # constants of float16 models have three digits
    return abs(value - expected) <= 1e-3 * expected


def _float(node: NodeProto, name: str, default: float) -> float:
    return next((attribute.f for attribute in node.attribute if attribute.name == name), default)


def _constant_value(node: NodeProto) -> "NDArray[Any] | None":
    for attribute in node.attribute:
        if attribute.name == "value":
            try:
                return to_array(attribute.t, node.name)
            except InvalidInputError:
                return None
        if attribute.name == "value_float":
            return np.asarray(attribute.f)
        if attribute.name == "value_int":
            return np.asarray(attribute.i)
    return None
