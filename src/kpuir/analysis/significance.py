"""Which values of a tensor matter to who reads it, where that is less than all of them.

A softmax makes next to nothing of what lies far below its largest input; a sum in front of a rectifier may be as
negative as it likes. Codes for such values would be wasted, so calibration looks at the values that do as well: those
nearest to 0 with which the reader computes the same.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from kpuir.dialects import kpu, ktensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]

_SHARE = 0.5 / 255
"""What all inputs of a softmax that are raised may get of the output together: half a step of 8 bits."""


@dataclass(frozen=True)
class Seen:
    """What matters of some values, `least` the lowest number that ever would, as far as these values show."""

    values: tuple[SSAValue, ...]
    array: "Floats"
    least: float = -float("inf")


Significance: TypeAlias = "Callable[[Floats], Iterator[Seen]]"
"""Given the array of one value: what matters of that, or of those it is made of."""


def significances(module: ModuleOp) -> tuple[dict[SSAValue, Significance], set[SSAValue]]:
    """By the value at which it is found out, and all values that it is found out of."""
    found: dict[SSAValue, Significance] = {}
    values: set[SSAValue] = set()
    for op in module.walk():
        if isinstance(op, ktensor.SoftmaxOp):
            softmax = _Softmax(tuple(_origins(op.input)), op.axis.value.data, op.beta.value.data)
            if softmax.values and softmax.beta > 0:
                found[op.input] = softmax
                values.update(softmax.values)
        elif isinstance(op, kpu.Conv2dOp):
            rectified = _RectifiedSum.of(op)
            if rectified is not None:
                found[op.input] = rectified
                values.update(rectified.parts)
    return found, values


def _origins(value: SSAValue) -> Iterator[SSAValue]:
    """A value, and those it consists of, as long as nothing else reads them."""
    while value.has_one_use() and not _is_mean(value.owner):
        yield value
        owner = value.owner
        if not isinstance(owner, Operation) or not owner.has_trait(ktensor.MovesElements):
            return
        value = owner.operands[0]


def _is_mean(owner: Operation | Block) -> bool:
    return isinstance(owner, kpu.Conv2dOp) and owner.pool_kind.is_mean


@dataclass(frozen=True)
class _Softmax:
    """The input of a softmax and those it consists of."""

    values: tuple[SSAValue, ...]
    axis: int
    beta: float

    def __call__(self, array: "Floats") -> Iterator[Seen]:
        import numpy as np

        depth = math.log(array.shape[self.axis] / _SHARE) / self.beta
        floor = array.max(axis=self.axis, keepdims=True) - np.float32(depth)
        yield Seen(self.values, np.maximum(array, floor), float(floor.min()))


@dataclass(frozen=True)
class _RectifiedSum:
    """A 1x1 layer that adds maps, or takes one, channel by channel and clamps the sum.

    `parts` are those maps that nothing else reads, with their first channel. Column c of `matrix` [O, C] has one weight
    at most, in row `target[c]`.
    """

    parts: dict[SSAValue, int]
    matrix: "Floats"
    bias: "Floats"
    target: "NDArray[np.intp]"
    limits: tuple[float, float]

    @staticmethod
    def of(conv: kpu.Conv2dOp) -> "_RectifiedSum | None":
        """None for any other layer."""
        import numpy as np

        weight, bias = ktensor.constant_of(conv.weight), ktensor.constant_of(conv.bias)
        limits = ktensor.limits(conv.activation.data[0]) if conv.activation.data else None
        if weight is None or bias is None or limits is None or not conv.input.has_one_use():
            return None
        if conv.kernel_size > 1 or isinstance(conv.input.owner, Block):
            return None
        matrix = np.diag(weight.ravel()) if conv.is_depthwise else weight[:, :, 0, 0]
        if (np.count_nonzero(matrix, axis=0) > 1).any():
            return None
        concat = conv.input.owner
        joined = isinstance(concat, kpu.ConcatOp)
        found = zip(concat.inputs, concat.first_channels, strict=True) if joined else [(conv.input, 0)]
        parts = {
            value: first
            for value, first in found
            if value.has_one_use() and not _is_mean(value.owner)
            if matrix[:, first : first + ktensor.shape_of(value)[1]].any(axis=0).all()
        }
        return _RectifiedSum(parts, matrix, bias, np.abs(matrix).argmax(axis=0), limits)

    def __call__(self, array: "Floats") -> Iterator[Seen]:
        import numpy as np

        count, channels, *size = array.shape
        flat = array.reshape(count, channels, -1)
        total = self.matrix @ flat + self.bias[:, None]
        low, high = (np.float32(limit) for limit in self.limits)
        excess = total - np.clip(total, low, high)
        for value, first in self.parts.items():
            part = slice(first, first + ktensor.shape_of(value)[1])
            weight = self.matrix.sum(axis=0)[part, None]
            # With a term that much smaller the sum would just reach its limit: what lies from there on does as well.
            term, beyond = flat[:, part] * weight, excess[:, self.target[part]]
            term = np.where(beyond < 0, np.minimum(term - beyond, 0), term)
            term = np.where(beyond > 0, np.maximum(term - beyond, 0), term)
            yield Seen((value,), (term / weight).reshape(count, -1, *size))
