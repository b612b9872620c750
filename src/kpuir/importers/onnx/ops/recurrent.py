"""RNN, GRU and LSTM, unrolled (`importers.recurrence`): steps as products with R and functions of their sums."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.emitter import MAX_COPIES
from kpuir.importers.onnx.node import Converter, Node, Table, documented
from kpuir.importers.recurrence import State, Step, unrolled

_Function = Callable[[SSAValue], SSAValue]
_PARAMETERS: dict[str, tuple[str, tuple[float, ...]]] = {
    "Sigmoid": ("sigmoid", ()),
    "Tanh": ("tanh", ()),
    "Relu": ("relu", ()),
    "LeakyRelu": ("leaky_relu", (0.01,)),
    "HardSigmoid": ("hard_sigmoid", (0.2, 0.5)),
    "Elu": ("elu", (1.0,)),
    "Softplus": ("softplus", ()),
}
"""Activations by their names in ONNX: ours, and the values of their parameters unless given."""


@dataclass(frozen=True)
class _Cell:
    """One direction of a layer: its weights, and the functions of its gates."""

    node: Node
    direction: int
    hidden: int
    functions: Sequence[_Function]

    def part(self, index: int) -> SSAValue:
        """This direction's part of an input [directions, ...]."""
        node = self.node
        if node.is_constant(index):
            return node.constant(node.array(index, "weights")[self.direction], f"{node.input_names[index]}")
        cut = node.cut(node.value(index), 0, self.direction, self.direction + 1)
        return node.reshape(cut, node.shape(index)[1:])

    def matrix(self, index: int) -> SSAValue:
        """The weights transposed, [inputs, gates * hidden]."""
        node = self.node
        if node.is_constant(index):
            weights = node.array(index, "weights")[self.direction]
            return node.constant(np.ascontiguousarray(weights.T), node.input_names[index])
        return node.transpose(self.part(index), (1, 0))

    def row(self, index: int, first: int, count: int) -> SSAValue:
        """Elements of a vector of this direction, as a row [1, count * hidden]."""
        cut = self.node.cut(self.part(index), 0, first * self.hidden, (first + count) * self.hidden)
        return self.node.reshape(cut, (1, count * self.hidden))

    def gate(self, sums: SSAValue, number: int, count: int = 1) -> SSAValue:
        """Columns of one gate (or of some)."""
        return self.node.cut(sums, 1, number * self.hidden, (number + count) * self.hidden)

    def add(self, *values: SSAValue) -> SSAValue:
        """Their sum."""
        total = values[0]
        for value in values[1:]:
            total = self.node.binary("add", total, value)
        return total

    def mul(self, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        """Their product."""
        return self.node.binary("mul", lhs, rhs)

    def without(self, gate: SSAValue) -> SSAValue:
        """1 - gate."""
        return self.node.activation(gate, "rsub", 1.0)

    def product(self, value: SSAValue, weights: SSAValue) -> SSAValue:
        """A matrix product."""
        return self.node.emit(ktensor.MatmulOp(value, weights))


def _rnn(cell: _Cell) -> Step:
    recurrent = cell.matrix(2)
    bias = (cell.row(3, 1, 1),) if cell.node.has(3) else ()

    def step(projected: SSAValue, state: State) -> State:
        return (cell.functions[0](cell.add(projected, cell.product(state[0], recurrent), *bias)),)

    return step


def _gru(cell: _Cell) -> Step:
    """Gates z, r and h; `linear_before_reset` multiplies r with the product instead of the state."""
    node, hidden = cell.node, cell.hidden
    recurrent = cell.matrix(2)
    gates = node.cut(recurrent, 1, 0, 2 * hidden)
    candidate = node.cut(recurrent, 1, 2 * hidden, 3 * hidden)
    bias = (cell.row(3, 3, 2),) if node.has(3) else ()
    last_bias = (cell.row(3, 5, 1),) if node.has(3) else ()
    linear = node.integer("linear_before_reset", 0)

    def step(projected: SSAValue, state: State) -> State:
        (h,) = state
        both = cell.functions[0](cell.add(cell.gate(projected, 0, 2), cell.product(h, gates), *bias))
        z, r = cell.gate(both, 0), cell.gate(both, 1)
        if linear:
            inner = cell.mul(r, cell.add(cell.product(h, candidate), *last_bias))
        else:
            inner = cell.add(cell.product(cell.mul(r, h), candidate), *last_bias)
        new = cell.functions[1](cell.add(cell.gate(projected, 2), inner))
        return (cell.add(cell.mul(cell.without(z), new), cell.mul(z, h)),)

    return step


def _lstm(cell: _Cell) -> Step:
    """Gates i, o, f and c; peepholes P are of i, o and f."""
    node = cell.node
    recurrent = cell.matrix(2)
    bias = (cell.row(3, 4, 4),) if node.has(3) else ()
    peepholes = [cell.row(7, number, 1) for number in range(3)] if node.has(7) else []
    forget = node.integer("input_forget", 0)

    def peeped(gate: SSAValue, number: int, c: SSAValue) -> SSAValue:
        return cell.add(gate, cell.mul(peepholes[number], c)) if peepholes else gate

    def step(projected: SSAValue, state: State) -> State:
        h, c = state
        f, g, last = cell.functions
        sums = cell.add(projected, cell.product(h, recurrent), *bias)
        i = f(peeped(cell.gate(sums, 0), 0, c))
        kept = cell.without(i) if forget else f(peeped(cell.gate(sums, 2), 2, c))
        c = cell.add(cell.mul(kept, c), cell.mul(i, g(cell.gate(sums, 3))))
        o = f(peeped(cell.gate(sums, 1), 1, c))
        return cell.mul(o, last(c)), c

    return step


def _layer(gates: int, states: int, functions: Sequence[str], make: Callable[[_Cell], Step]) -> Converter:
    """The converter of one kind of layer: its gates, states and default functions, and what a step does."""

    def convert(node: Node) -> Sequence[SSAValue]:
        batch_first = bool(node.integer("layout", 0))
        direction = node.text("direction", "forward")
        if direction not in ("forward", "reverse", "bidirectional"):
            raise InvalidInputError(f"{node.op_type} direction is {direction!r}", location=node.layer)
        x = node.transpose(node.value(0), (1, 0, 2) if batch_first else (0, 1, 2))
        steps, batch, _ = ktensor.shape_of(x)
        hidden = node.shape(2)[2]
        ways = [direction == "reverse"] if direction != "bidirectional" else [False, True]
        masks = _masks(node, steps, batch, any(ways))
        outputs: list[SSAValue] = []
        finals: list[State] = []
        for index, backwards in enumerate(ways):
            cell = _Cell(node, index, hidden, _functions(node, functions, index))
            state = tuple(_initial(cell, 5 + number, batch, batch_first) for number in range(states))
            bias = node.reshape(cell.row(3, 0, gates), (gates * hidden,)) if node.has(3) else None
            rows, state = unrolled(node, x, cell.matrix(1), bias, make(cell), state, backwards=backwards, masks=masks)
            outputs.append(node.reshape(rows, (steps, 1, batch, hidden)))
            finals.append(state)
        y = node.concat(outputs, 1)
        y = node.transpose(y, (2, 0, 1, 3) if batch_first else (0, 1, 2, 3))
        last = [
            node.concat([node.reshape(state[number], (1, batch, hidden)) for state in finals], 0)
            for number in range(states)
        ]
        return [y, *(node.transpose(one, (1, 0, 2) if batch_first else (0, 1, 2)) for one in last)]

    return documented(convert, f"Unrolled, up to {MAX_COPIES} steps; sequences that end early only forwards.")


def _masks(node: Node, steps: int, batch: int, backwards: bool) -> list[SSAValue] | None:
    """For each step 1 where a sequence still goes on, [batch, 1]; None where all are as long as they can be."""
    if not node.has(4):
        return None
    if node.is_constant(4) and (node.array(4, "sequence_lens") >= steps).all():
        return None
    if backwards:
        node.refuse("a reversed sequence of another length than its input", "sequences of full length")
    lengths = node.reshape(node.value(4), (batch, 1))
    return [node.binary("greater", lengths, float(time)) for time in range(steps)]


def _initial(cell: _Cell, index: int, batch: int, batch_first: bool) -> SSAValue:
    node = cell.node
    if not node.has(index):
        return node.constant(np.zeros((batch, cell.hidden), np.float32))
    value = node.transpose(node.value(index), (1, 0, 2) if batch_first else (0, 1, 2))
    return node.reshape(node.cut(value, 0, cell.direction, cell.direction + 1), (batch, cell.hidden))


def _functions(node: Node, defaults: Sequence[str], direction: int) -> list[_Function]:
    """The functions of one direction; `clip` limits what they are given."""
    count = len(defaults)
    names = node.texts("activations")
    chosen = names[direction * count : (direction + 1) * count] or list(defaults)
    alphas = node.reals("activation_alpha") if node.has_attribute("activation_alpha") else []
    betas = node.reals("activation_beta") if node.has_attribute("activation_beta") else []
    clip = node.real("clip", 0.0)
    found: list[_Function] = []
    for position, name in enumerate(chosen):
        if name not in _PARAMETERS:
            node.refuse(f"the activation {name}", ", ".join(_PARAMETERS))
        kind, values = _PARAMETERS[name]
        place = direction * count + position
        given = [row[place] for row in (alphas, betas) if place < len(row)]
        values = (*given, *values[len(given) :])[: len(values)]
        found.append(_limited(node, kind, values, clip))
    return found


def _limited(node: Node, kind: str, values: Sequence[float], clip: float) -> _Function:
    def function(value: SSAValue) -> SSAValue:
        value = node.activation(value, "clamp", -clip, clip) if clip > 0 else value
        return node.activation(value, kind, *values)

    return function


TABLE: Table = {
    "RNN": _layer(1, 1, ["Tanh"], _rnn),
    "GRU": _layer(3, 1, ["Sigmoid", "Tanh"], _gru),
    "LSTM": _layer(4, 2, ["Sigmoid", "Tanh", "Tanh"], _lstm),
}
