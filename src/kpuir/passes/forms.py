"""Convolutions in numbers, and the forms they can take on the KPU: what legalization chooses between."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from xdsl.ir import SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from kpuir.analysis.estimates import Cost

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Window(NamedTuple):
    """One axis of a convolution: size of the map, where each tap is, zeros in front and behind, and stride."""

    size: int
    taps: tuple[int, ...]
    low: int
    high: int
    stride: int

    @property
    def extent(self) -> int:
        """How many rows the kernel covers."""
        return self.taps[-1] + 1


@dataclass(frozen=True, eq=False)
class Request:
    """A convolution: input [1, C, H, W], weight [OC, C, KH, KW] or, depthwise, [C, 1, KH, KW], bias [OC]."""

    shape: tuple[int, ...]
    weight: "NDArray[np.float32]"
    bias: "NDArray[np.float32]"
    pads: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    depthwise: bool

    @property
    def channels(self) -> int:
        """Of the input."""
        return self.shape[1]

    @property
    def outputs(self) -> int:
        """Channels of the result."""
        return self.weight.shape[0]

    def axis(self, index: int) -> Window:
        """The rows (0) or columns (1)."""
        taps = tuple(tap * self.dilations[index] for tap in range(self.weight.shape[2 + index]))
        pads = self.pads[index], self.pads[2 + index]
        return Window(self.shape[2 + index], taps, *pads, self.strides[index])

    def trimmed(self) -> "Request":
        """The same with a smaller kernel, where its outer rows or columns have no weights: less padding."""
        import numpy as np

        if not self.weight.any():
            return self
        used = (self.weight.any(axis=(0, 1, 3)), self.weight.any(axis=(0, 1, 2)))
        (top, bottom), (left, right) = (np.flatnonzero(axis)[[0, -1]] for axis in used)
        height, width = self.weight.shape[2:]
        lost = int(top), int(left), int(height - 1 - bottom), int(width - 1 - right)
        steps = self.dilations * 2
        pads = tuple(pad - rows * step for pad, rows, step in zip(self.pads, lost, steps, strict=True))
        weight = np.ascontiguousarray(self.weight[:, :, top : bottom + 1, left : right + 1])
        return replace(self, weight=weight, pads=pads)

    def taps(self) -> list[tuple[int, int]]:
        """The taps, as (row, column), for which any weight is not 0."""
        import numpy as np

        return [(int(i), int(j)) for i, j in np.argwhere(self.weight.any(axis=(0, 1)))]


@dataclass(frozen=True, eq=False)
class Form:
    """One way to do a convolution: its name, what it takes, and what inserts it behind a value."""

    name: str
    cost: Cost
    build: Callable[[PatternRewriter, SSAValue], SSAValue]
