"""The form of a dilated convolution that is an ordinary one on the phases of the map, as images of their own.

Rows y with equal y mod d are an image whose neighbouring rows are d apart in the map; so are columns. The CPU sorts the
pixels (`kpu.space_to_batch`) and back. Source: lowering-facts.md 4.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.ir import SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from kpuir.analysis import estimates
from kpuir.dialects import kpu
from kpuir.passes.axes import Axis
from kpuir.passes.forms import Form, Request, Window
from kpuir.passes.moving import insert, layer
from kpuir.target import k210
from kpuir.target.k210 import K210


@dataclass(frozen=True)
class _Phases:
    """One axis: as for a stride-1 convolution, with `behind` more rows at the end for images of equal, legal sizes."""

    axis: Axis
    block: int
    behind: int
    taps: int

    @staticmethod
    def of(window: Window) -> "_Phases":
        """The axis of a convolution with 1 to 3 taps, in front of whose middle one of three lies a dilation."""
        taps = window.taps
        block = taps[1] - taps[0] if len(taps) > 1 else 1
        own = block if len(taps) > 1 else 0
        axis = Axis.plan(window.size, window.extent, window.low, window.high, window.stride, own)
        behind = max(-axis.padded % block, K210.MIN_HEIGHT * block - axis.padded)
        return _Phases(axis, block, behind, len(taps))

    @property
    def size(self) -> int:
        """Of each image."""
        return (self.axis.padded + self.behind) // self.block

    @property
    def pads(self) -> tuple[int, int]:
        """Zeros in front and behind."""
        return self.axis.pad_low, self.axis.pad_high + self.behind

    @property
    def crops(self) -> tuple[int, int]:
        """What is dropped of the result in front and behind, before strides."""
        return self.axis.begin, self.axis.padded + self.behind - self.axis.last - 1

    @property
    def place(self) -> slice:
        """Where the taps stand among three."""
        first = 0 if self.taps > 1 else 1
        return slice(first, first + self.taps)


def forms(request: Request) -> Iterator[Form]:
    """The form of a convolution on phases, if it is dilated, has up to 3x3 taps and fits the KPU."""
    import numpy as np

    if max(request.dilations) == 1 or max(request.weight.shape[2:]) > 3:
        return
    rows, columns = (_Phases.of(request.axis(index)) for index in (0, 1))
    size = rows.size, columns.size
    if not k210.layer_rules(request.channels, *size, request.outputs, 3, request.depthwise).ok:
        return
    blocks = rows.block, columns.block
    images = (blocks[0] * blocks[1], request.channels, *size)
    result = (1, request.outputs, *(p.axis.last + 1 - p.axis.begin for p in (rows, columns)))
    detours = estimates.detour(request.shape, images) + estimates.detour((images[0], request.outputs, *size), result)
    cost = estimates.layers(images, request.outputs, 3, request.depthwise) + estimates.Cost(detours)

    def build(rewriter: PatternRewriter, value: SSAValue) -> SSAValue:
        weight = np.zeros((*request.weight.shape[:2], 3, 3), np.float32)
        weight[:, :, rows.place, columns.place] = request.weight
        pads, crops = ((a[0], b[0], a[1], b[1]) for a, b in ((rows.pads, columns.pads), (rows.crops, columns.crops)))
        phases = insert(rewriter, kpu.SpaceToBatchOp(value, blocks, pads))
        phases = layer(rewriter, phases, weight, request.bias, depthwise=request.depthwise)
        value = insert(rewriter, kpu.BatchToSpaceOp(phases, blocks, crops))
        strided = max(request.strides) > 1
        return insert(rewriter, kpu.StridedSliceOp(value, (0, 0), request.strides)) if strided else value

    yield Form("space-to-batch", cost, build)
