"""The layers of kmodel v3 but its convolution, which is kbuf.kpu_conv2d (`kmodel-v3.md` sections 3 and 4).

Operands and properties have the names of the file's fields; addresses are operands, the line of KPU RAM is `output`.
`flags` decorate: no runtime reads them, and their defaults are what the reference compiler writes.
"""

from typing import Any

from xdsl.dialects.builtin import IntegerAttr, i64
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, var_operand_def

from kpuir.dialects.kbuf.base import (
    ANY,
    BYTE_VALUES,
    BYTES,
    FLOAT_VALUES,
    FLOATS,
    FMAP,
    INTEGER,
    ONE_TO_ONE,
    REAL,
    TWO_TO_ONE,
    InstructionOp,
    Shape,
    byte_size,
    check_count,
    require,
)

_INNER, _SENDS = IntegerAttr(0, i64), IntegerAttr(1, i64)


@irdl_op_definition
class AddOp(InstructionOp):
    """float32 sums.

    Example: `kbuf.v3_add %a, %b -> %y {count = 8 : i64} : memref<8xf32, #kbuf.space<main>>, memref<..> -> memref<..>`
    """

    name = "kbuf.v3_add"
    a = operand_def(FLOATS)
    b = operand_def(FLOATS)
    output = operand_def(FLOATS)
    flags = prop_def(INTEGER, default_value=_SENDS)
    count = prop_def(INTEGER)
    assembly_format = TWO_TO_ONE

    @property
    def overwritable(self) -> tuple[SSAValue, ...]:
        """Both operands."""
        return (self.a, self.b)

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """All have `count` elements."""
        return dict.fromkeys(("a", "b", "output"), (fields.count,))


@irdl_op_definition
class QuantizedAddOp(InstructionOp):
    """out = sat8(fx((a + a_offset) a_mul >> a_shift + (b + b_offset) b_mul >> b_shift) + output_offset).

    The runtime rounds the count up to a multiple of 8: all three buffers need that room.
    """

    name = "kbuf.v3_quantized_add"
    a = operand_def(BYTES)
    b = operand_def(BYTES)
    output = operand_def(BYTES)
    flags = prop_def(INTEGER, default_value=_SENDS)
    count = prop_def(INTEGER)
    a_offset = prop_def(INTEGER)
    a_mul = prop_def(INTEGER)
    a_shift = prop_def(INTEGER)
    b_offset = prop_def(INTEGER)
    b_mul = prop_def(INTEGER)
    b_shift = prop_def(INTEGER)
    output_offset = prop_def(INTEGER)
    output_mul = prop_def(INTEGER)
    output_shift = prop_def(INTEGER)
    assembly_format = TWO_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """All have `count` elements."""
        return dict.fromkeys(("a", "b", "output"), (fields.count,))


@irdl_op_definition
class GlobalAveragePool2dOp(InstructionOp):
    """The mean of each channel of `kernel_size` values."""

    name = "kbuf.v3_global_average_pool2d"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    flags = prop_def(INTEGER, default_value=_SENDS)
    kernel_size = prop_def(INTEGER)
    channels = prop_def(INTEGER)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Channels of values, and one for each."""
        return {"input": (fields.channels, fields.kernel_size), "output": (fields.channels,)}


def _pool_shapes(fields: Any) -> dict[str, Shape]:
    return {
        "input": (fields.in_channels, fields.in_height, fields.in_width),
        "output": (fields.out_channels, fields.out_height, fields.out_width),
    }


def _check_channels(fields: Any) -> None:
    enough = fields.out_channels <= fields.in_channels
    require(enough, f"{fields.out_channels} output channels need as many of the input, which has {fields.in_channels}")


@irdl_op_definition
class QuantizedMaxPool2dOp(InstructionOp):
    """The maxima of uint8 windows, clipped to the image; the pads are those of left and top."""

    name = "kbuf.v3_quantized_max_pool2d"
    input = operand_def(BYTES)
    output = operand_def(BYTES)
    flags = prop_def(INTEGER, default_value=_SENDS)
    in_width = prop_def(INTEGER)
    in_height = prop_def(INTEGER)
    in_channels = prop_def(INTEGER)
    out_width = prop_def(INTEGER)
    out_height = prop_def(INTEGER)
    out_channels = prop_def(INTEGER)
    kernel_width = prop_def(INTEGER)
    kernel_height = prop_def(INTEGER)
    stride_width = prop_def(INTEGER)
    stride_height = prop_def(INTEGER)
    pad_width = prop_def(INTEGER)
    pad_height = prop_def(INTEGER)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Input and output image."""
        return _pool_shapes(fields)

    def check(self, fields: Any) -> None:
        """Check that each output channel has its input channel."""
        _check_channels(fields)


