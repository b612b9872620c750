"""`kpu-legalize-strides`: strided slices become the pool codes that pick pixels, without leaving KPU RAM.

Before: `kpu.strided_slice` behind KPU layers. After: every one of stride 2 whose result the KPU can hold (4x4 or more)
is the pool code `left_top_2_s2` or `right_top_2_s2` of an ordinary convolution; others stay and run on the CPU.

The engine picks at even rows, and at even or odd columns. What is missing is supplied by layers that only move pixels
and are exact in integers (weights with a single one):

* pixels at odd rows: a depthwise 3x3 layer shifts the map up by one row (and left by one column); what it reads
  beyond the last row is not picked. For few channels one dense layer shifts and picks. A map that KPU RAM does not
  hold beside what is picked of it is moved down instead, by a row of zeros on top of the convolution's input, and the
  first row picked is cropped;
* depthwise layers cannot pick: the slice moves behind a following 1x1 convolution, f(x[::2]) = f(x)[::2]; where
  there is none, or it would cost more, a 1x1 identity layer picks;
* an odd size would lose its last row: the input of the picking layer is padded by one row or column of zeros;
* rows that were to be cropped before the slice are cropped, fewer of them, after it.

    %f = kpu.conv2d %x, %w, %b                                                  // TensorFlow's SAME, even size
    %y = kpu.strided_slice %f {begin = array<i64: 1, 1>, strides = array<i64: 2, 2>}
      =>
    %f = kpu.conv2d %x, %w, %b
    %y = kpu.conv2d %f, %shift, %zero {pool = #kpu.pool<left_top_2_s2>}

Sources: `kpu-hardware.md` 7 (codes, strided convolution), lowering-facts.md 2.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern
from xdsl.rewriter import InsertPoint

from kpuir.dialects import kpu, ktensor
from kpuir.ir.locations import fused
from kpuir.ir.rewriting import rewrite
from kpuir.target import k210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_FEW_CHANNELS = 32
"""Up to here one dense 3x3 layer (9 C^2 bytes of weights) shifts and picks; above, a depthwise and a 1x1 one do."""


@dataclass(frozen=True)
class _Pick:
    """A strided slice the engine can make: what is sliced, from where, and the size wanted."""

    source: kpu.Conv2dOp
    begin: tuple[int, int]
    size: tuple[int, int]

    @staticmethod
    def of(op: kpu.StridedSliceOp) -> "_Pick | None":
        """The pick that makes `op`, looking through a crop at the ends; None where the CPU has to slice."""
        source = op.input.owner
        if isinstance(source, kpu.CropOp) and tuple(source.crops.get_values())[:2] == (0, 0):
            source = source.input.owner
        begin = tuple(op.begin.get_values())
        shape = ktensor.shape_of(op.output)
        if not isinstance(source, kpu.Conv2dOp) or tuple(op.strides.get_values()) != (2, 2) or max(begin) > 1:
            return None
        legal = k210.output_size_rule(*shape[2:]).ok and k210.input_size_rule(*_even(source.output)).ok
        return _Pick(source, (begin[0], begin[1]), (shape[2], shape[3])) if legal else None

    @property
    def pool(self) -> kpu.PoolKind:
        """The code that picks, once odd rows have been shifted to even ones."""
        right = self.begin == (0, 1)
        return kpu.PoolKind.RIGHT_TOP_2_S2 if right else kpu.PoolKind.LEFT_TOP_2_S2

    def pads(self, value: SSAValue, top: int = 0) -> tuple[int, int, int, int]:
        """What the map `value` lacks at its ends for every wanted pixel to be picked.

        With a row of zeros on `top`, one more is picked than wanted, in front.
        """
        height, width = ktensor.shape_of(value)[2:]
        return (top, 0, int((height + top) // 2 < self.size[0] + top), int(width // 2 < self.size[1]))


def _even(value: SSAValue) -> tuple[int, int]:
    height, width = ktensor.shape_of(value)[2:]
    return height + height % 2, width + width % 2


def _is_bypass(op: object) -> bool:
    return isinstance(op, kpu.Conv2dOp) and op.pool.data == kpu.PoolKind.BYPASS


def _insert(rewriter: PatternRewriter, *ops: Operation) -> SSAValue:
    rewriter.insert(ops)
    return ops[-1].results[0]


def _padded(rewriter: PatternRewriter, value: SSAValue, pads: tuple[int, int, int, int]) -> SSAValue:
    return _insert(rewriter, kpu.PadOp(value, pads)) if any(pads) else value


def _cropped(rewriter: PatternRewriter, value: SSAValue, size: tuple[int, int], top: int = 0) -> SSAValue:
    height, width = ktensor.shape_of(value)[2:]
    crops = (top, 0, height - top - size[0], width - size[1])
    return _insert(rewriter, kpu.CropOp(value, crops)) if any(crops) else value


def _mover(
    rewriter: PatternRewriter, value: SSAValue, weight: "NDArray[np.float32]", pool: kpu.PoolKind = kpu.PoolKind.BYPASS
) -> SSAValue:
    """A layer that only moves pixels: weights of zeros and ones, no bias, no function."""
    import numpy as np

    constants = [ktensor.ConstantOp(weight), ktensor.ConstantOp(np.zeros(weight.shape[0], np.float32))]
    layer = kpu.Conv2dOp(value, *(c.output for c in constants), depthwise=pool == kpu.PoolKind.BYPASS, pool=pool)
    layer.attributes[kpu.MOVES] = UnitAttr()
    return _insert(rewriter, *constants, layer)


def _shifted(rewriter: PatternRewriter, value: SSAValue, begin: tuple[int, int]) -> SSAValue:
    """`value` moved up by one row, and left by one column if `begin` asks for it, where odd rows are wanted."""
    import numpy as np

    if begin[0] == 0:
        return value
    weight = np.zeros((ktensor.shape_of(value)[1], 1, 3, 3), np.float32)
    weight[:, :, 2, 1 + begin[1]] = 1
    return _mover(rewriter, value, weight)


def _room_to_shift(value: SSAValue) -> bool:
    """Whether KPU RAM holds the map twice, as the layer that shifts it needs."""
    size = k210.feature_map_bytes(*ktensor.shape_of(value))
    return k210.ram_rule(size, size).ok


def _room_to_pick(value: SSAValue) -> bool:
    """Whether KPU RAM holds the map and what a layer picks of it."""
    batch, channels, height, width = ktensor.shape_of(value)
    picked = k210.feature_map_bytes(batch, channels, (height + 1) // 2, (width + 1) // 2)
    return k210.ram_rule(k210.feature_map_bytes(batch, channels, height, width), picked).ok


class PickInProducer(RewritePattern):
    """Even rows are picked by the convolution that makes them.

    So are odd rows, by way of a row of zeros on top of its input, where the map is too large to be shifted: that
    costs the CPU two passes, but what is not picked is never stored.
    """

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.StridedSliceOp, rewriter: PatternRewriter, /) -> None:
        """Fuse the slice into the convolution in front of it."""
        pick = _Pick.of(op)
        if pick is None or not op.input.has_one_use():
            return
        conv, top = pick.source, pick.begin[0]
        if not _is_bypass(conv) or conv.is_depthwise or not conv.output.has_one_use():
            return
        pads = pick.pads(conv.output, top)
        height = ktensor.shape_of(conv.input)[2] + pads[0] + pads[2]
        if top and (_room_to_pick(conv.output) or height > k210.K210.MAX_HEIGHT):
            return
        pool = kpu.PoolKind.RIGHT_TOP_2_S2 if pick.begin[1] else kpu.PoolKind.LEFT_TOP_2_S2
        value = _padded(rewriter, conv.input, pads)
        layer = kpu.Conv2dOp(value, conv.weight, conv.bias, activation=conv.activation.data, pool=pool)
        layer.location = conv.location
        rewriter.replace(op, [], [_cropped(rewriter, _insert(rewriter, layer), pick.size, top)])


class PickBehindPointwise(RewritePattern):
    """A following 1x1 convolution picks, where that costs less than an identity layer in front of it."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.StridedSliceOp, rewriter: PatternRewriter, /) -> None:
        """Fuse the slice into the convolution behind it."""
        pick = _Pick.of(op)
        conv = next(iter(op.output.uses)).operation if op.output.has_one_use() else None
        if pick is None or not isinstance(conv, kpu.Conv2dOp) or not _is_bypass(conv) or conv.is_depthwise:
            return
        outputs, channels, kernel, _ = ktensor.shape_of(conv.weight)
        height, width = ktensor.shape_of(pick.source.output)[2:]
        identity = k210.layer_cycles(channels, channels, height, width)
        behind = identity + k210.layer_cycles(channels, outputs, *pick.size)
        if kernel != 1 or k210.layer_cycles(channels, outputs, height, width) > behind:
            return
        rewriter.insertion_point = InsertPoint.before(conv)
        value = _shifted(rewriter, pick.source.output, pick.begin)
        value = _padded(rewriter, value, pick.pads(value))
        layer = kpu.Conv2dOp(value, conv.weight, conv.bias, activation=conv.activation.data, pool=pick.pool)
        layer.location = fused(conv.location, op.location)
        rewriter.replace(conv, [], [_cropped(rewriter, _insert(rewriter, layer), pick.size)])
        rewriter.erase(op)


