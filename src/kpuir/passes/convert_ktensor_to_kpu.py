"""`convert-ktensor-to-kpu`: convolutions and matrix products in the form the KPU has.

Before: `ktensor.conv2d` and `ktensor.matmul` with any padding and stride. After: each that can run on the KPU is a
`kpu.conv2d` (kernel 1x1 or 3x3, stride 1, the KPU's own padding), and what it takes to get there stands around it:
`kpu.pad` before, `kpu.crop` and `kpu.strided_slice` after. One that cannot stays and carries the rule that failed as
the attribute `kpu.reason`.

    %y = ktensor.conv2d %x, %w {strides = array<i64: 2, 2>}          // 3x3, no padding
      =>
    %f = kpu.conv2d %x, %w, %zero
    %y = kpu.strided_slice %f {begin = array<i64: 1, 1>, strides = array<i64: 2, 2>}

More channels than a layer has are split (`kpuir.passes.splitting`): outputs over several layers whose maps a
`kpu.concat` joins, inputs over several layers whose results one more adds.

Formulas: lowering-facts.md 1.3 (padding), 3 (matrix products); `kpu-hardware.md` 6.1 (the KPU's padding), 8 (limits).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes import splitting
from kpuir.passes.axes import Axis
from kpuir.passes.moving import insert
from kpuir.passes.splitting import dense_weight
from kpuir.target import k210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SMALLEST = k210.K210.MIN_HEIGHT


def _refuse(op: Operation, reason: str) -> None:
    op.attributes[kpu.REASON] = StringAttr(reason)


def embed_kernel(weight: "NDArray[np.float32]", pads: tuple[int, ...]) -> "tuple[NDArray[np.float32], tuple[int, ...]]":
    """A kernel smaller than 3x3 in one of 3x3 with zero taps, and its padding; others unchanged.

    weight: [OC, IC, KH, KW]; pads: top, left, bottom, right. A tap k of a kernel placed at offset o is tap k + o, so
    the padding in front grows by o and the one behind by what is left. Exact.
    """
    import numpy as np

    kernel_h, kernel_w = weight.shape[2:]
    if (kernel_h, kernel_w) in ((1, 1), (3, 3)) or max(kernel_h, kernel_w) > 3:
        return weight, pads
    top, left = (min(3 - size, max(0, 1 - pad)) for size, pad in ((kernel_h, pads[0]), (kernel_w, pads[1])))
    embedded = np.zeros((*weight.shape[:2], 3, 3), np.float32)
    embedded[:, :, top : top + kernel_h, left : left + kernel_w] = weight
    grown = (pads[0] + top, pads[1] + left, pads[2] + 3 - kernel_h - top, pads[3] + 3 - kernel_w - left)
    return embedded, grown


class ConvertConv2d(RewritePattern):
    """A convolution becomes pad, `kpu.conv2d`, crop and strided slice."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one convolution, or record the rule it breaks."""
        if kpu.REASON in op.attributes:
            return
        weight = ktensor.constant_of(op.weight)
        bias = ktensor.constant_of(op.bias) if op.bias is not None else None
        if weight is None or (op.bias is not None and bias is None):
            _refuse(op, "the weights are computed by the model; the KPU needs constants")
            return
        shape = ktensor.shape_of(op.input)
        if shape[0] != 1:
            _refuse(op, f"a batch of {shape[0]} images; only 1 is supported on the KPU")
            return
        groups = op.groups.value.data
        depthwise = groups > 1 and groups == shape[1] == weight.shape[0]
        if groups > 1 and not depthwise:
            weight = dense_weight(weight, groups)
        if any(d != 1 for d, k in zip(op.dilations.get_values(), weight.shape[2:], strict=True) if k > 1):
            _refuse(op, f"dilations {op.dilations.get_values()}; the KPU has only 1")
            return
        kernel, pads = embed_kernel(weight, op.pads.get_values())
        strides = op.strides.get_values()
        rows = Axis.plan(shape[2], kernel.shape[2], pads[0], pads[2], strides[0])
        columns = Axis.plan(shape[3], kernel.shape[3], pads[1], pads[3], strides[1])
        verdict = k210.kernel_rule(*kernel.shape[2:])
        if verdict.ok:
            size = rows.padded, columns.padded
            verdict = splitting.rule(shape[1], kernel.shape[0], *size, kernel.shape[2], depthwise)
        if not verdict.ok:
            _refuse(op, verdict.reason)
            return
        rewriter.replace(op, [], [_build(rewriter, op.input, kernel, bias, depthwise, (rows, columns))])


