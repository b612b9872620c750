"""The operations of the kpu dialect that cost nothing in KPU RAM: other views of lines that lie there already.

A map of C channels takes `ceil(C / g)` groups of lines, g channels sharing each line (`kpu-hardware.md` 2). So maps of
one size that lie one after another are the concatenation of their channels, a part that starts at a line is a map of
its own, and the lines of one group can be read as several groups of fewer rows.
"""

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, IntegerAttr, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects.kpu.attributes import FeatureMapType, Size4, format_shape, require, require_type, reshaped, size4
from kpuir.dialects.ktensor import MovesElements, MovesElementsOrZero, QuantizedType, int_attr
from kpuir.target import k210

_FORMAT = "$input attr-dict `:` functional-type(operands, results)"


@irdl_op_definition
class ConcatOp(IRDLOperation):
    """The channels of maps of one size, one map after another: in KPU RAM they just lie next to each other.

    Every operand but the last starts a new line, so what is left of its last line follows it: channels that hold
    anything (0 in real numbers) and that whoever reads the result has to weight with 0. An operand of C channels takes
    `ceil(C / g) * g`; of maps over 32 wide, g is 1. The bytes are the operands' own, read with the result's scale and
    zero point.

        %y = kpu.concat %a, %b : (tensor<1x5x20x20xf32>, tensor<1x3x20x20xf32>) -> tensor<1x9x20x20xf32>
    """

    name = "kpu.concat"
    inputs = var_operand_def()
    output = result_def()
    traits = traits_def(Pure())
    assembly_format = "$inputs attr-dict `:` functional-type(operands, results)"

    def __init__(self, inputs: Sequence[SSAValue | Operation], *, result_element: QuantizedType | None = None) -> None:
        """`result_element`: how quantized operands are read; that of the first unless given."""
        values = [SSAValue.get(value) for value in inputs]
        kind = reshaped(values[0].type, joined_size([size4(value.type) for value in values]))
        if result_element is not None:
            kind = _quantized_as(kind, result_element)
        super().__init__(operands=[values], result_types=[kind])

    @property
    def first_channels(self) -> tuple[int, ...]:
        """The channel of the result at which each operand begins."""
        return first_channels([size4(value.type) for value in self.inputs])

    def verify_(self) -> None:
        """Check that all are of one size and kind, and the size of the result."""
        if not self.inputs:
            raise VerifyException("a concat has at least one operand")
        sizes = [size4(value.type) for value in self.inputs]
        for size in sizes:
            if (size[0], *size[2:]) != (sizes[0][0], *sizes[0][2:]):
                raise VerifyException(
                    f"operands of {format_shape(sizes[0])} and {format_shape(size)} differ in more than channels"
                )
        if sizes[0][0] != 1 and len(sizes) > 1:
            raise VerifyException(f"{sizes[0][0]} images do not lie next to each other channel by channel")
        size = joined_size(sizes)
        for value in self.inputs:
            if isinstance(value.type, FeatureMapType) != isinstance(self.output.type, FeatureMapType):
                raise VerifyException(f"operand {value.type} and result {self.output.type} are not in the same RAM")
        require_type(self.output.type, reshaped(self.output.type, size))


@irdl_op_definition
class ChannelSliceOp(IRDLOperation):
    """`channels` channels of a map from `begin` on, which is the first channel of a line.

    %y = kpu.channel_slice %x {begin = 4 : i64, channels = 4 : i64} : (tensor<1x8x9x9xf32>) -> tensor<1x4x9x9xf32>
    """

    name = "kpu.channel_slice"
    input = operand_def()
    begin = prop_def(IntegerAttr[I64])
    channels = prop_def(IntegerAttr[I64])
    output = result_def()
    traits = traits_def(Pure(), MovesElements())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = _FORMAT

    def __init__(self, input: SSAValue | Operation, begin: int, channels: int) -> None:
        x = SSAValue.get(input)
        size = size4(x.type)
        super().__init__(
            operands=[x],
            properties={"begin": int_attr(begin), "channels": int_attr(channels)},
            result_types=[reshaped(x.type, (size[0], channels, *size[2:]))],
        )

    @property
    def first(self) -> int:
        """The first channel that is kept."""
        return self.begin.value.data

    @property
    def count(self) -> int:
        """How many channels are kept."""
        return self.channels.value.data

    def verify_(self) -> None:
        """Check the bounds, that `begin` starts a line, and the result type."""
        batch, channels, height, width = size4(self.input.type)
        if batch != 1 or self.first < 0 or self.count < 1 or self.first + self.count > channels:
            raise VerifyException(
                f"channels {self.first}..{self.first + self.count} of {format_shape((batch, channels, height, width))}"
            )
        require(k210.line_start_rule(self.first, width))
        require_type(self.output.type, reshaped(self.input.type, (batch, self.count, height, width)))


@irdl_op_definition
class FoldRowsOp(IRDLOperation):
    """Blocks of rows become channels: `factor` blocks of height / factor rows each.

    Channel c = q * g + s, with g channels in a line, becomes the channels (q * factor + block) * g + s. Its lines in
    KPU RAM are the same, in the same order. The channels are a multiple of g, the height one of `factor`.

        %y = kpu.fold_rows %x {factor = 5 : i64} : (tensor<1x64x25x5xf32>) -> tensor<1x320x5x5xf32>
    """

    name = "kpu.fold_rows"
    input = operand_def()
    factor = prop_def(IntegerAttr[I64])
    output = result_def()
    traits = traits_def(Pure(), MovesElements())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = _FORMAT

    def __init__(self, input: SSAValue | Operation, factor: int) -> None:
        x = SSAValue.get(input)
        super().__init__(
            operands=[x],
            properties={"factor": int_attr(factor)},
            result_types=[reshaped(x.type, _folded(size4(x.type), factor))],
        )

    def verify_(self) -> None:
        """Check that the rows divide, that all lines are full, and the result type."""
        size, factor = size4(self.input.type), self.factor.value.data
        require_type(self.output.type, reshaped(self.input.type, _folded(size, factor)))


