"""The NHWC instructions, which no known compiler emits but every v4 runtime executes (`kmodel-v4.md` section 10)."""

from math import prod
from typing import Any

from xdsl.irdl import irdl_op_definition, operand_def, prop_def

from kpuir.dialects.kbuf.attributes import ClampAttr, ReduceKindAttr
from kpuir.dialects.kbuf.base import (
    BYTE_VALUES,
    BYTES,
    CLAMP,
    FLOAT_VALUES,
    FLOATS,
    INT_VALUES,
    INTEGER,
    ONE_TO_ONE,
    PADDING,
    REAL,
    SHAPE,
    Choice,
    InstructionOp,
    Shape,
    check_count,
)
from kpuir.dialects.kbuf.windows import nhwc_window_shapes


def _check_full(fields: Any) -> None:
    channels = fields.in_shape[3]
    check_count("weights", fields.weights, prod((fields.out_channels, fields.filter_h, fields.filter_w, channels)))
    check_count("bias", fields.bias, fields.out_channels)


def _check_depthwise(fields: Any) -> None:
    check_count("weights", fields.weights, prod((fields.in_shape[3], fields.filter_h, fields.filter_w)))
    check_count("bias", fields.bias, fields.in_shape[3])


@irdl_op_definition
class CpuConv2dOp(InstructionOp):
    """float32 convolution; weights [oc][kh][kw][ic]."""

    name = "kbuf.cpu_conv2d"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    in_shape = prop_def(SHAPE)
    out_channels = prop_def(INTEGER)
    pad_h = prop_def(PADDING)
    pad_w = prop_def(PADDING)
    filter_h = prop_def(INTEGER)
    filter_w = prop_def(INTEGER)
    stride_h = prop_def(INTEGER)
    stride_w = prop_def(INTEGER)
    dilation_h = prop_def(INTEGER)
    dilation_w = prop_def(INTEGER)
    act = prop_def(CLAMP, default_value=ClampAttr.of())
    weights = prop_def(FLOAT_VALUES)
    bias = prop_def(FLOAT_VALUES)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape and the window formula."""
        return nhwc_window_shapes(fields, fields.out_channels)

    def check(self, fields: Any) -> None:
        """Check the lengths of weights and bias."""
        _check_full(fields)


@irdl_op_definition
class CpuDepthwiseConv2dOp(InstructionOp):
    """float32 depthwise convolution; weights [c][kh][kw]."""

    name = "kbuf.cpu_depthwise_conv2d"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    in_shape = prop_def(SHAPE)
    pad_h = prop_def(PADDING)
    pad_w = prop_def(PADDING)
    filter_h = prop_def(INTEGER)
    filter_w = prop_def(INTEGER)
    stride_h = prop_def(INTEGER)
    stride_w = prop_def(INTEGER)
    dilation_h = prop_def(INTEGER)
    dilation_w = prop_def(INTEGER)
    act = prop_def(CLAMP, default_value=ClampAttr.of())
    weights = prop_def(FLOAT_VALUES)
    bias = prop_def(FLOAT_VALUES)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape and the window formula."""
        return nhwc_window_shapes(fields, fields.in_shape[3])

    def check(self, fields: Any) -> None:
        """Check the lengths of weights and bias."""
        _check_depthwise(fields)


@irdl_op_definition
class CpuReduceWindow2dOp(InstructionOp):
    """float32 pooling; the runtime stops at a sum."""

    name = "kbuf.cpu_reduce_window2d"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    op = prop_def(Choice(ReduceKindAttr))
    in_shape = prop_def(SHAPE)
    pad_h = prop_def(PADDING)
    pad_w = prop_def(PADDING)
    filter_h = prop_def(INTEGER)
    filter_w = prop_def(INTEGER)
    stride_h = prop_def(INTEGER)
    stride_w = prop_def(INTEGER)
    dilation_h = prop_def(INTEGER)
    dilation_w = prop_def(INTEGER)
    init = prop_def(REAL)
    act = prop_def(CLAMP, default_value=ClampAttr.of())
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape and the window formula."""
        return nhwc_window_shapes(fields, fields.in_shape[3])


@irdl_op_definition
class CpuQuantizedConv2dOp(InstructionOp):
    """uint8 convolution; offsets are subtracted; weights [oc][kh][kw][ic]."""

    name = "kbuf.cpu_quantized_conv2d"
    input = operand_def(BYTES)
    output = operand_def(BYTES)
    in_shape = prop_def(SHAPE)
    out_channels = prop_def(INTEGER)
    pad_h = prop_def(PADDING)
    pad_w = prop_def(PADDING)
    filter_h = prop_def(INTEGER)
    filter_w = prop_def(INTEGER)
    stride_h = prop_def(INTEGER)
    stride_w = prop_def(INTEGER)
    dilation_h = prop_def(INTEGER)
    dilation_w = prop_def(INTEGER)
    input_offset = prop_def(INTEGER)
    filter_offset = prop_def(INTEGER)
    output_mul = prop_def(INTEGER)
    output_shift = prop_def(INTEGER)
    output_offset = prop_def(INTEGER)
    weights = prop_def(BYTE_VALUES)
    bias = prop_def(INT_VALUES)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape and the window formula."""
        return nhwc_window_shapes(fields, fields.out_channels)

    def check(self, fields: Any) -> None:
        """Check the lengths of weights and bias."""
        _check_full(fields)


@irdl_op_definition
class CpuQuantizedDepthwiseConv2dOp(InstructionOp):
    """uint8 depthwise convolution; offsets are subtracted; weights [c][kh][kw]."""

    name = "kbuf.cpu_quantized_depthwise_conv2d"
    input = operand_def(BYTES)
    output = operand_def(BYTES)
    in_shape = prop_def(SHAPE)
    pad_h = prop_def(PADDING)
    pad_w = prop_def(PADDING)
    filter_h = prop_def(INTEGER)
    filter_w = prop_def(INTEGER)
    stride_h = prop_def(INTEGER)
    stride_w = prop_def(INTEGER)
    dilation_h = prop_def(INTEGER)
    dilation_w = prop_def(INTEGER)
    input_offset = prop_def(INTEGER)
    filter_offset = prop_def(INTEGER)
    output_mul = prop_def(INTEGER)
    output_shift = prop_def(INTEGER)
    output_offset = prop_def(INTEGER)
    weights = prop_def(BYTE_VALUES)
    bias = prop_def(INT_VALUES)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape and the window formula."""
        return nhwc_window_shapes(fields, fields.in_shape[3])

    def check(self, fields: Any) -> None:
        """Check the lengths of weights and bias."""
        _check_depthwise(fields)