def _build(
    rewriter: PatternRewriter,
    value: SSAValue,
    weight: "NDArray[np.float32]",
    bias: "NDArray[np.float32] | None",
    depthwise: bool,
    plan: tuple[Axis, Axis],
) -> SSAValue:
    """Insert pad, convolution, crop and slice, those that are needed; return the result."""
    import numpy as np

    rows, columns = plan
    pads = (rows.pad_low, columns.pad_low, rows.pad_high, columns.pad_high)
    if any(pads):
        value = insert(rewriter, kpu.PadOp(value, pads))
    addend = np.zeros(weight.shape[0], np.float32) if bias is None else bias
    value = splitting.convolution(rewriter, value, weight, addend, depthwise)
    strided = rows.stride > 1 or columns.stride > 1
    begins = (rows.begin, columns.begin)
    crops = (*((0, 0) if strided else begins), rows.crop_high, columns.crop_high)
    if any(crops):
        value = insert(rewriter, kpu.CropOp(value, crops))
    if strided:
        value = insert(rewriter, kpu.StridedSliceOp(value, begins, (rows.stride, columns.stride)))
    return value


class ConvertMatmul(RewritePattern):
    """A product with a constant matrix becomes a 1x1 convolution; the rows of the left operand share one map."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.MatmulOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one product, or record the rule it breaks."""
        import numpy as np

        if kpu.REASON in op.attributes:
            return
        weight = ktensor.constant_of(op.rhs)
        bias = ktensor.constant_of(op.bias) if op.bias is not None else None
        if weight is None or weight.ndim != 2 or (op.bias is not None and bias is None):
            _refuse(op, "the right operand is no constant matrix")
            return
        inputs, outputs = weight.shape
        rows = math.prod(ktensor.shape_of(op.lhs)[:-1])
        height, width = _map_size(rows)
        plan = (Axis.plan(height, 1, 0, 0, 1), Axis.plan(width, 1, 0, 0, 1))
        verdict = splitting.rule(inputs, outputs, plan[0].padded, plan[1].padded, 1)
        if not verdict.ok:
            _refuse(op, verdict.reason)
            return
        value = _rows_to_map(rewriter, op.lhs, (rows, inputs), (height, width))
        kernel = np.ascontiguousarray(weight.T).reshape(outputs, inputs, 1, 1)
        value = _build(rewriter, value, kernel, bias, False, plan)
        value = _map_to_rows(rewriter, value, (rows, outputs))
        rewriter.replace(op, [], [insert(rewriter, ktensor.ReshapeOp(value, ktensor.shape_of(op.output)))])


def _map_size(rows: int) -> tuple[int, int]:
    """Height and width of the map whose pixels are the rows of a matrix (1x1 for one row, which is padded later)."""
    if rows == 1:
        return 1, 1
    height = _SMALLEST
    while -(-rows // height) > k210.K210.MAX_WIDTH:
        height *= 2
    return height, -(-rows // height)


def _rows_to_map(
    rewriter: PatternRewriter, value: SSAValue, matrix: tuple[int, int], size: tuple[int, int]
) -> SSAValue:
    """[.., rows, channels] as a map [1, channels, height, width], a row a pixel, zeros behind the last."""
    (rows, channels), pixels = matrix, size[0] * size[1]
    if rows > 1:
        value = insert(rewriter, ktensor.ReshapeOp(value, (rows, channels)))
        value = insert(rewriter, ktensor.TransposeOp(value, (1, 0)))
    if pixels > rows:
        value = insert(rewriter, ktensor.PadOp(value, (0, 0), (0, pixels - rows)))
    return insert(rewriter, ktensor.ReshapeOp(value, (1, channels, *size)))


def _map_to_rows(rewriter: PatternRewriter, value: SSAValue, matrix: tuple[int, int]) -> SSAValue:
    """The inverse of `_rows_to_map`, for a result of `channels` per row."""
    rows, channels = matrix
    if rows == 1:
        return value
    height, width = ktensor.shape_of(value)[2:]
    value = insert(rewriter, ktensor.ReshapeOp(value, (channels, height * width)))
    if height * width > rows:
        value = insert(rewriter, ktensor.SliceOp(value, (0, 0), (channels, rows), (1, 1)))
    return insert(rewriter, ktensor.TransposeOp(value, (1, 0)))


@dataclass(frozen=True)
class ConvertKTensorToKpuPass(ModulePass):
    """Turn convolutions and matrix products into what the KPU can do, with the legalization explicit."""

    name = "convert-ktensor-to-kpu"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, ConvertConv2d(), ConvertMatmul(), recursive=False)
