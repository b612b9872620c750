"""`kpu-legalize-adds`: sums and differences of maps become 1x1 layers that read the maps side by side.

Before: `ktensor.binary` add and sub of maps of one size (the residuals of most networks), perhaps of more than two, or
scaled and shifted channel by channel. After: where the KPU is the better place, a `kpu.concat` of the maps, which costs
nothing in KPU RAM, and a 1x1 `kpu.conv2d` with weights [I, +-I], scales included; functions behind it are in its
activation.

    %s = ktensor.binary<add> %a, %b
    %y = ktensor.activation<relu> %s
      =>
    %c = kpu.concat %a, %b
    %y = kpu.conv2d %c, %identities, %zero {activation = [#ktensor.activation<relu>]}

Every map keeps its own scale: later it is in the weights. The layer's time grows with the square of its channels, so
wide sums go in blocks of channels where copying those next to each other costs less. The other form, `adds=fused`,
gives the last convolution of the block more input channels instead, with the identity at its centre tap; it is exact
only as far as the identity can be represented together with that convolution's weights, so it has to be asked for.

Sources: lowering-facts.md 8; `kpu-hardware.md` 10. What stays on the CPU has `kpu.reason`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates, residency
from kpuir.analysis.functions import channel_affine
from kpuir.dialects import kpu, ktensor
from kpuir.ir.locations import fused
from kpuir.ir.rewriting import rewrite
from kpuir.passes import moving
from kpuir.passes.kpu_fuse_activations import FuseActivation, HoistActivation
from kpuir.passes.layers import constants_of, depthwise, is_linear
from kpuir.target import k210
from kpuir.target.k210 import K210, CpuCosts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Doubles: TypeAlias = NDArray[np.float64]

Choice: TypeAlias = Literal["auto", "layer", "fused", "cpu"]

_MOST_BLOCKS = 16


@dataclass(frozen=True)
class _Sum:
    """shift[c] + the sum of scale[c] * map[c] over all terms."""

    terms: "dict[SSAValue, Doubles]"
    shift: "Doubles"

    @staticmethod
    def of(value: SSAValue, is_root: bool = True) -> "_Sum":
        """What a value is the sum of, looking through sums and scales that are used for nothing else."""
        import numpy as np

        op, channels = value.owner, ktensor.shape_of(value)[1]
        if isinstance(op, ktensor.BinaryOp) and (is_root or value.has_one_use()):
            affine = channel_affine(op)
            if residency.is_sum(op):
                sign = -1.0 if op.kind.data == ktensor.BinaryKind.SUB else 1.0
                return _Sum.of(op.lhs, False).plus(_Sum.of(op.rhs, False), np.full(channels, sign))
            if affine is not None:
                nothing = _Sum({}, affine.shift)
                return nothing.plus(_Sum.of(affine.input, False), affine.scale)
        return _Sum({value: np.ones(channels)}, np.zeros(channels))

    def plus(self, other: "_Sum", scale: "Doubles") -> "_Sum":
        """This and another sum, channels of that scaled."""
        terms = dict(self.terms)
        for value, factor in other.terms.items():
            terms[value] = terms[value] + factor * scale if value in terms else factor * scale
        return _Sum(terms, self.shift + other.shift * scale)

    @property
    def shape(self) -> tuple[int, ...]:
        """[1, C, H, W]"""
        return ktensor.shape_of(next(iter(self.terms)))

    def part(self, channels: slice) -> "_Sum":
        """The scales of some channels."""
        return replace(self, terms={v: s[channels] for v, s in self.terms.items()}, shift=self.shift[channels])


@dataclass(frozen=True)
class SumToLayer(RewritePattern):
    """A sum of maps becomes a layer, where the KPU is the better place."""

    choice: Choice

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.BinaryOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one sum with all sums in it, or record why it stays."""
        if kpu.REASON in op.attributes or channel_affine(op) is not None or _is_inner(op):
            return
        if not any(residency.on_kpu(value) for value in op.operands) and not residency.feeds_kpu(op.output):
            return
        reason = _rule(op)
        if reason is None:
            found = _Sum.of(op.output)
            reason = _refusal(op, found, self.choice)
            if reason is None:
                made = _fuse(rewriter, op, found) if self.choice == "fused" else None
                rewriter.replace(op, [], [made or _build(rewriter, found)])
                return
        op.attributes[kpu.REASON] = StringAttr(reason)


def _is_inner(op: ktensor.BinaryOp) -> bool:
    """Whether a sum is only a term of another one, perhaps scaled, which takes it in."""
    value = op.output
    while residency.is_sum(op) and value.has_one_use():
        user = next(iter(value.uses)).operation
        if channel_affine(user) is None:
            return residency.is_sum(user)
        value = user.results[0]
    return False


def _rule(op: ktensor.BinaryOp) -> str | None:
    """Why the KPU has nothing like `op`, None if it has."""
    kind = op.kind.data
    if kind not in (ktensor.BinaryKind.ADD, ktensor.BinaryKind.SUB):
        return f"the KPU has no {kind.value} of two maps, only sums, and products with constants"
    for value in op.operands:
        if ktensor.constant_of(value) is not None:
            return f"the constant {list(ktensor.shape_of(value))} is not one number for each channel"
    if op.lhs.type != op.rhs.type:
        return f"the operands {list(ktensor.shape_of(op.lhs))} and {list(ktensor.shape_of(op.rhs))} are of two sizes"
    rule = residency.map_rule(op.output)
    return None if rule.ok else rule.reason


