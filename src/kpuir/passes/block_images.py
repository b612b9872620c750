"""The form of a depthwise convolution with a large kernel that does the same for every block of its channels.

    %b = kpu.images %x {count = 6 : i64}                 // 1x96x10x10 -> 6x16x10x10
    %c = kpu.conv2d %b, %moves, %zero {kpu.moves}        // 6x144x10x10: nine copies of every block, side by side
    %d = kpu.images %c {count = 1 : i64}                 // 1x864x10x10
    %p = kpu.conv2d %d, %w, %bias {depthwise = true}     // the kernel's part for each copy: partial sums
    %q = kpu.images %p {count = 6 : i64}
    %s = kpu.conv2d %q, %identities, %zero               // 6x16x10x10: sums
    %y = kpu.images %s {count = 1 : i64}

Copies and sums have one small weight for all blocks, and all partial sums are made by as few depthwise layers as there
are times 1024 channels: nine weights for each copy of a channel and little more. The bias is in one of the partial
sums. Where the copies of all channels do not fit KPU RAM, some blocks after another. Copies are at most one row and
column away (`kpuir.passes.shifting`). Sources: lowering-facts.md 9.1; `kmodel-v4.md` 9.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from xdsl.ir import SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from kpuir.analysis import estimates
from kpuir.analysis.estimates import Cost
from kpuir.dialects import kpu
from kpuir.passes import copies, splitting
from kpuir.passes.forms import Form, Request
from kpuir.passes.moving import insert, mover
from kpuir.passes.shifting import Plan, distance, plan_axis, plans
from kpuir.target import k210
from kpuir.target.k210 import K210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_BLOCK = 32
"""Channels of the largest block: the time of layers that copy and add grows with them."""


def forms(request: Request) -> Iterator[Form]:
    """Every form of a depthwise convolution on images of blocks that fits the KPU."""
    if not request.depthwise:
        return
    request = request.trimmed()
    rows, columns = (plan_axis(request.axis(index)) for index in (0, 1))
    for plan in plans(rows, columns, request.taps()):
        if len(plan.used) < 2 or max(map(distance, plan.used)) > 1:
            continue
        for block in range(splitting.LINE, min(_MOST_BLOCK, request.channels) + 1, splitting.LINE):
            form = _Blocks(request, plan, block)
            if form.is_legal:
                yield Form("depthwise-images", form.cost, form.build)


@dataclass(frozen=True, eq=False)
class _Blocks:
    """A convolution on the copies of a plan, in blocks of `block` channels."""

    request: Request
    plan: Plan
    block: int

    @cached_property
    def counts(self) -> list[int]:
        """How many blocks are done at once: as many as half of KPU RAM holds the copies and partial sums of.

        The other half is for the input and the result, and for maps that wait; nothing where it is too small.
        """
        blocks, kept = self.request.channels // self.block, 2 * self._bytes_of(self.request.channels)
        room = K210.KPU_RAM_BYTES // 2
        for number in range(1, blocks + 1):
            most = -(-blocks // number)
            if max(kept, 2 * self._bytes_of(most * self.copied)) <= room:
                return [min(most, blocks - first) for first in range(0, blocks, most)]
        return []

    @property
    def copied(self) -> int:
        """Channels of all copies of one block."""
        return self.block * len(self.plan.used)

    @property
    def is_legal(self) -> bool:
        """Whether all channels are in blocks, and KPU RAM and layers hold their copies."""
        return (
            self.request.channels % self.block == 0
            and splitting.fits_layer(self.block, self.copied, 3)
            and bool(self.counts)
        )

    def _bytes_of(self, channels: int) -> int:
        return k210.feature_map_bytes(1, channels, *self.plan.size)

    @property
    def cost(self) -> Cost:
        """What it takes, about."""
        request, size = self.request, self.plan.size
        total = Cost(self.plan.border_milliseconds(request.shape, request.channels))
        for blocks in self.counts:
            total += estimates.layers((blocks, self.block, *size), self.copied, 3)
            total += estimates.layers((blocks, self.copied, *size), self.block)
            for _, count in splitting.parts(blocks * self.copied, K210.MAX_CHANNELS):
                total += estimates.layers((1, count, *size), count, self.plan.kernel, depthwise=True)
        return total

    def build(self, rewriter: PatternRewriter, value: SSAValue) -> SSAValue:
        """Insert it behind a value."""
        value = copies.padded(rewriter, value, self.plan)
        results: list[SSAValue] = []
        first = 0
        for count in self.counts:
            channels = count * self.block
            some = splitting.slice_channels(rewriter, value, first, channels)
            images = insert(rewriter, kpu.ImagesOp(some, count))
            copied = insert(rewriter, kpu.ImagesOp(mover(rewriter, images, self._moves()), 1))
            weight, bias = self._kernels(slice(first, first + channels))
            partial = splitting.convolution(rewriter, copied, weight, bias, depthwise=True)
            sums = splitting.added_alike(rewriter, partial, count, len(self.plan.used))
            results.append(insert(rewriter, kpu.ImagesOp(sums, 1)))
            first += channels
        return copies.picked(rewriter, splitting.joined(rewriter, results), self.plan)

    def _moves(self) -> "NDArray[np.float32]":
        """The weight [copies * block, block, 3, 3] of the layer that makes copies."""
        import numpy as np

        weight = np.zeros((len(self.plan.used), self.block, self.block, 3, 3), np.float32)
        channels = np.arange(self.block)
        for index, (down, right) in enumerate(self.plan.used):
            weight[index, channels, channels, 1 + down, 1 + right] = 1
        return weight.reshape(self.copied, self.block, 3, 3)

    def _kernels(self, channels: slice) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
        """Weight and bias of the partial sums of some channels: block by block, in each copy by copy."""
        import numpy as np

        weight, size = self.request.weight[channels], self.plan.kernel
        blocks, used = len(weight) // self.block, self.plan.used
        kernels = np.zeros((len(used), len(weight), 1, size, size), np.float32)
        for kernel, copy in zip(kernels, used, strict=True):
            copies.place(kernel, weight, self.plan, copy)
        bias = np.zeros((len(used), len(weight)), np.float32)
        bias[0] = self.request.bias[channels]
        by_block = (array.reshape(len(used), blocks, self.block, -1).swapaxes(0, 1) for array in (kernels, bias))
        kernels, bias = by_block
        return kernels.reshape(-1, 1, size, size), bias.reshape(-1)
