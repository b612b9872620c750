"""The float32 instructions of neutral memory, NCHW (`kmodel-v4.md` section 7)."""

from typing import Any

from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def

from kpuir.dialects.kbuf.attributes import BinaryKindAttr, ClampAttr, ReduceKindAttr, UnaryKindAttr
from kpuir.dialects.kbuf.base import (
    BYTE_VALUES,
    BYTES,
    CLAMP,
    FLOAT_VALUES,
    FLOATS,
    INTEGER,
    ONE_TO_ONE,
    PADDING,
    REAL,
    SHAPE,
    TWO_TO_ONE,
    Choice,
    InstructionOp,
    Shape,
    byte_size,
    check_count,
    require,
)
from kpuir.dialects.kbuf.windows import check_groups, nchw_window_shapes


@irdl_op_definition
class BinaryOp(InstructionOp):
    """out = clamp(op(a, b)), both operands broadcast over out_shape.

    Example: `kbuf.binary %a, %b -> %y {op = #kbuf.binary_kind<add>, a_shape = array<i64: 1, 1, 1, 4>, ...}`
    """

    name = "kbuf.binary"
    a = operand_def(FLOATS)
    b = operand_def(FLOATS)
    output = operand_def(FLOATS)
    op = prop_def(Choice(BinaryKindAttr))
    a_shape = prop_def(SHAPE)
    b_shape = prop_def(SHAPE)
    out_shape = prop_def(SHAPE)
    act = prop_def(CLAMP, default_value=ClampAttr.of())
    assembly_format = TWO_TO_ONE

    @property
    def overwritable(self) -> tuple[SSAValue, ...]:
        """The operands that are not broadcast."""
        shapes = ((self.a, self.a_shape), (self.b, self.b_shape))
        return tuple(value for value, shape in shapes if shape == self.out_shape)

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """a_shape, b_shape and out_shape."""
        return {"a": fields.a_shape, "b": fields.b_shape, "output": fields.out_shape}

    def check(self, fields: Any) -> None:
        """Check that the operands broadcast."""
        check_broadcast(fields)


def check_broadcast(fields: Any) -> None:
    """Raise VerifyException unless each dimension of a and b is 1 or the output's."""
    for name, shape in (("a_shape", fields.a_shape), ("b_shape", fields.b_shape)):
        fits = all(size in (1, out) for size, out in zip(shape, fields.out_shape, strict=True))
        require(fits, f"{name} {list(shape)} does not broadcast to out_shape {list(fields.out_shape)}")


@irdl_op_definition
class Conv2dOp(InstructionOp):
    """Convolution; weights [oc][ic in group][kh][kw]; taps outside the image are skipped, pads may be negative."""

    name = "kbuf.conv2d"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
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
    act = prop_def(CLAMP, default_value=ClampAttr.of())
    weights = prop_def(FLOAT_VALUES)
    bias = prop_def(FLOAT_VALUES)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape and the window formula."""
        return nchw_window_shapes(fields, fields.out_channels)

    def check(self, fields: Any) -> None:
        """Check groups and the lengths of weights and bias."""
        check_groups(fields, fields.out_channels)


@irdl_op_definition
class Conv2dTransposeOp(InstructionOp):
    """Transposed convolution; weights [oc][ic in group][kh][kw]; the bias is stored, but no runtime adds it."""

    name = "kbuf.conv2d_transpose"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    in_shape = prop_def(SHAPE)
    out_shape = prop_def(SHAPE)
    groups = prop_def(INTEGER)
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
        """in_shape and out_shape."""
        return {"input": fields.in_shape, "output": fields.out_shape}

    def check(self, fields: Any) -> None:
        """Check groups and the lengths of weights and bias."""
        check_groups(fields, fields.out_shape[1])


@irdl_op_definition
class MatmulOp(InstructionOp):
    """out = clamp(a x b + bias), a is rows x cols, row-major."""

    name = "kbuf.matmul"
    a = operand_def(FLOATS)
    b = operand_def(FLOATS)
    output = operand_def(FLOATS)
    a_rows = prop_def(INTEGER)
    a_cols = prop_def(INTEGER)
    b_cols = prop_def(INTEGER)
    act = prop_def(CLAMP, default_value=ClampAttr.of())
    bias = prop_def(FLOAT_VALUES)
    assembly_format = TWO_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """The three matrices."""
        return matmul_shapes(fields)

    def check(self, fields: Any) -> None:
        """Check the length of the bias."""
        check_count("bias", fields.bias, fields.b_cols)


def matmul_shapes(fields: Any) -> dict[str, Shape]:
    """The shapes of a matrix product: rows x cols times cols x b_cols."""
    rows, cols, b_cols = fields.a_rows, fields.a_cols, fields.b_cols
    return {"a": (rows, cols), "b": (cols, b_cols), "output": (rows, b_cols)}


@irdl_op_definition
class ReduceOp(InstructionOp):
    """Reduction over the axes that are 1 in out_shape, starting from `init`; mean multiplies by output / input size."""

    name = "kbuf.reduce"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    op = prop_def(Choice(ReduceKindAttr))
    in_shape = prop_def(SHAPE)
    out_shape = prop_def(SHAPE)
    init = prop_def(REAL)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape and out_shape."""
        return {"input": fields.in_shape, "output": fields.out_shape}

    def check(self, fields: Any) -> None:
        """Check that each axis is kept or reduced to 1."""
        fits = all(out in (1, size) for size, out in zip(fields.in_shape, fields.out_shape, strict=True))
        require(fits, f"in_shape {list(fields.in_shape)} cannot be reduced to {list(fields.out_shape)}")