def _refusal(op: ktensor.BinaryOp, found: _Sum, choice: Choice) -> str | None:
    """Why a sum is left to the CPU, None if it is not."""
    if choice != "auto":
        return "adds=cpu was asked for" if choice == "cpu" else None
    sources, shape = list(found.terms), found.shape
    in_bands = k210.band_rule((1, len(sources) * shape[1], *shape[2:]), shape)
    if not in_bands.ok:
        return in_bands.reason
    ours = _milliseconds(shape, len(sources), _block(shape, len(sources))) + residency.kpu_transfers(sources, op.output)
    theirs = estimates.elements(shape, CpuCosts.QUANTIZED_ADD) * max(len(sources) - 1, 1)
    theirs += residency.cpu_transfers(sources, op.output)
    return estimates.slower_on_kpu(ours, theirs)


def _milliseconds(shape: Sequence[int], terms: int, block: int) -> float:
    """Of layers that add `terms` maps in blocks of channels, and of copies that bring those of a block together."""
    _, channels, *size = shape
    total = 0.0
    for begin in range(0, channels, block):
        count = min(block, channels - begin)
        total += estimates.layer((1, terms * count, *size), count)
        if block < channels:
            total += estimates.layer((1, count, *size), count, depthwise=True, count=terms)
    return total


def _blocks(shape: Sequence[int], terms: int) -> list[int]:
    """How many channels can be added at once."""
    channels = shape[1]
    group = k210.row_layout(shape[3]).channels_per_line
    most = (K210.MAX_CHANNELS // terms) // group * group
    blocks = {-(-channels // (count * group)) * group for count in range(1, _MOST_BLOCKS + 1)} | {most}
    return sorted({min(block, channels) for block in blocks if terms * block <= K210.MAX_CHANNELS}, reverse=True)


def _room(shape: Sequence[int], terms: int, block: int) -> k210.Verdict:
    """Whether KPU RAM holds all terms, the copies of a block of them if not all are added at once, and the sum."""
    _, channels, height, width = shape
    one, copied = (k210.feature_map_bytes(1, count, height, width) for count in (channels, block))
    return k210.ram_rule(terms * (one + (copied if block < channels else 0)), one)


def _block(shape: Sequence[int], terms: int) -> int:
    """How many channels to add at once: all, or fewer where that is cheaper or all are too many.

    What does not fit KPU RAM is done in bands of rows."""
    blocks = _blocks(shape, terms)
    fitting = [block for block in blocks if _room(shape, terms, block).ok] or blocks[:1]
    return min(fitting, key=lambda block: (_milliseconds(shape, terms, block), -block))


def _build(rewriter: PatternRewriter, found: _Sum) -> SSAValue:
    """The layers that add."""
    (value, scale), *others = found.terms.items()
    if not others:
        return depthwise(rewriter, value, scale, found.shift)
    channels = found.shape[1]
    block = _block(found.shape, len(found.terms))
    results: list[SSAValue] = []
    for begin in range(0, channels, block):
        chosen = slice(begin, min(begin + block, channels))
        results.append(_add(rewriter, found.part(chosen), chosen))
    return results[0] if len(results) == 1 else moving.insert(rewriter, kpu.ConcatOp(results))


def _add(rewriter: PatternRewriter, found: _Sum, chosen: slice) -> SSAValue:
    """One layer that adds some channels of all terms."""
    import numpy as np

    count = chosen.stop - chosen.start
    parts = list(found.terms)
    if count < found.shape[1]:
        parts = [moving.insert(rewriter, kpu.ChannelSliceOp(value, chosen.start, count)) for value in parts]
    concat = kpu.ConcatOp(parts)
    joined = moving.insert(rewriter, concat)
    weight = np.zeros((count, ktensor.shape_of(joined)[1], 1, 1), np.float32)
    rows = np.arange(count)
    for first, scale in zip(concat.first_channels, found.terms.values(), strict=True):
        weight[rows, first + rows, 0, 0] = scale
    return moving.layer(rewriter, joined, weight, found.shift.astype(np.float32))


def _fuse(rewriter: PatternRewriter, op: ktensor.BinaryOp, found: _Sum) -> SSAValue | None:
    """The convolution that makes one of the terms with the others as further inputs; None where none can take them."""
    import numpy as np

    for value, scale in found.terms.items():
        conv = value.owner
        if not isinstance(conv, kpu.Conv2dOp) or not is_linear(conv) or conv.is_depthwise or not value.has_one_use():
            continue
        others = {other: factor for other, factor in found.terms.items() if other is not value}
        concat = kpu.ConcatOp([conv.input, *others])
        inputs, (outputs, _, kernel, _) = kpu.size4(concat.output.type), ktensor.shape_of(conv.weight)
        constants = constants_of(conv)
        if constants is None or not k210.layer_rules(inputs[1], inputs[2], inputs[3], outputs, kernel).ok:
            concat.erase()
            continue
        weight = np.zeros((outputs, inputs[1], kernel, kernel), np.float32)
        weight[:, : ktensor.shape_of(conv.input)[1]] = constants[0] * scale[:, None, None, None]
        rows = np.arange(outputs)
        for first, factor in zip(concat.first_channels[1:], others.values(), strict=True):
            weight[rows, first + rows, kernel // 2, kernel // 2] = factor
        bias = (constants[1] * scale + found.shift).astype(np.float32)
        result = moving.layer(rewriter, moving.insert(rewriter, concat), weight, bias)
        assert isinstance(result.owner, Operation)
        result.owner.location = fused(conv.location, op.location)
        return result
    return None


@dataclass(frozen=True)
class KpuLegalizeAddsPass(ModulePass):
    """Make layers of sums of maps; `adds`: a layer, more inputs of the convolution in front, or the CPU."""

    name = "kpu-legalize-adds"
    adds: Choice = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, SumToLayer(self.adds), FuseActivation(), HoistActivation())