@irdl_op_definition
class AveragePool2dOp(InstructionOp):
    """The means of float32 windows over what of them is inside of the image; the runtime ignores `activation`."""

    name = "kbuf.v3_average_pool2d"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    flags = prop_def(INTEGER, default_value=_SENDS)
    in_width = prop_def(INTEGER)
    in_height = prop_def(INTEGER)
    in_channels = prop_def(INTEGER)
    out_width = prop_def(INTEGER)
    out_height = prop_def(INTEGER)
    out_channels = prop_def(INTEGER)
    kernel_width = prop_def(INTEGER)
    kernel_height = prop_def(INTEGER)
    stride_width = prop_def(INTEGER)
    stride_height = prop_def(INTEGER)
    pad_width = prop_def(INTEGER)
    pad_height = prop_def(INTEGER)
    activation = prop_def(INTEGER, default_value=IntegerAttr(0, i64))
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Input and output image."""
        return _pool_shapes(fields)

    def check(self, fields: Any) -> None:
        """Check that each output channel has its input channel."""
        _check_channels(fields)


@irdl_op_definition
class QuantizeOp(InstructionOp):
    """float32 to uint8: sat8(round((x - bias) * (1 / scale))), ties away from zero."""

    name = "kbuf.v3_quantize"
    input = operand_def(FLOATS)
    output = operand_def(BYTES)
    flags = prop_def(INTEGER, default_value=_INNER)
    count = prop_def(INTEGER)
    scale = prop_def(REAL)
    bias = prop_def(REAL)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Both have `count` elements."""
        return {"input": (fields.count,), "output": (fields.count,)}


@irdl_op_definition
class DequantizeOp(InstructionOp):
    """uint8 to float32: q * scale + bias."""

    name = "kbuf.v3_dequantize"
    input = operand_def(BYTES)
    output = operand_def(FLOATS)
    flags = prop_def(INTEGER, default_value=_SENDS)
    count = prop_def(INTEGER)
    scale = prop_def(REAL)
    bias = prop_def(REAL)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Both have `count` elements."""
        return {"input": (fields.count,), "output": (fields.count,)}


@irdl_op_definition
class RequantizeOp(InstructionOp):
    """out[i] = table[in[i]] with a table of 256 bytes."""

    name = "kbuf.v3_requantize"
    input = operand_def(BYTES)
    output = operand_def(BYTES)
    flags = prop_def(INTEGER, default_value=_SENDS)
    count = prop_def(INTEGER)
    table = prop_def(BYTE_VALUES)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Both have `count` elements."""
        return {"input": (fields.count,), "output": (fields.count,)}

    def check(self, fields: Any) -> None:
        """Check the table's length."""
        check_count("table", fields.table, 256)