@irdl_op_definition
class ReduceWindow2dOp(InstructionOp):
    """Pooling; starts from `init`, taps outside the image are skipped and not counted."""

    name = "kbuf.reduce_window2d"
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
        return nchw_window_shapes(fields, fields.in_shape[1])


@irdl_op_definition
class SoftmaxOp(InstructionOp):
    """outer_size rows of inner_size elements: e = exp((x - rowmax) * beta), divided by the row's sum."""

    name = "kbuf.softmax"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    inner_size = prop_def(INTEGER)
    outer_size = prop_def(INTEGER)
    beta = prop_def(REAL)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """outer x inner."""
        shape = (fields.outer_size, fields.inner_size)
        return {"input": shape, "output": shape}


@irdl_op_definition
class UnaryOp(InstructionOp):
    """out = op(x), element by element."""

    name = "kbuf.unary"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    op = prop_def(Choice(UnaryKindAttr))
    assembly_format = ONE_TO_ONE

    @property
    def overwritable(self) -> tuple[SSAValue, ...]:
        """The input."""
        return (self.input,)

    def check(self, fields: Any) -> None:
        """Check that both buffers have as many elements."""
        check_elementwise(self)


@irdl_op_definition
class NnilUnaryMethodOp(InstructionOp):
    """A stack program run once for each element (`kmodel-v4.md` section 8); `code` is its bytes."""

    name = "kbuf.nnil_unary_method"
    input = operand_def(FLOATS)
    output = operand_def(FLOATS)
    code = prop_def(BYTE_VALUES)
    assembly_format = ONE_TO_ONE

    def check(self, fields: Any) -> None:
        """Check that both buffers have as many elements."""
        check_elementwise(self)


def check_elementwise(op: "UnaryOp | NnilUnaryMethodOp") -> None:
    """Raise VerifyException unless input and output have as many bytes."""
    found, expected = byte_size(op.output), byte_size(op.input)
    require(found == expected, f"output has {found} bytes, but input {expected}")


@irdl_op_definition
class DequantizeOp(InstructionOp):
    """uint8 to float32: x = (q - zero_point) * (1 / scale); `scale` is quantized units per real unit."""

    name = "kbuf.dequantize"
    input = operand_def(BYTES)
    output = operand_def(FLOATS)
    zero_point = prop_def(INTEGER)
    scale = prop_def(REAL)
    assembly_format = ONE_TO_ONE

    def check(self, fields: Any) -> None:
        """Check that both buffers have as many elements."""
        found, expected = byte_size(self.output), 4 * byte_size(self.input)
        require(found == expected, f"output has {found} bytes, but the input's elements take {expected}")


@irdl_op_definition
class QuantizeOp(InstructionOp):
    """float32 to uint8: q = sat8(round(x * scale + zero_point)); `scale` is quantized units per real unit."""

    name = "kbuf.quantize"
    input = operand_def(FLOATS)
    output = operand_def(BYTES)
    zero_point = prop_def(INTEGER)
    scale = prop_def(REAL)
    assembly_format = ONE_TO_ONE

    def check(self, fields: Any) -> None:
        """Check that both buffers have as many elements."""
        found, expected = byte_size(self.input), 4 * byte_size(self.output)
        require(found == expected, f"input has {found} bytes, but the output's elements take {expected}")