@irdl_op_definition
class LinesOp(IRDLOperation):
    """The 64-byte lines of a narrow map as rows of 64 pixels, `height` of them a channel.

    Of a map up to 32 wide, with g channels in a line, pixel (c, y, x) becomes pixel (c % g) * 64 / g + x of row
    (c // g) * H + y, rows counted through all channels. What lies between the channels of a line is anything (0 in real
    numbers). The channels are a multiple of g, the lines one of `height`.

        %y = kpu.lines %x {height = 64 : i64} : (tensor<1x16x16x5xf32>) -> tensor<1x1x64x64xf32>
    """

    name = "kpu.lines"
    input = operand_def()
    height = prop_def(IntegerAttr[I64])
    output = result_def()
    traits = traits_def(Pure(), MovesElementsOrZero())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = _FORMAT

    def __init__(self, input: SSAValue | Operation, height: int) -> None:
        x = SSAValue.get(input)
        super().__init__(
            operands=[x],
            properties={"height": int_attr(height)},
            result_types=[reshaped(x.type, _in_lines(size4(x.type), height))],
        )

    def verify_(self) -> None:
        """Check that the lines divide, that all are full, and the result type."""
        size, height = size4(self.input.type), self.height.value.data
        require_type(self.output.type, reshaped(self.input.type, _in_lines(size, height)))


@irdl_op_definition
class ImagesOp(IRDLOperation):
    """Blocks of channels as images of their own, `count` of them, or images as blocks of channels.

    Image n of the result has the channels n * C .. n * C + C - 1 of all channels of the input, counted through its own
    images. Images lie in KPU RAM one after another, as blocks of channels do that fill their lines: where there are
    several, their channels are a multiple of those in a line. A layer does the same to all images.

        %y = kpu.images %x {count = 3 : i64} : (tensor<1x24x5x5xf32>) -> tensor<3x8x5x5xf32>
    """

    name = "kpu.images"
    input = operand_def()
    count = prop_def(IntegerAttr[I64])
    output = result_def()
    traits = traits_def(Pure(), MovesElements())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = _FORMAT

    def __init__(self, input: SSAValue | Operation, count: int) -> None:
        x = SSAValue.get(input)
        super().__init__(
            operands=[x],
            properties={"count": int_attr(count)},
            result_types=[reshaped(x.type, _as_images(size4(x.type), count))],
        )

    def verify_(self) -> None:
        """Check that all images have as many channels and full lines, and the result type."""
        require_type(
            self.output.type, reshaped(self.input.type, _as_images(size4(self.input.type), self.count.value.data))
        )


def first_channels(sizes: Sequence[Size4]) -> tuple[int, ...]:
    """The channel at which each of several maps begins that lie one after another, each at a new line."""
    group = k210.row_layout(sizes[0][3]).channels_per_line
    starts = [0]
    for size in sizes[:-1]:
        starts.append(starts[-1] + -(-size[1] // group) * group)
    return tuple(starts)


def joined_size(sizes: Sequence[Size4]) -> Size4:
    """The size of several maps that lie one after another, seen as one."""
    batch, _, height, width = sizes[0]
    return batch, first_channels(sizes)[-1] + sizes[-1][1], height, width


def _folded(size: Size4, factor: int) -> Size4:
    batch, channels, height, width = size
    group = k210.row_layout(width).channels_per_line
    if factor < 1 or height % factor or channels % group:
        raise VerifyException(
            f"{format_shape(size)} does not fold by {factor}: {height} rows are to be a multiple of it, "
            f"{channels} channels one of the {group} in a line"
        )
    return batch, channels * factor, height // factor, width


def _as_images(size: Size4, count: int) -> Size4:
    batch, channels, height, width = size
    group = k210.row_layout(width).channels_per_line
    each = batch * channels // max(count, 1)
    if each * count != batch * channels or any(n > 1 and c % group for n, c in ((batch, channels), (count, each))):
        raise VerifyException(
            f"{format_shape(size)} is not {count} images of equal channels, a multiple of the {group} in a line"
        )
    return count, each, height, width


def _in_lines(size: Size4, height: int) -> Size4:
    batch, channels, rows, width = size
    layout = k210.row_layout(width)
    lines = k210.feature_map_lines(channels, rows, width)
    if batch != 1 or layout.channels_per_line == 1 or channels % layout.channels_per_line or lines % max(height, 1):
        raise VerifyException(
            f"{format_shape(size)} is no map of lines of several channels each, all full, or its {lines} lines are no "
            f"multiple of {height}"
        )
    return batch, lines // height, height, k210.K210.LINE_BYTES


def _quantized_as(kind: Attribute, element: QuantizedType) -> Attribute:
    if isinstance(kind, FeatureMapType):
        return FeatureMapType.of(kind.get_shape(), element.scale_value, element.zero_point_value)
    return TensorType(element, size4(kind))