class _VectorOp(InstructionOp):
    """A function of one float32 vector."""

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Both have `channels` elements."""
        return {"input": (fields.channels,), "output": (fields.channels,)}


@irdl_op_definition
class L2NormalizationOp(_VectorOp):
    """One vector, divided by sqrt(max(sum of squares, 1e-10))."""

    name = "kbuf.v3_l2_normalization"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    flags = prop_def(INTEGER, default_value=_SENDS)
    channels = prop_def(INTEGER)
    assembly_format = ONE_TO_ONE


@irdl_op_definition
class SoftmaxOp(_VectorOp):
    """The softmax of one vector; nothing is subtracted where all values are negative."""

    name = "kbuf.v3_softmax"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    flags = prop_def(INTEGER, default_value=_SENDS)
    channels = prop_def(INTEGER)
    assembly_format = ONE_TO_ONE


@irdl_op_definition
class LogisticOp(_VectorOp):
    """1 / (1 + exp(-x)) of `channels` values, which may be all of a map."""

    name = "kbuf.v3_logistic"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    flags = prop_def(INTEGER, default_value=_SENDS)
    channels = prop_def(INTEGER)
    assembly_format = ONE_TO_ONE


class _ConcatOp(InstructionOp):
    """The bytes of the inputs one after another."""

    inputs = var_operand_def(ANY)
    output = operand_def(ANY)
    flags = prop_def(INTEGER, default_value=_SENDS)

    def check(self, fields: Any) -> None:
        """Check the bytes of the output."""
        found, expected = byte_size(self.output), sum(map(byte_size, self.inputs))
        require(found == expected, f"output has {found} bytes, but the inputs {expected}")


@irdl_op_definition
class ConcatOp(_ConcatOp):
    """The bytes of the inputs one after another; with one input it is a copy.

    Example: `kbuf.v3_concat %a, %b -> %y : memref<..>, memref<..> -> memref<..>`
    """

    name = "kbuf.v3_concat"
    assembly_format = "$inputs `->` $output attr-dict `:` type($inputs) `->` type($output)"


@irdl_op_definition
class QuantizedConcatOp(_ConcatOp):
    """The same as v3_concat under another number, which firmware takes for one of uint8."""

    name = "kbuf.v3_quantized_concat"
    assembly_format = "$inputs `->` $output attr-dict `:` type($inputs) `->` type($output)"


@irdl_op_definition
class FullyConnectedOp(InstructionOp):
    """weights [out_channels][in_channels] times a vector, plus bias; `activation` 0 is none, 1 relu, 2 relu6."""

    name = "kbuf.v3_fully_connected"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    flags = prop_def(INTEGER, default_value=_INNER)
    in_channels = prop_def(INTEGER)
    out_channels = prop_def(INTEGER)
    activation = prop_def(INTEGER, default_value=IntegerAttr(0, i64))
    weights = prop_def(FLOAT_VALUES)
    bias = prop_def(FLOAT_VALUES)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Two vectors."""
        return {"input": (fields.in_channels,), "output": (fields.out_channels,)}

    def check(self, fields: Any) -> None:
        """Check the lengths of weights and bias."""
        check_count("weights", fields.weights, fields.in_channels * fields.out_channels)
        check_count("bias", fields.bias, fields.out_channels)


@irdl_op_definition
class TensorflowFlattenOp(InstructionOp):
    """float32 CHW in the order HWC."""

    name = "kbuf.v3_tensorflow_flatten"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    flags = prop_def(INTEGER, default_value=_SENDS)
    width = prop_def(INTEGER)
    height = prop_def(INTEGER)
    channels = prop_def(INTEGER)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """CHW and HWC."""
        return {
            "input": (fields.channels, fields.height, fields.width),
            "output": (fields.height, fields.width, fields.channels),
        }


def _resize_shapes(fields: Any) -> dict[str, Shape]:
    return {
        "input": (fields.channels, fields.in_height, fields.in_width),
        "output": (fields.channels, fields.out_height, fields.out_width),
    }


