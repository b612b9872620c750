"""`ktensor-lower-transposed-convs`: transposed convolutions become ordinary ones, at the resolution of their input.

Before: `ktensor.conv2d_transpose` of any kernel, strides, padding, output padding, dilations and groups, with constant
weights. After: none; each is one `ktensor.conv2d` and, if it has strides, a rearrangement behind it. At stride 1 the
kernel is mirrored and input and output change places. At stride s every phase of the result (its rows y with equal
y mod s) is a convolution of the input with some of the taps; all s * s of them are one convolution with s * s times the
channels, whose result `ktensor.depth_to_space` interleaves. What an odd size has too much is sliced off.

    %y = ktensor.conv2d_transpose %x, %w {strides = array<i64: 2, 2>}       // 4x4, pads 1: 16 -> 8 channels
      =>
    %p = ktensor.conv2d %x, %v {pads = array<i64: 1, 1, 1, 1>}              // 3x3: 16 -> 32 channels
    %y = ktensor.depth_to_space %p {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>}

Stuffing the input with zeros instead would make the KPU work on a map s * s times as large, with s * s times fewer
channels: no faster, and nothing on the KPU can stuff. Mode crd rather than dcr because the phases of one channel lie
together: groups stay groups. Kernels up to 3 * s taps that overhang by no more than s on a side become 3x3: 2x2, 3x3,
4x4 and 5x5 at stride 2 all do.

A transposed convolution that cannot become one keeps the reason as the attribute `kpu.reason`. Sources:
lowering-facts.md 5.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import insert
from kpuir.passes.phases import PhaseAxis, pads_of, phase_bias, phase_weight

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def forward_weight(weight: "NDArray[np.float32]", groups: int) -> "NDArray[np.float32]":
    """The weight [IC, OC / groups, KH, KW] of a transposed convolution as [OC, IC / groups, KH, KW]."""
    inputs, outputs = weight.shape[:2]
    grouped = weight.reshape(groups, inputs // groups, outputs, *weight.shape[2:])
    return grouped.swapaxes(1, 2).reshape(groups * outputs, inputs // groups, *weight.shape[2:])


def interleaved(rewriter: PatternRewriter, value: SSAValue, phases: tuple[int, int]) -> SSAValue:
    """The map of a map sorted by phase; rows and columns may have different numbers of phases."""
    if phases == (1, 1):
        return value
    if phases[0] == phases[1]:
        return insert(rewriter, ktensor.DepthToSpaceOp(value, phases[0], ktensor.DepthMode.CRD))
    _, channels, height, width = ktensor.shape_of(value)
    channels //= phases[0] * phases[1]
    split = ktensor.ReshapeOp(value, (channels, *phases, height, width))
    moved = ktensor.TransposeOp(split, (0, 3, 1, 4, 2))
    return insert(
        rewriter, split, moved, ktensor.ReshapeOp(moved, (1, channels, height * phases[0], width * phases[1]))
    )


def cut(rewriter: PatternRewriter, value: SSAValue, size: tuple[int, ...]) -> SSAValue:
    """The first `size` rows and columns of a map."""
    shape = ktensor.shape_of(value)
    if shape[2:] == size:
        return value
    return insert(rewriter, ktensor.SliceOp(value, (0,) * 4, (*shape[:2], *size), (1,) * 4))


class LowerTransposedConv(RewritePattern):
    """A transposed convolution becomes one convolution of all phases, interleaved."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.Conv2dTransposeOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one transposed convolution, or record why it cannot be one."""
        import numpy as np

        if kpu.REASON in op.attributes:
            return
        weight = ktensor.constant_of(op.weight)
        bias = None if op.bias is None else ktensor.constant_of(op.bias)
        if weight is None or (op.bias is not None and bias is None):
            op.attributes[kpu.REASON] = StringAttr("the weights are computed by the model; the KPU needs constants")
            return
        batch, channels, height, width = ktensor.shape_of(op.output)
        sizes, strides = ktensor.shape_of(op.input)[2:], op.strides.get_values()
        if batch != 1:
            op.attributes[kpu.REASON] = StringAttr(f"a batch of {batch} images; only 1 is supported on the KPU")
            return
        rows, columns = (
            PhaseAxis.of_transposed(*axis)
            for axis in zip(
                sizes,
                (height, width),
                weight.shape[2:],
                strides,
                op.pads.get_values()[:2],
                op.dilations.get_values(),
                strict=True,
            )
        )
        kernel = phase_weight(forward_weight(weight, op.group_count), rows, columns)[:, 0]
        addend = np.zeros(channels, np.float32) if bias is None else bias
        constants = [ktensor.ConstantOp(kernel), ktensor.ConstantOp(phase_bias(addend, strides[0] * strides[1]))]
        conv = ktensor.Conv2dOp(
            op.input,
            *constants,
            pads=pads_of((rows, columns)),
            dilations=(rows.dilation, columns.dilation),
            groups=op.group_count,
        )
        value = interleaved(rewriter, insert(rewriter, *constants, conv), (strides[0], strides[1]))
        rewriter.replace(op, [], [cut(rewriter, value, (height, width))])


@dataclass(frozen=True)
class KTensorLowerTransposedConvsPass(ModulePass):
    """Turn transposed convolutions into convolutions of all phases and an interleave."""

    name = "ktensor-lower-transposed-convs"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, LowerTransposedConv(), recursive=False)
