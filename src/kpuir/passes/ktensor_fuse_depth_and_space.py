"""`ktensor-fuse-depth-and-space`: pixels that become channels in several steps, or the reverse, do so in one.

Before: every n-th pixel is cut out and the parts are put behind one another (the first layer of YOLOv5, "Focus"), or
axes are split, transposed and joined (PyTorch's `pixel_shuffle` and `pixel_unshuffle`). After: these are
`ktensor.space_to_depth` and `ktensor.depth_to_space`, which the KPU has layers for, and which move through others.
Parts in another order than theirs are slices of channels, which a convolution takes into its weights.

    %a = ktensor.slice %x {starts = array<i64: 0, 0, 0, 0>, steps = array<i64: 1, 1, 2, 2>, ...}
    %b = ktensor.slice %x {starts = array<i64: 0, 0, 0, 1>, ...}
    %c = ktensor.slice %x {starts = array<i64: 0, 0, 1, 0>, ...}
    %d = ktensor.slice %x {starts = array<i64: 0, 0, 1, 1>, ...}
    %y = ktensor.concat %a, %b, %c, %d {axis = 1 : i64}
      =>
    %y = ktensor.space_to_depth %x {block_size = 2 : i64}
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import shape_of
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import insert


class FuseSlices(RewritePattern):
    """A concat of all phases of a map is space_to_depth."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.ConcatOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one concat of slices."""
        first = op.inputs[0].owner
        if not isinstance(first, ktensor.SliceOp) or len(shape_of(first.input)) != 4 or op.axis.value.data != 1:
            return
        n, channels, height, width = shape_of(op.output)
        block = first.steps.get_values()[-1]
        if block < 2 or len(op.inputs) != block * block:
            return
        order = [_phase(value, first.input, block) for value in op.inputs]
        if sorted(order) != list(range(block * block)):
            return
        value = insert(rewriter, ktensor.SpaceToDepthOp(first.input, block))
        if order != sorted(order):
            size = channels // len(order)
            parts = [
                insert(
                    rewriter,
                    ktensor.SliceOp(value, (0, one * size, 0, 0), (n, (one + 1) * size, height, width), (1, 1, 1, 1)),
                )
                for one in order
            ]
            value = insert(rewriter, ktensor.ConcatOp(parts, 1))
        rewriter.replace(op, [], [value])


def _phase(value: SSAValue, source: SSAValue, block: int) -> int:
    """Which pixel of each block of `source` the value holds, row by row; -1 if it is none of these parts."""
    part = value.owner
    if not isinstance(part, ktensor.SliceOp) or part.input is not source:
        return -1
    n, channels, height, width = shape_of(source)
    first, second, row, column = part.starts.get_values()
    is_part = (
        part.steps.get_values() == (1, 1, block, block)
        and (first, second) == (0, 0)
        and max(row, column) < block
        and height % block == width % block == 0
        and shape_of(value) == (n, channels, height // block, width // block)
    )
    return row * block + column if is_part else -1


class FuseReshapes(RewritePattern):
    """A transpose between reshapes that split and join axes is space_to_depth or depth_to_space."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.ReshapeOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one reshape behind such a transpose."""
        transpose = op.input.owner
        split = transpose.input.owner if isinstance(transpose, ktensor.TransposeOp) else None
        if not isinstance(transpose, ktensor.TransposeOp) or not isinstance(split, ktensor.ReshapeOp):
            return
        before, between, after = shape_of(split.input), shape_of(split.output), shape_of(op.output)
        if len(before) != 4 or len(between) != 6 or len(after) != 4:
            return
        permutation = tuple(transpose.permutation.get_values())
        for mode, (to_space, to_depth) in _PERMUTATIONS.items():
            if permutation == to_space and between == _split(before, after, mode):
                rewriter.replace(op, ktensor.DepthToSpaceOp(split.input, after[2] // before[2], mode))
                return
            back = tuple(between[axis] for axis in to_depth)
            if permutation == to_depth and back == _split(after, before, mode):
                rewriter.replace(op, ktensor.SpaceToDepthOp(split.input, before[2] // after[2], mode))
                return


_PERMUTATIONS = {
    ktensor.DepthMode.DCR: ((0, 3, 4, 1, 5, 2), (0, 3, 5, 1, 2, 4)),
    ktensor.DepthMode.CRD: ((0, 1, 4, 2, 5, 3), (0, 1, 3, 5, 2, 4)),
}
"""For each mode that of depth_to_space, and that of space_to_depth."""


def _split(depth: Sequence[int], space: Sequence[int], mode: ktensor.DepthMode) -> tuple[int, ...]:
    """A map whose channels hold blocks of pixels, of that shape, with an axis for each: of `space` pixels they are."""
    block, channels = space[2] // depth[2], space[1]
    if space[2:] != (depth[2] * block, depth[3] * block) or block < 2:
        return ()
    axes = (block, block, channels) if mode == ktensor.DepthMode.DCR else (channels, block, block)
    return (depth[0], *axes, *depth[2:])


@dataclass(frozen=True)
class KTensorFuseDepthAndSpacePass(ModulePass):
    """Recognize space_to_depth and depth_to_space that are spelled out."""

    name = "ktensor-fuse-depth-and-space"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, FuseSlices(), FuseReshapes())