class PickByIdentity(RewritePattern):
    """An identity layer picks what no other layer can: 1x1, or 3x3 where it also shifts."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.StridedSliceOp, rewriter: PatternRewriter, /) -> None:
        """Replace the slice by a layer that picks, behind one that shifts where odd rows are wanted."""
        import numpy as np

        pick = _Pick.of(op)
        if pick is None:
            return
        value = pick.source.output
        channels = ktensor.shape_of(value)[1]
        at_once = pick.begin[0] == 1 and (channels <= _FEW_CHANNELS or not _room_to_shift(value))
        if not at_once:
            value = _shifted(rewriter, value, pick.begin)
        value = _padded(rewriter, value, pick.pads(value))
        weight = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1)
        if at_once:
            weight = np.pad(weight, ((0, 0), (0, 0), (2, 0), (1 + pick.begin[1], 1 - pick.begin[1])))
        rewriter.replace(op, [], [_cropped(rewriter, _mover(rewriter, value, weight, pick.pool), pick.size)])


@dataclass(frozen=True)
class KpuLegalizeStridesPass(ModulePass):
    """Turn strided slices of stride 2 into pool codes that pick pixels in KPU RAM."""

    name = "kpu-legalize-strides"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, PickInProducer(), PickBehindPointwise(), PickByIdentity())
