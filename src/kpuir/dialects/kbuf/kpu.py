"""The KPU's instructions: upload of a map, and one pass of the convolution engine (`kmodel-v4.md` section 9)."""

from typing import Any, ClassVar

from xdsl.dialects.builtin import IntegerAttr, i64
from xdsl.irdl import irdl_op_definition, operand_def, opt_operand_def, opt_prop_def, prop_def

from kpuir.dialects.kbuf.base import (
    ANY,
    BYTE_VALUES,
    BYTES,
    FMAP,
    INTEGER,
    ONE_TO_ONE,
    SHAPE,
    WEIGHT_VALUES,
    WORD_VALUES,
    InstructionOp,
    Ints,
    Registers,
    Shape,
    byte_size,
    check_count,
    require,
)
from kpuir.kmodel.layer import ACTIVATION_SEGMENTS
from kpuir.target.k210 import PoolKind, pooled_size


@irdl_op_definition
class KpuUploadOp(InstructionOp):
    """Dense uint8 NCHW into the KPU's line layout, copied by the CPU."""

    name = "kbuf.kpu_upload"
    input = operand_def(BYTES)
    output = operand_def(FMAP)
    in_shape = prop_def(SHAPE)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Both are in_shape."""
        return {"input": fields.in_shape, "output": fields.in_shape}


@irdl_op_definition
class KpuConv2dOp(InstructionOp):
    """One pass of the engine for each of `batches` images; `main_output` also gets a dense NCHW copy of the result.

    `registers` holds the layer block without its addresses, which are the buffers' own. `batch_norm`, `activation`
    and `activation_add` are raw words (`kpuir.kmodel.layer` takes them apart); weights [oc][ic][kh][kw], depthwise
    [oc][kh][kw], are ui8, or ui16 where the kmodel version has such. What else a file says, where it is not what it
    should be: `fills` are the fill bytes of v4, `offsets` the places of v3's arrays, `flags` its flags but that of
    `main_output`, `unused_output` the byte of main memory that a layer without `main_output` names.

    Example: `kbuf.kpu_conv2d %x -> %y main %m {registers = #kbuf.registers<i_ch_num 2, ...>, ...} :
    memref<1x3x32x32xui8, #kbuf.space<kpu>> -> memref<..> main memref<..>`
    """

    name = "kbuf.kpu_conv2d"
    DESTINATIONS: ClassVar[tuple[str, ...]] = ("output", "main_output")
    input = operand_def(FMAP)
    output = operand_def(FMAP)
    main_output = opt_operand_def(ANY)
    batches = prop_def(INTEGER, default_value=IntegerAttr(1, i64))
    reserved = prop_def(INTEGER, default_value=IntegerAttr(0, i64))
    registers = prop_def(Registers())
    batch_norm = prop_def(WORD_VALUES)
    activation = prop_def(WORD_VALUES)
    activation_add = prop_def(BYTE_VALUES)
    weights = prop_def(WEIGHT_VALUES)
    fills = opt_prop_def(Ints(3))
    offsets = opt_prop_def(Ints(4))
    flags = opt_prop_def(INTEGER)
    unused_output = opt_prop_def(INTEGER)
    assembly_format = (
        "$input `->` $output (`main` $main_output^)? attr-dict "
        "`:` type($input) `->` type($output) (`main` type($main_output)^)?"
    )

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """The images the registers describe."""
        return {
            "input": (fields.batches, *fields.registers.input_shape),
            "output": (fields.batches, *fields.registers.output_shape),
        }

    def check(self, fields: Any) -> None:
        """Check kernel, pool, the lengths of all arrays, and the copy in main memory."""
        registers = fields.registers
        channels, height, width = registers.output_shape
        try:
            pool = PoolKind.of_code(registers.pool_type)
            weights = registers.weight_count
        except ValueError as error:
            require(False, str(error))
            return
        pooled = pooled_size(pool, *registers.input_shape[1:])
        require(
            (height, width) == pooled,
            f"registers give an output of {height}x{width}, but the pool {pool.value} makes {pooled[0]}x{pooled[1]}",
        )
        check_count("batch_norm", fields.batch_norm, channels)
        check_count("activation", fields.activation, ACTIVATION_SEGMENTS)
        check_count("activation_add", fields.activation_add, ACTIVATION_SEGMENTS)
        check_count("weights", fields.weights, weights)
        same = not registers.depthwise or registers.i_ch_num == registers.o_ch_num
        require(same, f"depthwise with {registers.i_ch_num + 1} input and {channels} output channels")
        self._check_main_output(fields.batches * channels * height * width)

    def _check_main_output(self, expected: int) -> None:
        if self.main_output is None:
            return
        found = byte_size(self.main_output)
        if found:  # a size of 0 means unused, whatever else the range says
            require(BYTES.verifies(self.main_output.type), f"main_output is {self.main_output.type}, not of ui8")
            require(found == expected, f"main_output has {found} bytes, but the result {expected}")
