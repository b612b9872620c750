"""`kpu-legalize-groups`: grouped convolutions become ordinary and depthwise ones.

Before: `ktensor.conv2d` of any number of groups. After: those with constant weights have one group, or are depthwise.

* Groups whose channels begin at lines of KPU RAM are convolutions of their own: they read a `kpu.channel_slice`, and a
  `kpu.concat` joins their results, both for nothing. Several groups together are one convolution whose weights are 0
  where they mix groups; so many that it takes least time by `kpuir.analysis.estimates`. Exact.
* A depthwise convolution with m outputs per channel becomes m depthwise ones, whose results lie one after another. Its
  readers get weights in that order. So only where all of them are ordinary convolutions, perhaps behind functions.

    %y = ktensor.conv2d %x, %w {groups = 2 : i64}                                             // 64 -> 64 channels
      =>
    %a = kpu.channel_slice %x {begin = 0 : i64, channels = 32 : i64}
    %b = kpu.channel_slice %x {begin = 32 : i64, channels = 32 : i64}
    %p = ktensor.conv2d %a, %u
    %q = ktensor.conv2d %b, %v
    %y = kpu.concat %p, %q

Sources: `kpu-hardware.md` 2 (lines), 10.2 (every output channel costs a pass over all inputs); lowering-facts.md 9.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.analysis.functions import scalar_function
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import insert
from kpuir.passes.splitting import LINE, dense_weight, fits_layer
from kpuir.target import k210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Blocks = Literal["auto", "one", "most"]


def _constants(op: ktensor.Conv2dOp) -> "tuple[NDArray[np.float32], NDArray[np.float32]] | None":
    """Weight and bias, if they are constants and the KPU can do such a batch."""
    import numpy as np

    weight = ktensor.constant_of(op.weight)
    if kpu.REASON in op.attributes or weight is None or ktensor.shape_of(op.input)[0] != 1:
        return None
    bias = np.zeros(weight.shape[0], np.float32) if op.bias is None else ktensor.constant_of(op.bias)
    return None if bias is None else (weight, bias)


def _window(op: ktensor.Conv2dOp) -> dict[str, Any]:
    return {name: getattr(op, name).get_values() for name in ("pads", "strides", "dilations")}


def _convolved(
    rewriter: PatternRewriter, op: ktensor.Conv2dOp, source: SSAValue, arrays: "list[NDArray[np.float32]]", groups: int
) -> SSAValue:
    """`op` with other weights and bias, on another map."""
    constants = [insert(rewriter, ktensor.ConstantOp(array)) for array in arrays]
    return insert(rewriter, ktensor.Conv2dOp(source, *constants, groups=groups, **_window(op)))


class SplitMultiplier(RewritePattern):
    """A depthwise convolution with m outputs per channel -> m depthwise ones; readers get weights in that order."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one, and its readers."""
        import numpy as np

        constants, channels = _constants(op), ktensor.shape_of(op.input)[1]
        if constants is None or op.group_count != channels or channels % LINE or op.is_depthwise:
            return
        readers = _readers(op.output)
        outputs = constants[0].shape[0]
        multiplier = outputs // channels
        apart = estimates.layer(ktensor.shape_of(op.input), channels, 3, depthwise=True, count=multiplier)
        blocks = cheapest_blocks(op)
        if not readers or (blocks is not None and blocks_milliseconds(op, blocks) <= apart):
            return
        results = [
            _convolved(rewriter, op, op.input, [array[index::multiplier] for array in constants], channels)
            for index in range(multiplier)
        ]
        order = np.arange(outputs).reshape(channels, multiplier).T.reshape(-1)
        rewriter.replace(op, kpu.ConcatOp(results))
        for reader in readers:
            _reorder(rewriter, reader, order)


