"""The instructions that move bytes, of either element type (`kmodel-v4.md` section 7)."""

from typing import Any

from xdsl.dialects.builtin import IntegerAttr, i64
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, var_operand_def

from kpuir.dialects.kbuf.attributes import ResizeModeAttr
from kpuir.dialects.kbuf.base import (
    ANY,
    BYTE_VALUES,
    BYTES,
    INTEGER,
    ONE_TO_ONE,
    PADDINGS,
    SHAPE,
    Choice,
    InstructionOp,
    Ints,
    Shape,
    byte_size,
    check_count,
    check_same_elements,
    require,
)

ZERO = IntegerAttr(0, i64)


@irdl_op_definition
class ConcatOp(InstructionOp):
    """For each of outer_size rows, append inner_size * dims[i] bytes of every input i."""

    name = "kbuf.concat"
    inputs = var_operand_def(ANY)
    output = operand_def(ANY)
    inner_size = prop_def(INTEGER)
    outer_size = prop_def(INTEGER)
    dims = prop_def(Ints(None))
    assembly_format = "$inputs `->` $output attr-dict `:` type($inputs) `->` type($output)"

    def check(self, fields: Any) -> None:
        """Check the bytes of every input and of the output."""
        check_same_elements(self)
        require(
            len(fields.dims) == len(self.inputs), f"{len(self.inputs)} inputs, but dims has {len(fields.dims)} values"
        )
        unit = fields.inner_size * fields.outer_size
        for index, (value, length) in enumerate(zip(self.inputs, fields.dims, strict=True)):
            found = byte_size(value)
            require(found == unit * length, f"input {index} has {found} bytes, but its part takes {unit * length}")
        found, expected = byte_size(self.output), unit * sum(fields.dims)
        require(found == expected, f"output has {found} bytes, but the inputs {expected}")


@irdl_op_definition
class PadOp(InstructionOp):
    """Constant padding of N, C, H and W, before and after each; a negative pad crops.

    `value` holds the bytes of one element: a float's four, or a byte and three that nobody reads, like `value_type`.
    """

    name = "kbuf.pad"
    input = operand_def(ANY)
    output = operand_def(ANY)
    in_shape = prop_def(SHAPE)
    paddings = prop_def(PADDINGS)
    value_type = prop_def(INTEGER, default_value=ZERO)
    value = prop_def(BYTE_VALUES)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape, and that plus the pads."""
        pads = zip(fields.in_shape, fields.paddings[0::2], fields.paddings[1::2], strict=True)
        return {"input": fields.in_shape, "output": tuple(size + before + after for size, before, after in pads)}

    def check(self, fields: Any) -> None:
        """Check element types and the value's length."""
        check_same_elements(self)
        check_count("value", fields.value, 4)


@irdl_op_definition
class MemoryCopyOp(InstructionOp):
    """Copies floor(bytes / 4) words of four bytes: up to three last bytes are lost."""

    name = "kbuf.memory_copy"
    input = operand_def(ANY)
    output = operand_def(ANY)
    assembly_format = ONE_TO_ONE

    def check(self, fields: Any) -> None:
        """Check that both buffers have as many bytes."""
        found, expected = byte_size(self.output), byte_size(self.input)
        require(found == expected, f"output has {found} bytes, but input {expected}")


@irdl_op_definition
class ResizeImageOp(InstructionOp):
    """Resize H and W without half-pixel centres; `align_corners` acts on bilinear only, `reserved` not at all."""

    name = "kbuf.resize_image"
    input = operand_def(ANY)
    output = operand_def(ANY)
    in_shape = prop_def(SHAPE)
    out_h = prop_def(INTEGER)
    out_w = prop_def(INTEGER)
    mode = prop_def(Choice(ResizeModeAttr))
    align_corners = prop_def(INTEGER, default_value=ZERO)
    reserved = prop_def(Ints(3), default_value=Ints(3).to_attribute((0, 0, 0)))
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape, and the same with the new height and width."""
        return {"input": fields.in_shape, "output": (*fields.in_shape[:2], fields.out_h, fields.out_w)}

    def check(self, fields: Any) -> None:
        """Check element types."""
        check_same_elements(self)


@irdl_op_definition
class TransposeOp(InstructionOp):
    """Output dimension i is input dimension perm[i]."""

    name = "kbuf.transpose"
    input = operand_def(ANY)
    output = operand_def(ANY)
    in_shape = prop_def(SHAPE)
    perm = prop_def(SHAPE)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape, and that permuted."""
        require(sorted(fields.perm) == [0, 1, 2, 3], f"perm {list(fields.perm)} is no permutation of 0..3")
        return {"input": fields.in_shape, "output": tuple(fields.in_shape[axis] for axis in fields.perm)}

    def check(self, fields: Any) -> None:
        """Check element types."""
        check_same_elements(self)


@irdl_op_definition
class StridedSliceOp(InstructionOp):
    """Per axis begin, begin + stride, ... before end (after it for negative strides); no runtime reads the masks."""

    name = "kbuf.strided_slice"
    input = operand_def(ANY)
    output = operand_def(ANY)
    in_shape = prop_def(SHAPE)
    begin = prop_def(SHAPE)
    end = prop_def(SHAPE)
    strides = prop_def(SHAPE)
    begin_mask = prop_def(INTEGER, default_value=ZERO)
    end_mask = prop_def(INTEGER, default_value=ZERO)
    ellipsis_mask = prop_def(INTEGER, default_value=ZERO)
    new_axis_mask = prop_def(INTEGER, default_value=ZERO)
    shrink_axis_mask = prop_def(INTEGER, default_value=ZERO)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """in_shape, and the number of indices along each axis."""
        require(all(fields.strides), f"strides {list(fields.strides)} must not be 0")
        axes = zip(fields.begin, fields.end, fields.strides, strict=True)
        return {"input": fields.in_shape, "output": tuple(len(range(*axis)) for axis in axes)}

    def check(self, fields: Any) -> None:
        """Check element types, and that all indices lie inside."""
        check_same_elements(self)
        for size, *axis in zip(fields.in_shape, fields.begin, fields.end, fields.strides, strict=True):
            taken = range(*axis)
            inside = not taken or (min(taken[0], taken[-1]) >= 0 and max(taken[0], taken[-1]) < size)
            require(inside, f"the slice {axis} leaves a dimension of {size}")


@irdl_op_definition
class TableLookup1dOp(InstructionOp):
    """out[i] = table[in[i]] with a table of 256 bytes."""

    name = "kbuf.table_lookup1d"
    input = operand_def(BYTES)
    table = operand_def(BYTES)
    output = operand_def(BYTES)
    assembly_format = "$input `,` $table `->` $output attr-dict `:` type($input) `,` type($table) `->` type($output)"

    def check(self, fields: Any) -> None:
        """Check sizes."""
        require(byte_size(self.table) == 256, f"table has {byte_size(self.table)} bytes instead of 256")
        found, expected = byte_size(self.output), byte_size(self.input)
        require(found == expected, f"output has {found} bytes, but input {expected}")
