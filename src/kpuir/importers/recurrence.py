"""Recurrent layers, unrolled: a step of the sequence after the other.

All steps' products with the weights of the inputs are one product; a step adds that of the last state.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.importers.emitter import MAX_COPIES, Emitter

State: TypeAlias = tuple[SSAValue, ...]
"""What a step hands on; the first is its output."""
Step: TypeAlias = Callable[[SSAValue, State], State]
"""The next state, given the step's own product and the last state."""


def unrolled(
    node: Emitter,
    x: SSAValue,
    weights: SSAValue,
    bias: SSAValue | None,
    step: Step,
    state: State,
    *,
    backwards: bool = False,
    masks: Sequence[SSAValue] | None = None,
) -> tuple[SSAValue, State]:
    """The outputs [steps, batch, units] of a sequence [steps, batch, inputs], and the last state.

    `weights` are [inputs, columns]; `masks` say for each step with 1 where a sequence still goes on.
    """
    steps, batch, inputs = ktensor.shape_of(x)
    if steps > MAX_COPIES:
        node.refuse(f"{steps} steps", f"up to {MAX_COPIES}, which are unrolled")
    projected = node.emit(ktensor.MatmulOp(node.reshape(x, (steps * batch, inputs)), weights, bias))
    rows: list[SSAValue] = []
    for time in reversed(range(steps)) if backwards else range(steps):
        new = step(node.cut(projected, 0, time * batch, (time + 1) * batch), state)
        output = new[0]
        if masks is not None:
            new = tuple(node.select(masks[time], one, old) for one, old in zip(new, state, strict=True))
            output = node.binary("mul", new[0], masks[time])
        rows.append(output)
        state = new
    joined = node.concat(rows[::-1] if backwards else rows, 0)
    return node.reshape(joined, (steps, batch, ktensor.shape_of(rows[0])[1])), state
