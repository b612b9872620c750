"""Recurrent layers, unrolled (`importers.recurrence`). States start at 0, as at LiteRT's first run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.importers.recurrence import State, unrolled
from kpuir.importers.tflite.layer import Handler, Layer, shape_of
from kpuir.importers.tflite.ops.common import activated

Array = NDArray[np.float32]
_LAYER_NORM_EPSILON = 1e-8
"""What TFLite adds to the variance of a gate."""


@dataclass(frozen=True)
class _Lstm:
    """One direction of an LSTM: the positions of its weights, its two states and its layer normalization."""

    layer: Layer
    first: int
    states: int
    norms: int | None
    activation: int
    cell_clip: float
    projection_clip: float

    def has(self, offset: int) -> bool:
        return self.layer.has(self.first + offset)

    def weights(self, offset: int) -> Array:
        found = self.layer.weights(self.first + offset)
        if found is None:
            self.layer.refuse("its weights are computed by the model", "constant ones")
        return found

    def gates(self) -> list[int]:
        """Input (where it is not 1 - forget), forget, cell, output."""
        return [0, 1, 2, 3] if self.has(0) else [1, 2, 3]

    def run(self, x: SSAValue, backwards: bool = False) -> SSAValue:
        """The outputs [steps, batch, outputs] of a sequence [steps, batch, inputs]."""
        layer, gates = self.layer, self.gates()
        batch, units = shape_of(x)[1], self.weights(1).shape[0]
        kernel = np.concatenate([self.weights(gate) for gate in gates])
        recurrent = layer.constant(np.concatenate([self.weights(4 + gate) for gate in gates]).T.copy())
        bias = None
        if self.norms is None:
            bias = layer.constant(np.concatenate([self.weights(11 + gate) for gate in gates]))

        def step(projected: SSAValue, state: State) -> State:
            h, c = state
            sums = layer.binary("add", projected, layer.emit(ktensor.MatmulOp(h, recurrent)))
            return self.step(sums, c, gates, units)

        zeros = [layer.constant(np.zeros((batch, size))) for size in (shape_of(recurrent)[0], units)]
        return unrolled(layer, x, layer.constant(kernel.T.copy()), bias, step, tuple(zeros), backwards=backwards)[0]

    def step(self, sums: SSAValue, c: SSAValue, gates: Sequence[int], units: int) -> tuple[SSAValue, SSAValue]:
        """The next output and cell state."""
        layer = self.layer
        parts = {gate: layer.cut(sums, 1, i * units, (i + 1) * units) for i, gate in enumerate(gates)}
        forget = layer.activation(self.gate(parts[1], 1, c), "sigmoid")
        if 0 in parts:
            entering = layer.activation(self.gate(parts[0], 0, c), "sigmoid")
        else:
            entering = layer.activation(forget, "rsub", 1.0)
        new = activated(layer, self.gate(parts[2], 2, None), self.activation)
        c = layer.binary("add", layer.binary("mul", forget, c), layer.binary("mul", entering, new))
        c = self.clipped(c, self.cell_clip)
        leaving = layer.activation(self.gate(parts[3], 3, c), "sigmoid")
        h = layer.binary("mul", leaving, activated(layer, c, self.activation))
        if self.has(15):
            bias = layer.constant(self.weights(16)) if self.has(16) else None
            h = layer.emit(ktensor.MatmulOp(h, layer.constant(self.weights(15).T.copy()), bias))
            h = self.clipped(h, self.projection_clip)
        return self.stored(h, 0), self.stored(c, 1)

    def stored(self, value: SSAValue, number: int) -> SSAValue:
        """A state as it is handed on: of int8 layers rounded."""
        tensor = self.layer.tensor(self.states + number)
        return value if tensor is None else self.layer.rounded(value, tensor)

    def gate(self, value: SSAValue, gate: int, c: SSAValue | None) -> SSAValue:
        """A gate's sum with its peephole, normalized where the layer does that."""
        layer = self.layer
        peephole = {0: 8, 1: 9, 3: 10}.get(gate)
        if c is not None and peephole is not None and self.has(peephole):
            value = layer.binary("add", value, layer.binary("mul", c, layer.constant(self.weights(peephole))))
        if self.norms is None:
            return value
        centred = layer.binary("sub", value, layer.reduce("mean", value, [1]))
        variance = layer.reduce("mean", layer.unary("square", centred), [1])
        factor = layer.unary("rsqrt", layer.binary("add", variance, _LAYER_NORM_EPSILON))
        scale = cast("Array", layer.weights(self.norms + gate))
        normal = layer.binary("mul", layer.binary("mul", centred, factor), scale)
        return layer.binary("add", normal, layer.constant(self.weights(11 + gate)))

    def clipped(self, value: SSAValue, limit: float) -> SSAValue:
        return self.layer.activation(value, "clamp", -limit, limit) if limit > 0 else value


