"""Why an operation runs on the CPU, and what the author of the model can do about it.

A reason is what legalization noted (`kpu.reason`: the rule that failed, with both values), else what is true of every
operation of its kind. Hints belong to the rule, found by how its sentence begins, else to the kind.
"""

import re
from typing import Any

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation

from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.target import k210

WEIGHTED = (ktensor.Conv2dOp, ktensor.Conv2dTransposeOp, ktensor.MatmulOp)
"""The operations the KPU is for: convolutions and matrix products."""

_VIEWS = (kpu.ConcatOp, kpu.ChannelSliceOp, kpu.FoldRowsOp, kpu.ImagesOp, kpu.LinesOp)
FREE = (ktensor.ConstantOp, ktensor.ReshapeOp, *_VIEWS)
"""What takes no time anywhere: the same bytes under another shape, or a place for them."""

_FUNCTION = (
    "the KPU computes functions of one variable in its layers only, behind the sum",
    "put the function directly behind a convolution",
)
_MOVED = ("no layer of the KPU moves elements like this", "do it behind the model, or by a convolution")
_ARITHMETIC = ("the KPU adds and multiplies by constant weights only", "add maps in front of a convolution")
_POOL = ("the KPU pools behind a convolution only", "use windows of 2x2 or 4x4, with strides of their own size")
_SUM = ("the KPU sums over 3x3 pixels and channels, not over whole axes", "")
_SCALED = ("the KPU makes no more pixels than it reads", "enlarge by 2 with nearest pixels, in front of a convolution")
_JOINED = ("the KPU joins channels of equal maps only", "concatenate channels, each operand a multiple of 4")
_SOFTMAX = ("the KPU has no division by a sum", "leave a last softmax out: the largest score stays the largest")
_BORDER = ("the KPU pads one pixel of a 3x3 convolution, nothing else", "use a padding of half the kernel's size")

_KINDS: dict[type[Operation], tuple[str, str]] = {
    ktensor.Conv2dOp: ("it is not legalized", "run kpu-legalize"),
    ktensor.Conv2dTransposeOp: ("the KPU has no transposed convolution", "resize, and convolve"),
    ktensor.MatmulOp: ("it is not legalized", "run kpu-legalize"),
    ktensor.UnaryOp: _FUNCTION,
    ktensor.BinaryOp: _ARITHMETIC,
    ktensor.SelectOp: _ARITHMETIC,
    ktensor.ActivationOp: _FUNCTION,
    ktensor.PReluOp: _FUNCTION,
    ktensor.SoftmaxOp: _SOFTMAX,
    ktensor.MaxPool2dOp: _POOL,
    ktensor.AveragePool2dOp: _POOL,
    ktensor.ReduceOp: _SUM,
    ktensor.ResizeOp: _SCALED,
    ktensor.SpaceToBatchOp: _MOVED,
    ktensor.BatchToSpaceOp: _MOVED,
    ktensor.DepthToSpaceOp: _MOVED,
    ktensor.SpaceToDepthOp: _MOVED,
    ktensor.ConcatOp: _JOINED,
    ktensor.TransposeOp: _MOVED,
    ktensor.PadOp: _BORDER,
    ktensor.SliceOp: _MOVED,
    kpu.PadOp: _BORDER,
    kpu.CropOp: ("the KPU keeps all rows and columns of a result", "use a padding of half the kernel's size"),
    kpu.StridedSliceOp: ("the KPU picks every 2nd or 4th pixel, and not after every layer", "use a stride of 2"),
    kpu.SpaceToBatchOp: ("the KPU has no dilated kernels", "use more layers, or smaller maps"),
    kpu.BatchToSpaceOp: ("the KPU has no dilated kernels", "use more layers, or smaller maps"),
    kbuf.BinaryOp: _ARITHMETIC,
    kbuf.ConcatOp: _JOINED,
    kbuf.Conv2dTransposeOp: ("the KPU has no transposed convolution", "resize, and convolve"),
    kbuf.PadOp: _BORDER,
    kbuf.ReduceOp: _SUM,
    kbuf.ReduceWindow2dOp: _POOL,
    kbuf.ResizeImageOp: _SCALED,
    kbuf.SoftmaxOp: _SOFTMAX,
    kbuf.TransposeOp: _MOVED,
    kbuf.StridedSliceOp: _MOVED,
    kbuf.UnaryOp: _FUNCTION,
    kbuf.QuantizedBinaryOp: _ARITHMETIC,
    kbuf.TableLookup1dOp: _FUNCTION,
    kbuf.NnilUnaryMethodOp: _FUNCTION,
    kbuf.CpuReduceWindow2dOp: _POOL,
}

_AGAIN = "it was not made a layer"
_HINTS = {**dict(_KINDS.values()), _AGAIN: "compile the model again"}
"""What to do, by the reason that is true of a kind."""