def _readers(value: SSAValue) -> list[ktensor.Conv2dOp]:
    """The ordinary convolutions that read a value, behind functions or not; none if anything else does."""
    found: list[ktensor.Conv2dOp] = []
    for use in value.uses:
        user = use.operation
        if isinstance(user, ktensor.Conv2dOp) and user.group_count == 1 and use.index == 0:
            readers = [user] if ktensor.constant_of(user.weight) is not None else []
        else:
            readers = _readers(user.results[0]) if scalar_function(user) is not None else []
        if not readers:
            return []
        found += readers
    return found


def _reorder(rewriter: PatternRewriter, reader: ktensor.Conv2dOp, order: "NDArray[np.intp]") -> None:
    """Let a convolution read channel order[i] at channel i."""
    weight = ktensor.constant_of(reader.weight)
    assert weight is not None
    constant = ktensor.ConstantOp(weight[:, order])
    bias = () if reader.bias is None else (reader.bias,)
    made = ktensor.Conv2dOp(reader.input, constant, *bias, **_window(reader))
    for new in (constant, made):
        new.location = reader.location
    rewriter.replace(reader, [constant, made])


class SplitGroups(RewritePattern):
    """A grouped convolution -> one for some of the groups each, with dense weights."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks: Blocks = blocks

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one."""
        constants = _constants(op)
        if constants is None or op.group_count == 1 or op.is_depthwise:
            return
        choices = {"auto": cheapest_blocks(op), "one": 1, "most": max(_possible_blocks(op), default=1)}
        blocks = choices[self.blocks] or 1
        inputs, outputs = ktensor.shape_of(op.input)[1] // blocks, constants[0].shape[0] // blocks
        results: list[SSAValue] = []
        for index in range(blocks):
            weight, bias = (array[index * outputs :][:outputs] for array in constants)
            whole = op.input if blocks == 1 else insert(rewriter, kpu.ChannelSliceOp(op.input, index * inputs, inputs))
            arrays = [dense_weight(weight, op.group_count // blocks), bias]
            results.append(_convolved(rewriter, op, whole, arrays, 1))
        rewriter.replace(op, [] if blocks == 1 else kpu.ConcatOp(results), results if blocks == 1 else None)


def _possible_blocks(op: ktensor.Conv2dOp) -> Iterator[int]:
    """Into how many convolutions of equal size a grouped one can be cut: all begin at lines, and fit a layer."""
    inputs, width = ktensor.shape_of(op.input)[1], ktensor.shape_of(op.input)[3]
    outputs, kernel = ktensor.shape_of(op.weight)[0], min(3, max(op.kernel_shape))
    for blocks in range(1, op.group_count + 1):
        if op.group_count % blocks or not fits_layer(inputs // blocks, outputs // blocks, kernel):
            continue
        if blocks == 1 or (k210.line_start_rule(inputs // blocks, width).ok and outputs // blocks % LINE == 0):
            yield blocks


def blocks_milliseconds(op: ktensor.Conv2dOp, blocks: int) -> float:
    """What a grouped convolution takes as so many dense ones."""
    _, inputs, *size = ktensor.shape_of(op.input)
    outputs = ktensor.shape_of(op.weight)[0] // blocks
    return estimates.layer((1, inputs // blocks, *size), outputs, min(3, max(op.kernel_shape)), count=blocks)


def cheapest_blocks(op: ktensor.Conv2dOp) -> int | None:
    """The number of convolutions that takes least time; None where none of them fits a layer."""
    return min(_possible_blocks(op), key=lambda blocks: blocks_milliseconds(op, blocks), default=None)


@dataclass(frozen=True)
class KpuLegalizeGroupsPass(ModulePass):
    """Make grouped convolutions ordinary or depthwise ones.

    `blocks`: into how many ordinary ones; "auto" takes what is fastest.
    """

    name = "kpu-legalize-groups"

    blocks: Blocks = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, *([SplitMultiplier()] if self.blocks == "auto" else []), SplitGroups(self.blocks))
