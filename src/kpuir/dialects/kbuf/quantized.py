"""The uint8 instructions of neutral memory (`kmodel-v4.md` section 7): fixed point, offsets are added."""

from typing import Any

from xdsl.irdl import irdl_op_definition, operand_def, prop_def

from kpuir.dialects.kbuf.attributes import BinaryKindAttr
from kpuir.dialects.kbuf.base import (
    BYTE_VALUES,
    BYTES,
    INT_VALUES,
    INTEGER,
    ONE_TO_ONE,
    PADDING,
    SHAPE,
    TWO_TO_ONE,
    Choice,
    InstructionOp,
    Shape,
    check_count,
)
from kpuir.dialects.kbuf.floating import check_broadcast, matmul_shapes
from kpuir.dialects.kbuf.windows import check_groups, nchw_window_shapes


@irdl_op_definition
class QuantizedBinaryOp(InstructionOp):
    """out = sat8(fx(op(fx(a + a_offset), fx(b + b_offset)), output_mul, output_shift) + output_offset)."""

    name = "kbuf.quantized_binary"
    a = operand_def(BYTES)
    b = operand_def(BYTES)
    output = operand_def(BYTES)
    op = prop_def(Choice(BinaryKindAttr))
    a_shape = prop_def(SHAPE)
    b_shape = prop_def(SHAPE)
    out_shape = prop_def(SHAPE)
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
        """a_shape, b_shape and out_shape."""
        return {"a": fields.a_shape, "b": fields.b_shape, "output": fields.out_shape}

    def check(self, fields: Any) -> None:
        """Check that the operands broadcast."""
        check_broadcast(fields)


@irdl_op_definition
class QuantizedConv2dOp(InstructionOp):
    """NCHW: out = sat8(fx(bias + sum (x + input_offset)(w + filter_offset)) + output_offset)."""

    name = "kbuf.quantized_conv2d"
    input = operand_def(BYTES)
    output = operand_def(BYTES)
    in_shape = prop_def(SHAPE)
    groups = prop_def(INTEGER)
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
    bias = prop_def(INT_VALUES)
    weights = prop_def(BYTE_VALUES)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape and the window formula."""
        return nchw_window_shapes(fields, fields.out_channels)

    def check(self, fields: Any) -> None:
        """Check groups and the lengths of weights and bias."""
        check_groups(fields, fields.out_channels)


@irdl_op_definition
class QuantizedMatmulOp(InstructionOp):
    """out = sat8(fx(bias + sum (a + a_offset)(b + b_offset)) + output_offset)."""

    name = "kbuf.quantized_matmul"
    a = operand_def(BYTES)
    b = operand_def(BYTES)
    output = operand_def(BYTES)
    a_rows = prop_def(INTEGER)
    a_cols = prop_def(INTEGER)
    b_cols = prop_def(INTEGER)
    a_offset = prop_def(INTEGER)
    b_offset = prop_def(INTEGER)
    output_mul = prop_def(INTEGER)
    output_shift = prop_def(INTEGER)
    output_offset = prop_def(INTEGER)
    bias = prop_def(INT_VALUES)
    assembly_format = TWO_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """The three matrices."""
        return matmul_shapes(fields)

    def check(self, fields: Any) -> None:
        """Check the length of the bias."""
        check_count("bias", fields.bias, fields.b_cols)
