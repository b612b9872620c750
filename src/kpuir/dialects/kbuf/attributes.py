"""Spaces, enumerations and register blocks of the kbuf dialect."""

from typing import Any, TypeAlias

from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    Float32Type,
    Float64Type,
    FloatAttr,
    IntegerType,
    MemRefType,
    Signedness,
    f32,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, Data, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from kpuir.ir.enums import InAngleBrackets
from kpuir.kmodel.layer import FIELDS, LayerRegisters
from kpuir.target.stackvm import DataType

UI8 = IntegerType(8, Signedness.UNSIGNED)
ELEMENT_TYPES: dict[DataType, Attribute] = {
    **{DataType[f"INT{size}"]: IntegerType(size) for size in (8, 16, 32, 64)},
    **{DataType[f"UINT{size}"]: IntegerType(size, Signedness.UNSIGNED) for size in (8, 16, 32, 64)},
    DataType.FLOAT16: Float16Type(),
    DataType.FLOAT32: f32,
    DataType.FLOAT64: Float64Type(),
    DataType.BFLOAT16: BFloat16Type(),
}
"""What buffers may consist of: all but float32 and uint8 occur in modules read from a kmodel v5 only."""
FLOAT_MAX = 3.4028234663852886e38
"""The largest float32: a clamp from minus to plus this one is none."""

BufferType: TypeAlias = MemRefType[Any]


class Space(StrEnum):
    """Where bytes lie: one of the chip's RAMs, the constant pool in the model, or the caller's own buffers."""

    KPU = "kpu"
    MAIN = "main"
    CONST = "const"
    INPUT = "input"
    OUTPUT = "output"


class BinaryKind(StrEnum):
    """Function of two numbers."""

    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    MIN = "min"
    MAX = "max"


class UnaryKind(StrEnum):
    """Function of one number; rsqrt is 1 / sqrt(x)."""

    ABS = "abs"
    CEIL = "ceil"
    COS = "cos"
    EXP = "exp"
    FLOOR = "floor"
    LOG = "log"
    NEG = "neg"
    RSQRT = "rsqrt"
    SIN = "sin"
    SQUARE = "square"


class ReduceKind(StrEnum):
    """What is computed over reduced axes or windows."""

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    SUM = "sum"


class ResizeMode(StrEnum):
    """How a resized pixel is found."""

    BILINEAR = "bilinear"
    NEAREST = "nearest"


@irdl_attr_definition
class SpaceAttr(InAngleBrackets, EnumAttribute[Space]):
    """The memory space of a buffer: `#kbuf.space<kpu>`."""

    name = "kbuf.space"


@irdl_attr_definition
class BinaryKindAttr(InAngleBrackets, EnumAttribute[BinaryKind]):
    """The function of a binary operation."""

    name = "kbuf.binary_kind"


@irdl_attr_definition
class UnaryKindAttr(InAngleBrackets, EnumAttribute[UnaryKind]):
    """The function of a unary operation."""

    name = "kbuf.unary_kind"


@irdl_attr_definition
class ReduceKindAttr(InAngleBrackets, EnumAttribute[ReduceKind]):
    """The function of a reduction."""

    name = "kbuf.reduce_kind"


@irdl_attr_definition
class ResizeModeAttr(InAngleBrackets, EnumAttribute[ResizeMode]):
    """The interpolation of a resize."""

    name = "kbuf.resize_mode"


@irdl_attr_definition
class ClampAttr(ParametrizedAttribute):
    """The range a float result is clamped to: `#kbuf.clamp<0.000000e+00 : f32, 6.000000e+00 : f32>`.

    An attribute of its own because xDSL 0.74 cannot parse every `array<f32>` it prints (infinities, 16777216.0).
    """

    name = "kbuf.clamp"
    lowest: FloatAttr[Float32Type]
    highest: FloatAttr[Float32Type]

    @staticmethod
    def of(lowest: float = -FLOAT_MAX, highest: float = FLOAT_MAX) -> "ClampAttr":
        """The clamp to lowest..highest; no clamp at all by default."""
        return ClampAttr(FloatAttr(lowest, f32), FloatAttr(highest, f32))

    @property
    def values(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return self.lowest.value.data, self.highest.value.data


ADDRESS_FIELDS = ("image_src_addr", "image_dst_addr", "bwsx_base_addr", "active_addr", "para_start_addr")
"""Register fields that follow from buffers or from the place in the file; they are 0 in the IR."""


@irdl_attr_definition
class RegistersAttr(Data[LayerRegisters]):
    """The layer block of one KPU layer without its addresses: `#kbuf.registers<i_ch_num 2, o_ch_num 15>`.

    Fields that are 0 are not printed. Each must fit its bits.
    """

    name = "kbuf.registers"

    def verify(self) -> None:
        """Check that every field fits, and that no address is given."""
        given = [name for name in ADDRESS_FIELDS if getattr(self.data, name)]
        if given:
            raise VerifyException(
                f"{given[0]} is {getattr(self.data, given[0])}, but addresses follow from the buffers"
            )
        try:
            self.data.pack()
        except ValueError as error:
            raise VerifyException(str(error)) from error

    def print_parameter(self, printer: Printer) -> None:
        """Print `<field value, ...>`."""
        values = {name: getattr(self.data, name) for name in (*FIELDS, "reserved")}
        with printer.in_angle_brackets():
            printer.print_string(", ".join(f"{name} {value}" for name, value in values.items() if value))

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> LayerRegisters:
        """Parse `<field value, ...>`."""

        def pair() -> tuple[str, int]:
            name = parser.parse_identifier()
            if name not in FIELDS and name != "reserved":
                parser.raise_error(f"{name} is no register field")
            return name, parser.parse_integer()

        pairs = parser.parse_comma_separated_list(parser.Delimiter.ANGLE, pair)
        values = dict(pairs)
        if len(values) != len(pairs):
            parser.raise_error("a register field is given twice")
        return LayerRegisters(**values)