_RULES: tuple[tuple[str, str], ...] = (
    (r"the kernel is", "use 1x1 or 3x3; two 3x3 layers see as much as a 5x5"),
    (r"the strides are", "use strides of 1, 2 or 4, the same in both directions"),
    (r"(the )?dilations", "use more layers, or smaller maps, instead of dilation"),
    (r"\d+ groups of", "use one group, or one per channel"),
    (r"the input is .* (high|wide)", "resize the input to 4..1024 rows and 4..512 columns"),
    (r"the output is", "pool or stride less, so that 4x4 pixels are left"),
    (r"the (input|output) has \d+ channels", "use at most 1024 channels"),
    (r"a depthwise layer cannot pool", "pool behind an ordinary convolution"),
    (r"a depthwise layer gives", "use a depth multiplier of 1 and a 1x1 convolution behind"),
    (r"the weights of \d+ -> \d+ channels", "use fewer channels, or a 1x1 kernel"),
    (r"one output channel has", "use fewer input channels, or a 1x1 kernel"),
    (r"(\d+ rows of )?input \(\d+ bytes\)", "use a smaller input or fewer channels, or pool or stride in this layer"),
    (r"channel \d+ is not the first", "use multiples of 4 channels"),
    (r"the output has \d+ pixels", "use a smaller input"),
    (r"(the weights are computed|the right operand)", "store the weights in the model"),
    (r"(a batch of )?\d+ images", "export the model for a batch of 1"),
    (r"padding of .* is left out", "let padding count in the mean (count_include_pad=1), or pool without"),
    (r"padding with 0 could", "put a ReLU in front of the pool"),
    (
        r"(a window of|a mean of|the window is|the stride is|the pads are|padding (counts|would count))",
        "pool 2x2 or 4x4, with strides of that size",
    ),
    (r"blocks of", "use blocks of 2x2"),
    (r"rows of \d+ and \d+ pixels", "keep widths within 16, 32, or a multiple of 64, or pad by half the kernel's size"),
    (r"the map has \d+ bytes, fewer", "pad less"),
    (r"the map is \d+ high", "resize the input to at most 256 rows"),
    (r"the CPU takes [\d.]+ ms", "let layers of the KPU make what it reads and read what it makes"),
    (r"layers take", "use a padding of half the kernel's size"),
    (r"estimated [\d.]+ ms on the KPU", "let layers of the KPU make what it reads and read what it makes"),
    (r"the KPU has no \w+ of two maps", "add maps, or multiply by constants"),
    (r"the constant \[", "use one number for each channel"),
    (r"the operands \[", "add maps of one size"),
    (r"the slopes are no constants", "store one slope for each channel in the model"),
    (r"the channels come from maps", "use at most 1024 channels"),
    (r"the shape is \[", "export the model for one image"),
    (r"no convolution on the KPU in front", "pool directly behind a convolution"),
    (r"(with )?pixels sorted by", "upsample less, or with fewer channels"),
    (r"the values before pooling", "use the values behind the pool"),
    (r"rounded to 8 bits", "scale its parts alike, or ask for bytes with --input-type uint8"),
)


def reason_of(op: Operation) -> str:
    """Why `op` runs on the CPU; empty where that is nobody's question: on the KPU, or only a way there."""
    noted = op.attributes.get(kpu.REASON)
    if isinstance(noted, StringAttr):
        return noted.data
    if isinstance(op, _CONVOLUTIONS):
        return _broken_rule(op.values()) or _AGAIN
    if isinstance(op, kbuf.MatmulOp | kbuf.QuantizedMatmulOp):
        return _AGAIN
    return _KINDS.get(type(op), ("", ""))[0]


def hint_of(op: Operation) -> str:
    """What to do so that `op` runs on the KPU; empty where nothing is known."""
    reason = reason_of(op)
    hint = next((hint for pattern, hint in _RULES if re.match(pattern, reason)), None)
    if hint is not None:
        return hint
    unknown = "" if isinstance(op, _SPECIFIC) else _KINDS.get(type(op), ("", ""))[1]
    return _HINTS.get(reason, unknown)


_SPECIFIC = (*WEIGHTED, kpu.PadOp, kpu.CropOp, kbuf.PadOp)
"""Whose hint fits the reason of their kind only."""

_CONVOLUTIONS = (
    kbuf.Conv2dOp,
    kbuf.CpuConv2dOp,
    kbuf.CpuDepthwiseConv2dOp,
    kbuf.QuantizedConv2dOp,
    kbuf.CpuQuantizedConv2dOp,
    kbuf.CpuQuantizedDepthwiseConv2dOp,
)


def _broken_rule(fields: dict[str, Any]) -> str:
    """The first rule that an instruction of a kmodel read back breaks; empty where it could be a layer."""
    verdicts = (
        k210.kernel_rule(fields["filter_h"], fields["filter_w"]),
        k210.stride_rule(fields["stride_h"], fields["stride_w"]),
        k210.dilation_rule(fields["dilation_h"], fields["dilation_w"]),
    )
    return next((verdict.reason for verdict in verdicts if not verdict.ok), "")