@irdl_op_definition
class ResizeNearestNeighborOp(InstructionOp):
    """A float32 image of another size: source index floor(o * (in / out)); the runtime ignores `align_corners`."""

    name = "kbuf.v3_resize_nearest_neighbor"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    flags = prop_def(INTEGER, default_value=_INNER)
    in_width = prop_def(INTEGER)
    in_height = prop_def(INTEGER)
    channels = prop_def(INTEGER)
    out_width = prop_def(INTEGER)
    out_height = prop_def(INTEGER)
    align_corners = prop_def(INTEGER, default_value=IntegerAttr(0, i64))
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Input and output image."""
        return _resize_shapes(fields)


@irdl_op_definition
class QuantizedResizeNearestNeighborOp(InstructionOp):
    """The same as v3_resize_nearest_neighbor of a uint8 image."""

    name = "kbuf.v3_quantized_resize_nearest_neighbor"
    input = operand_def(BYTES)
    output = operand_def(BYTES)
    flags = prop_def(INTEGER, default_value=_INNER)
    in_width = prop_def(INTEGER)
    in_height = prop_def(INTEGER)
    channels = prop_def(INTEGER)
    out_width = prop_def(INTEGER)
    out_height = prop_def(INTEGER)
    align_corners = prop_def(INTEGER, default_value=IntegerAttr(0, i64))
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Input and output image."""
        return _resize_shapes(fields)


@irdl_op_definition
class ChannelwiseDequantizeOp(InstructionOp):
    """uint8 to float32: q * scale + bias with a (scale, bias) for each channel of `channel_size` values."""

    name = "kbuf.v3_channelwise_dequantize"
    input = operand_def(BYTES)
    output = operand_def(FLOATS)
    flags = prop_def(INTEGER, default_value=_SENDS)
    channels = prop_def(INTEGER)
    channel_size = prop_def(INTEGER)
    scales = prop_def(FLOAT_VALUES)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Channels of values."""
        return dict.fromkeys(("input", "output"), (fields.channels, fields.channel_size))

    def check(self, fields: Any) -> None:
        """Check that each channel has its pair."""
        check_count("scales", fields.scales, 2 * fields.channels)


@irdl_op_definition
class K210AddPaddingOp(InstructionOp):
    """A vector as the top left pixels of 4x4 maps in KPU RAM, whose other pixels stay as they were."""

    name = "kbuf.v3_k210_add_padding"
    input = operand_def(BYTES)
    output = operand_def(FMAP)
    flags = prop_def(INTEGER, default_value=_INNER)
    channels = prop_def(INTEGER)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """A vector and its maps."""
        return {"input": (fields.channels,), "output": (1, fields.channels, 4, 4)}


@irdl_op_definition
class K210RemovePaddingOp(InstructionOp):
    """The top left pixels of dense 4x4 maps as a vector, both in main memory."""

    name = "kbuf.v3_k210_remove_padding"
    input = operand_def(BYTES)
    output = operand_def(BYTES)
    flags = prop_def(INTEGER, default_value=_SENDS)
    channels = prop_def(INTEGER)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Maps and a vector."""
        return {"input": (fields.channels, 4, 4), "output": (fields.channels,)}


@irdl_op_definition
class K210UploadOp(InstructionOp):
    """A dense uint8 image into the KPU's line layout, copied by the CPU."""

    name = "kbuf.v3_k210_upload"
    input = operand_def(BYTES)
    output = operand_def(FMAP)
    flags = prop_def(INTEGER, default_value=_INNER)
    width = prop_def(INTEGER)
    height = prop_def(INTEGER)
    channels = prop_def(INTEGER)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """The image in both places."""
        return dict.fromkeys(("input", "output"), (1, fields.channels, fields.height, fields.width))


INSTRUCTIONS: list[type[InstructionOp]] = [
    AddOp,
    QuantizedAddOp,
    GlobalAveragePool2dOp,
    QuantizedMaxPool2dOp,
    AveragePool2dOp,
    QuantizeOp,
    DequantizeOp,
    RequantizeOp,
    L2NormalizationOp,
    SoftmaxOp,
    ConcatOp,
    QuantizedConcatOp,
    FullyConnectedOp,
    TensorflowFlattenOp,
    ResizeNearestNeighborOp,
    QuantizedResizeNearestNeighborOp,
    ChannelwiseDequantizeOp,
    LogisticOp,
    K210AddPaddingOp,
    K210RemovePaddingOp,
    K210UploadOp,
]
"""Every layer but the convolution, in the order of their numbers."""
