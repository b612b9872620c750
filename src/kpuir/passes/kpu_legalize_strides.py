"""`kpu-legalize-strides`: strided slices become the pool codes that pick pixels, without leaving KPU RAM.

Before: `kpu.strided_slice` of what lies in KPU RAM. After: every one of stride 2 or 4 (or of any stride where only one
row or column is left) is the pool code `left_top_2_s2`, `right_top_2_s2` or `left_top_4_s4` of an ordinary convolution;
others stay, run on the CPU, and say why.

The engine picks at even rows, and at even or odd columns. What is missing is supplied by layers that only move pixels
and are exact in integers (weights with a single one):

* an identity layer whose kernel has its one beside the centre picks at odd rows; for many channels it is cut into
  several layers, because every output channel costs a pass over all input channels. A map that KPU RAM does not hold
  beside what is picked of it is moved down instead, by a row of zeros on top of the convolution's input, and the
  first row picked is cropped;
* depthwise layers cannot pick: the slice moves behind a following 1x1 convolution, f(x[::2]) = f(x)[::2], or an
  identity layer picks, whichever costs less;
* an odd size would lose its last row, and fewer than 4 rows cannot be written: the input of the picking layer is
  padded with rows and columns of zeros, and what is picked of them is cropped;
* rows that were to be cropped before the slice are cropped, fewer of them, after it.

    %f = kpu.conv2d %x, %w, %b                                                  // TensorFlow's SAME, even size
    %y = kpu.strided_slice %f {begin = array<i64: 1, 1>, strides = array<i64: 2, 2>}
      =>
    %f = kpu.conv2d %x, %w, %b
    %y = kpu.conv2d %f, %shift, %zero {pool = #kpu.pool<left_top_2_s2>}

Sources: `kpu-hardware.md` 7 (codes, strided convolution), lowering-facts.md 2.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern
from xdsl.rewriter import InsertPoint

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.ir.locations import fused
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import insert, is_on_kpu, pooled, shift
from kpuir.target import k210

_PICKS = {2: kpu.PoolKind.LEFT_TOP_2_S2, 4: kpu.PoolKind.LEFT_TOP_4_S4}


@dataclass(frozen=True)
class _Pick:
    """A strided slice the engine can make: what is sliced, from where, by which stride, and the size wanted."""

    source: SSAValue
    begin: tuple[int, int]
    size: tuple[int, int]
    stride: int

    @staticmethod
    def of(op: kpu.StridedSliceOp) -> "_Pick | k210.Verdict":
        """The pick that makes `op`, looking through a crop, or why the CPU has to slice."""
        source, (top, left) = op.input, op.begin.get_values()
        if isinstance(source.owner, kpu.CropOp):
            crops = source.owner.crops.get_values()
            source, top, left = source.owner.input, top + crops[0], left + crops[1]
        size = ktensor.shape_of(op.output)[2:]
        strides = [stride for stride, left_over in zip(op.strides.get_values(), size, strict=True) if left_over > 1]
        vertical, horizontal = strides[0] if strides else 2, strides[-1] if strides else 2
        verdict = k210.stride_rule(vertical, horizontal)
        if not verdict.ok:
            return verdict
        pick = _Pick(source, (top, left), (size[0], size[1]), max(vertical, 2))
        padded = k210.input_size_rule(
            *(side + more for side, more in zip(ktensor.shape_of(source)[2:], pick.ends(source), strict=True))
        )
        if not padded.ok or max(vertical, horizontal) == 1:
            return padded
        return pick if is_on_kpu(source) else k210.Verdict(False, "what is sliced is made by the CPU")

    @property
    def pool(self) -> kpu.PoolKind:
        """The code that picks at the beginning of every window."""
        return _PICKS[self.stride]

    @property
    def in_place(self) -> kpu.PoolKind | None:
        """The code that picks where it is wanted, without anything being moved."""
        if self.begin == (0, 1) and self.stride == 2:
            return kpu.PoolKind.RIGHT_TOP_2_S2
        return self.pool if self.begin == (0, 0) else None

    def ends(self, value: SSAValue, top: int = 0) -> tuple[int, int]:
        """(rows, columns) the map `value` lacks at its ends for every wanted pixel, and 4x4, to be picked.

        With a row of zeros on `top`, one more is picked than wanted, in front.
        """
        height, width = ktensor.shape_of(value)[2:]
        least = k210.K210.MIN_HEIGHT, k210.K210.MIN_WIDTH
        rows, columns = max(self.size[0] + top, least[0]), max(self.size[1], least[1])
        return max(rows * self.stride - height - top, 0), max(columns * self.stride - width, 0)

    def padded(self, rewriter: PatternRewriter, value: SSAValue, top: int = 0) -> SSAValue:
        """`value` with what it lacks."""
        rows, columns = self.ends(value, top)
        return insert(rewriter, kpu.PadOp(value, (top, 0, rows, columns))) if top or rows or columns else value

    def cropped(self, rewriter: PatternRewriter, value: SSAValue, top: int = 0) -> SSAValue:
        """The wanted pixels of what was picked."""
        height, width = ktensor.shape_of(value)[2:]
        crops = (top, 0, height - top - self.size[0], width - self.size[1])
        return insert(rewriter, kpu.CropOp(value, crops)) if any(crops) else value


def _is_ordinary(op: object) -> bool:
    return isinstance(op, kpu.Conv2dOp) and op.pool.data == kpu.PoolKind.BYPASS and not op.is_depthwise


def _room_to_pick(value: SSAValue) -> bool:
    """Whether KPU RAM holds the map and what a layer picks of it."""
    batch, channels, height, width = ktensor.shape_of(value)
    picked = k210.feature_map_bytes(batch, channels, (height + 1) // 2, (width + 1) // 2)
    return k210.ram_rule(k210.feature_map_bytes(batch, channels, height, width), picked).ok


class PickInProducer(RewritePattern):
    """Even rows are picked by the convolution that makes them.

    So are odd rows, by way of a row of zeros on top of its input, where the map is too large to be shifted: that
    costs two passes over the input, but what is not picked is never stored.
    """

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.StridedSliceOp, rewriter: PatternRewriter, /) -> None:
        """Fuse the slice into the convolution in front of it."""
        pick = _Pick.of(op)
        if isinstance(pick, k210.Verdict) or not op.input.has_one_use() or not pick.source.has_one_use():
            return
        conv, top = pick.source.owner, 0
        if not isinstance(conv, kpu.Conv2dOp) or not _is_ordinary(conv):
            return
        pool = pick.in_place
        if pool is None:
            if pick.stride != 2 or pick.begin[0] != 1 or pick.begin[1] > 1 or _room_to_pick(conv.output):
                return
            top, pool = 1, kpu.PoolKind.RIGHT_TOP_2_S2 if pick.begin[1] else pick.pool
            if ktensor.shape_of(conv.input)[2] + 1 + pick.ends(conv.input, 1)[0] > k210.K210.MAX_HEIGHT:
                return
        value = pick.padded(rewriter, conv.input, top)
        layer = kpu.Conv2dOp(value, conv.weight, conv.bias, activation=conv.activation.data, pool=pool)
        layer.location = conv.location
        layer.attributes.update(conv.attributes)
        rewriter.replace(op, [], [pick.cropped(rewriter, insert(rewriter, layer), top)])


class PickBehindPointwise(RewritePattern):
    """A following 1x1 convolution picks, where that costs less than an identity layer in front of it."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.StridedSliceOp, rewriter: PatternRewriter, /) -> None:
        """Fuse the slice into the convolution behind it."""
        pick = _Pick.of(op)
        conv = next(iter(op.output.uses)).operation if op.output.has_one_use() else None
        if isinstance(pick, k210.Verdict) or not isinstance(conv, kpu.Conv2dOp) or not _is_ordinary(conv):
            return
        if conv.kernel_size != 1 or max(pick.begin) > 1:
            return
        shape, outputs = ktensor.shape_of(pick.source), ktensor.shape_of(conv.weight)[0]
        moved = estimates.layer(shape, shape[1], 3, depthwise=True) if pick.in_place is None else 0
        here = estimates.identity(shape, pick.stride)[1] + estimates.layer((*shape[:2], *pick.size), outputs)
        if moved + estimates.layer(shape, outputs) > here:
            return
        rewriter.insertion_point = InsertPoint.before(conv)
        top, left = (0, 0) if pick.in_place else pick.begin
        value = pick.padded(rewriter, shift(rewriter, pick.source, -top, -left))
        layer = kpu.Conv2dOp(
            value, conv.weight, conv.bias, activation=conv.activation.data, pool=pick.in_place or pick.pool
        )
        layer.location = fused(conv.location, op.location)
        rewriter.replace(conv, [], [pick.cropped(rewriter, insert(rewriter, layer))])
        rewriter.erase(op)


class PickByIdentity(RewritePattern):
    """Identity layers pick what no other layer can: 1x1, or 3x3 where they also move pixels."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.StridedSliceOp, rewriter: PatternRewriter, /) -> None:
        """Replace the slice by layers that pick."""
        pick = _Pick.of(op)
        if isinstance(pick, k210.Verdict):
            op.attributes[kpu.REASON] = StringAttr(pick.reason)
            return
        value, pool, tap = pick.source, pick.in_place, (0, 0)
        if pool is None:
            pool, tap = pick.pool, (min(pick.begin[0], 1), min(pick.begin[1], 1))
            value = shift(rewriter, value, tap[0] - pick.begin[0], tap[1] - pick.begin[1])
        value = pooled(rewriter, pick.padded(rewriter, value), pool, tap)
        rewriter.replace(op, [], [pick.cropped(rewriter, value)])


@dataclass(frozen=True)
class KpuLegalizeStridesPass(ModulePass):
    """Turn strided slices into pool codes that pick pixels in KPU RAM."""

    name = "kpu-legalize-strides"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, PickInProducer(), PickBehindPointwise(), PickByIdentity())