def unidirectional_sequence_lstm(layer: Layer) -> SSAValue:
    """UNIDIRECTIONAL_SEQUENCE_LSTM, also with coupled gates, peepholes, projection and layer normalization."""
    if layer.option("DiagonalRecurrentTensors", False):
        layer.refuse("its recurrent weights are diagonals", "matrices")
    swap = (0, 1, 2) if layer.option("TimeMajor", False) else (1, 0, 2)
    return layer.transpose(_lstm(layer, 1, 18, 20).run(layer.transpose(layer.value(0), swap)), swap)


def lstm(layer: Layer) -> SSAValue:
    """LSTM with its full kernel: one step from the state 0."""
    if layer.option("KernelType", 0):
        layer.refuse("its basic kernel", "the full kernel, or UNIDIRECTIONAL_SEQUENCE_LSTM")
    value = layer.value(0)
    output = _lstm(layer, 1, 18, 20).run(layer.reshape(value, (1, *shape_of(value))))
    return layer.reshape(output, shape_of(output)[1:])


def bidirectional_sequence_lstm(layer: Layer) -> list[SSAValue]:
    """BIDIRECTIONAL_SEQUENCE_LSTM without auxiliary inputs."""
    _refuse_auxiliary(layer, range(39, 48))
    swap = (0, 1, 2) if layer.option("TimeMajor", True) else (1, 0, 2)
    x = layer.transpose(layer.value(0), swap)
    return _both(layer, [_lstm(layer, 1, 35, None).run(x), _lstm(layer, 18, 37, None).run(x, backwards=True)], swap)


def _lstm(layer: Layer, first: int, states: int, norms: int | None) -> _Lstm:
    clips = [max(float(layer.option(name, 0.0)), 0.0) for name in ("CellClip", "ProjClip")]
    has_norms = norms is not None and layer.has(norms + 1)
    function = int(layer.option("FusedActivationFunction"))
    return _Lstm(layer, first, states, norms if has_norms else None, function, *clips)


def unidirectional_sequence_rnn(layer: Layer) -> SSAValue:
    """UNIDIRECTIONAL_SEQUENCE_RNN(input, weights, recurrent weights, bias)."""
    swap = (0, 1, 2) if layer.option("TimeMajor", False) else (1, 0, 2)
    return layer.transpose(_rnn(layer, layer.transpose(layer.value(0), swap), 1), swap)


def bidirectional_sequence_rnn(layer: Layer) -> list[SSAValue]:
    """BIDIRECTIONAL_SEQUENCE_RNN without auxiliary inputs."""
    _refuse_auxiliary(layer, range(9, 12))
    swap = (0, 1, 2) if layer.option("TimeMajor", True) else (1, 0, 2)
    x = layer.transpose(layer.value(0), swap)
    return _both(layer, [_rnn(layer, x, 1), _rnn(layer, x, 5, backwards=True)], swap)


def rnn(layer: Layer) -> SSAValue:
    """RNN: one step from the state 0."""
    value = layer.value(0)
    output = _rnn(layer, layer.reshape(value, (1, *shape_of(value))), 1)
    return layer.reshape(output, shape_of(output)[1:])


def _rnn(layer: Layer, x: SSAValue, first: int, backwards: bool = False) -> SSAValue:
    kernel, recurrent = layer.weights(first), layer.weights(first + 1)
    if kernel is None or recurrent is None:
        layer.refuse("its weights are computed by the model", "constant ones")
    code, weights = int(layer.option("FusedActivationFunction")), layer.constant(recurrent.T.copy())

    def step(projected: SSAValue, state: State) -> State:
        total = layer.binary("add", projected, layer.emit(ktensor.MatmulOp(state[0], weights)))
        return (activated(layer, total, code),)

    zero = (layer.constant(np.zeros((shape_of(x)[1], kernel.shape[0]))),)
    inputs, bias = layer.constant(kernel.T.copy()), layer.value(first + 2)
    return unrolled(layer, x, inputs, bias, step, zero, backwards=backwards)[0]


def _refuse_auxiliary(layer: Layer, positions: range) -> None:
    if any(layer.has(position) for position in positions):
        layer.refuse("it has auxiliary inputs", "a layer without")


def _both(layer: Layer, ways: list[SSAValue], swap: tuple[int, int, int]) -> list[SSAValue]:
    """Both directions' outputs, joined or not."""
    if layer.option("MergeOutputs", False):
        return [layer.transpose(layer.concat(ways, 2), swap)]
    return [layer.transpose(way, swap) for way in ways]


OPS: Mapping[str, Handler] = {
    "BIDIRECTIONAL_SEQUENCE_LSTM": bidirectional_sequence_lstm,
    "BIDIRECTIONAL_SEQUENCE_RNN": bidirectional_sequence_rnn,
    "LSTM": lstm,
    "RNN": rnn,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": unidirectional_sequence_lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": unidirectional_sequence_rnn,
}
