"""Enums, attributes and types of the ktensor dialect."""

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from xdsl.dialects.builtin import (
    DenseArrayBase,
    Float64Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    Signedness,
    f64,
    i64,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from kpuir.ir.enums import InAngleBrackets

IntArray: TypeAlias = DenseArrayBase[IntegerType]
FloatArray: TypeAlias = DenseArrayBase[Float64Type]

UI8 = IntegerType(8, Signedness.UNSIGNED)


def int_array(values: Iterable[int]) -> IntArray:
    """`array<i64: ...>` of Python ints."""
    return DenseArrayBase.from_list(i64, [int(value) for value in values])


def float_array(values: Iterable[float]) -> FloatArray:
    """`array<f64: ...>` of Python floats."""
    return DenseArrayBase.from_list(f64, [float(value) for value in values])


def int_attr(value: int) -> IntegerAttr[IntegerType]:
    """A 64-bit integer attribute."""
    return IntegerAttr(int(value), i64)


def float_attr(value: float) -> FloatAttr[Float64Type]:
    """A double precision attribute."""
    return FloatAttr(float(value), f64)


def print_float(printer: Printer, value: float) -> None:
    """Print a double so that `parse_float` gives back the same one, infinities included."""
    short = f"{value:.6e}"
    if not math.isfinite(value) or float(short) == value:
        printer.print_string(short)
        return
    mantissa, _, exponent = repr(value).partition("e")
    mantissa = mantissa if "." in mantissa else mantissa + ".0"
    printer.print_string(f"{mantissa}e{exponent}" if exponent else mantissa)


def parse_float(parser: AttrParser) -> float:
    """Parse what `print_float` prints."""
    if parser.parse_optional_keyword("inf") is not None:
        return math.inf
    if parser.parse_optional_keyword("nan") is not None:
        return math.nan
    if parser.parse_optional_punctuation("-") is None:
        return float(parser.parse_number())
    if parser.parse_optional_keyword("inf") is not None:
        return -math.inf
    return -float(parser.parse_number())


def check_quantization(scale: float, zero_point: int) -> None:
    """Raise VerifyException unless the scale is finite and positive and the zero point a byte."""
    if not (math.isfinite(scale) and scale > 0):
        raise VerifyException(f"scale is {scale}, but must be finite and positive")
    if not 0 <= zero_point <= 255:
        raise VerifyException(f"zero_point is {zero_point}, but must lie in 0..255")


@irdl_attr_definition
class QuantizedType(ParametrizedAttribute, TypeAttribute):
    """The element type of a quantized tensor: unsigned bytes that stand for `real = (q - zero_point) * scale`.

    Example: `tensor<1x16x32x32x!ktensor.quantized<ui8, 5.000000e-01, 3>>`.
    `scale` is finite and positive; `zero_point` lies in 0..255.
    """

    name = "ktensor.quantized"
    storage: IntegerType
    scale: FloatAttr[Float64Type]
    zero_point: IntegerAttr[IntegerType]

    @staticmethod
    def of(scale: float, zero_point: int) -> "QuantizedType":
        """The type of bytes with `scale` and `zero_point`."""
        return QuantizedType(UI8, float_attr(scale), int_attr(zero_point))

    @property
    def scale_value(self) -> float:
        """The real value of one step."""
        return self.scale.value.data

    @property
    def zero_point_value(self) -> int:
        """The byte that stands for 0."""
        return self.zero_point.value.data

    @property
    def bounds(self) -> tuple[float, float]:
        """The real values of the bytes 0 and 255."""
        return -self.zero_point_value * self.scale_value, (255 - self.zero_point_value) * self.scale_value

    def verify(self) -> None:
        """Check the ranges of storage, scale and zero point."""
        if self.storage != UI8:
            raise VerifyException(f"storage type is {self.storage}, but only ui8 is supported")
        check_quantization(self.scale_value, self.zero_point_value)

    def print_parameters(self, printer: Printer) -> None:
        """Print `<ui8, scale, zero_point>`."""
        with printer.in_angle_brackets():
            printer.print_attribute(self.storage)
            printer.print_string(", ")
            print_float(printer, self.scale_value)
            printer.print_string(f", {self.zero_point_value}")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """Parse `<ui8, scale, zero_point>`."""
        with parser.in_angle_brackets():
            storage = parser.parse_type()
            parser.parse_punctuation(",")
            scale = parse_float(parser)
            parser.parse_punctuation(",")
            zero_point = parser.parse_integer()
        return (storage, float_attr(scale), int_attr(zero_point))


class UnaryKind(StrEnum):
    """Function of one number; `round` rounds half to even."""

    ABS = "abs"
    CEIL = "ceil"
    EXP = "exp"
    FLOOR = "floor"
    LOG = "log"
    NEG = "neg"
    ROUND = "round"
    RSQRT = "rsqrt"
    SIN = "sin"
    COS = "cos"
    SQRT = "sqrt"
    SQUARE = "square"
    TANH = "tanh"
    ERF = "erf"
    SIGN = "sign"
    TAN = "tan"
    ASIN = "asin"
    ACOS = "acos"
    ATAN = "atan"
    SINH = "sinh"
    COSH = "cosh"
    ASINH = "asinh"
    ACOSH = "acosh"
    ATANH = "atanh"


class BinaryKind(StrEnum):
    """Function of two numbers; comparisons give 1 or 0, floor_mod has the sign of the divisor."""

    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    MIN = "min"
    MAX = "max"
    POW = "pow"
    FLOOR_MOD = "floor_mod"
    EQUAL = "equal"
    GREATER = "greater"
    GREATER_EQUAL = "greater_equal"


class ReduceKind(StrEnum):
    """What is computed over the reduced axes."""

    MEAN = "mean"
    MAX = "max"
    MIN = "min"
    SUM = "sum"
    PROD = "prod"


class ActivationKind(StrEnum):
    """Scalar functions an activation can hold; the parameters each takes are in `ACTIVATION_PARAMETERS`."""

    RELU = "relu"
    RELU6 = "relu6"
    LEAKY_RELU = "leaky_relu"
    SIGMOID = "sigmoid"
    HARD_SIGMOID = "hard_sigmoid"
    HARD_SWISH = "hard_swish"
    SWISH = "swish"
    ELU = "elu"
    GELU = "gelu"
    GELU_TANH = "gelu_tanh"
    MISH = "mish"
    SOFTPLUS = "softplus"
    TANH = "tanh"
    CLAMP = "clamp"
    FAKE_QUANTIZE = "fake_quantize"
    ABS = "abs"
    CEIL = "ceil"
    EXP = "exp"
    FLOOR = "floor"
    LOG = "log"
    NEG = "neg"
    ROUND = "round"
    RSQRT = "rsqrt"
    SIN = "sin"
    COS = "cos"
    SQRT = "sqrt"
    SQUARE = "square"
    ERF = "erf"
    SIGN = "sign"
    TAN = "tan"
    ASIN = "asin"
    ACOS = "acos"
    ATAN = "atan"
    SINH = "sinh"
    COSH = "cosh"
    ASINH = "asinh"
    ACOSH = "acosh"
    ATANH = "atanh"
    ADD = "add"
    SUB = "sub"
    RSUB = "rsub"
    MUL = "mul"
    DIV = "div"
    RDIV = "rdiv"
    MIN = "min"
    MAX = "max"


ACTIVATION_PARAMETERS: dict[ActivationKind, tuple[str, ...]] = {
    ActivationKind.LEAKY_RELU: ("alpha",),
    ActivationKind.HARD_SIGMOID: ("alpha", "beta"),
    ActivationKind.ELU: ("alpha",),
    ActivationKind.CLAMP: ("lo", "hi"),
    ActivationKind.FAKE_QUANTIZE: ("scale", "zero_point"),
    ActivationKind.ADD: ("c",),
    ActivationKind.SUB: ("c",),
    ActivationKind.RSUB: ("c",),
    ActivationKind.MUL: ("c",),
    ActivationKind.DIV: ("c",),
    ActivationKind.RDIV: ("c",),
    ActivationKind.MIN: ("c",),
    ActivationKind.MAX: ("c",),
}
"""Names of the parameters of each activation that takes any."""


@irdl_attr_definition
class ActivationKindAttr(InAngleBrackets, EnumAttribute[ActivationKind]):
    """The function of an activation."""

    name = "ktensor.activation_kind"


@irdl_attr_definition
class ActivationAttr(ParametrizedAttribute):
    """A scalar function with its parameters: `#ktensor.activation<leaky_relu, 1.000000e-01>`.

    relu max(x, 0) · relu6 min(max(x, 0), 6) · leaky_relu x if x >= 0 else alpha * x · sigmoid 1 / (1 + exp(-x)) ·
    hard_sigmoid min(max(alpha * x + beta, 0), 1) · hard_swish x * min(max(x + 3, 0), 6) / 6 · swish x * sigmoid(x) ·
    elu x if x > 0 else alpha * (exp(x) - 1) · gelu x * (1 + erf(x / sqrt(2))) / 2 ·
    gelu_tanh x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2 · softplus log(1 + exp(x)) ·
    mish x * tanh(softplus(x)) · clamp min(max(x, lo), hi) ·
    fake_quantize (min(max(round(x / scale) + zero_point, 0), 255) - zero_point) * scale · every UnaryKind ·
    add x + c · sub x - c · rsub c - x · mul x * c · div x / c · rdiv c / x · min, max.
    """

    name = "ktensor.activation"
    kind_attr: ActivationKindAttr
    values_attr: FloatArray

    @staticmethod
    def of(kind: ActivationKind | str, *params: float) -> "ActivationAttr":
        """The function `kind` with its parameters in the order of `ACTIVATION_PARAMETERS`."""
        return ActivationAttr(ActivationKindAttr(ActivationKind(kind)), float_array(params))

    @property
    def kind(self) -> ActivationKind:
        """Which function."""
        return self.kind_attr.data

    @property
    def values(self) -> tuple[float, ...]:
        """The parameters."""
        return self.values_attr.get_values()

    @property
    def quantized(self) -> QuantizedType | None:
        """What a fake_quantize rounds to; None of other functions."""
        if self.kind != ActivationKind.FAKE_QUANTIZE:
            return None
        return QuantizedType.of(self.values[0], int(self.values[1]))

    @staticmethod
    def rounding_to(element: QuantizedType) -> "ActivationAttr":
        """The fake_quantize with a scale and zero point."""
        return ActivationAttr.of(ActivationKind.FAKE_QUANTIZE, element.scale_value, element.zero_point_value)

    def verify(self) -> None:
        """Check the number of parameters, that none is NaN, a clamp's bounds are in order and a zero point a byte."""
        names = ACTIVATION_PARAMETERS.get(self.kind, ())
        if len(self.values) != len(names):
            expected = f"{len(names)} ({', '.join(names)})" if names else "none"
            raise VerifyException(f"{self.kind} has {len(self.values)} parameters, but takes {expected}")
        if any(math.isnan(value) for value in self.values):
            raise VerifyException(f"{self.kind} has a parameter that is not a number")
        if self.kind == ActivationKind.CLAMP and self.values[0] > self.values[1]:
            raise VerifyException(f"clamp has lo = {self.values[0]} above hi = {self.values[1]}")
        if self.kind == ActivationKind.FAKE_QUANTIZE:
            if not self.values[1].is_integer():
                raise VerifyException(f"zero_point is {self.values[1]}, but must be whole")
            check_quantization(self.values[0], int(self.values[1]))

    def print_parameters(self, printer: Printer) -> None:
        """Print `<kind, parameter, ...>`."""
        with printer.in_angle_brackets():
            printer.print_string(self.kind.value)
            for value in self.values:
                printer.print_string(", ")
                print_float(printer, value)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """Parse `<kind, parameter, ...>`."""
        values: list[float] = []
        with parser.in_angle_brackets():
            kind = parser.parse_str_enum(ActivationKind)
            while parser.parse_optional_punctuation(",") is not None:
                values.append(parse_float(parser))
        return (ActivationKindAttr(kind), float_array(values))


@irdl_attr_definition
class UnaryKindAttr(InAngleBrackets, EnumAttribute[UnaryKind]):
    """`#ktensor.unary_kind<exp>`."""

    name = "ktensor.unary_kind"


@irdl_attr_definition
class BinaryKindAttr(InAngleBrackets, EnumAttribute[BinaryKind]):
    """`#ktensor.binary_kind<add>`."""

    name = "ktensor.binary_kind"


@irdl_attr_definition
class ReduceKindAttr(InAngleBrackets, EnumAttribute[ReduceKind]):
    """`#ktensor.reduce_kind<mean>`."""

    name = "ktensor.reduce_kind"


class ResizeMode(StrEnum):
    """How a resize takes its value between pixels."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"


class CoordinateMode(StrEnum):
    """Where in the input an output pixel lies (ONNX Resize `coordinate_transformation_mode`)."""

    HALF_PIXEL = "half_pixel"
    HALF_PIXEL_SYMMETRIC = "half_pixel_symmetric"
    PYTORCH_HALF_PIXEL = "pytorch_half_pixel"
    TF_HALF_PIXEL_FOR_NN = "tf_half_pixel_for_nn"
    ALIGN_CORNERS = "align_corners"
    ASYMMETRIC = "asymmetric"


class NearestMode(StrEnum):
    """How a nearest resize rounds a coordinate (ONNX Resize `nearest_mode`)."""

    ROUND_PREFER_FLOOR = "round_prefer_floor"
    ROUND_PREFER_CEIL = "round_prefer_ceil"
    FLOOR = "floor"
    CEIL = "ceil"


class DepthMode(StrEnum):
    """Order of the channels in depth_to_space and space_to_depth: depth-column-row or column-row-depth."""

    DCR = "dcr"
    CRD = "crd"


@irdl_attr_definition
class ResizeModeAttr(InAngleBrackets, EnumAttribute[ResizeMode]):
    """`#ktensor.resize_mode<nearest>`."""

    name = "ktensor.resize_mode"


@irdl_attr_definition
class CoordinateModeAttr(InAngleBrackets, EnumAttribute[CoordinateMode]):
    """`#ktensor.coordinate_mode<half_pixel>`."""

    name = "ktensor.coordinate_mode"


@irdl_attr_definition
class NearestModeAttr(InAngleBrackets, EnumAttribute[NearestMode]):
    """`#ktensor.nearest_mode<floor>`."""

    name = "ktensor.nearest_mode"


@irdl_attr_definition
class DepthModeAttr(InAngleBrackets, EnumAttribute[DepthMode]):
    """`#ktensor.depth_mode<dcr>`."""

    name = "ktensor.depth_mode"
