"""Attributes and types of the kpu dialect, and how its operations work on tensors and feature maps alike."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from xdsl.dialects.builtin import (
    ArrayAttr,
    Float32Type,
    Float64Type,
    FloatAttr,
    IntAttr,
    IntegerAttr,
    IntegerType,
    ShapedType,
    TensorType,
)
from xdsl.ir import Attribute, Data, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects.ktensor import (
    QuantizedType,
    check_quantization,
    float_attr,
    int_attr,
    parse_float,
    print_float,
)
from kpuir.target.k210 import PoolKind, Verdict, feature_map_bytes

Size4: TypeAlias = tuple[int, int, int, int]
"""Batch, channels, height, width."""


@irdl_attr_definition
class PoolAttr(Data[PoolKind]):
    """What follows the activation inside a layer: `#kpu.pool<max_2_s2>`."""

    name = "kpu.pool"

    def print_parameter(self, printer: Printer) -> None:
        """Print `<kind>`."""
        with printer.in_angle_brackets():
            printer.print_string(self.data.value)

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> PoolKind:
        """Parse `<kind>`."""
        with parser.in_angle_brackets():
            word = parser.parse_identifier()
        if word not in list(PoolKind):
            parser.raise_error(f"no pool is called {word}, there are {', '.join(PoolKind)}")
        return PoolKind(word)


@irdl_attr_definition
class FeatureMapType(ParametrizedAttribute, TypeAttribute, ShapedType):
    """A map of bytes in KPU RAM that stand for `real = (q - zero_point) * scale`.

    Example: `!kpu.fmap<1x16x32x32, 5.000000e-01, 3>`: batch, channels, height and width, scale, zero point.
    How its pixels lie in lines of 64 bytes follows from the width (kpu-hardware.md 2).
    """

    name = "kpu.fmap"
    shape: ArrayAttr[IntAttr]
    scale: FloatAttr[Float64Type]
    zero_point: IntegerAttr[IntegerType]

    @staticmethod
    def of(shape: Sequence[int], scale: float, zero_point: int) -> "FeatureMapType":
        """The type of a map of `shape` (4 numbers) with `scale` and `zero_point`."""
        return FeatureMapType(ArrayAttr(IntAttr(size) for size in shape), float_attr(scale), int_attr(zero_point))

    @property
    def scale_value(self) -> float:
        """The real value of one step."""
        return self.scale.value.data

    @property
    def zero_point_value(self) -> int:
        """The byte that stands for 0."""
        return self.zero_point.value.data

    @property
    def quantized(self) -> QuantizedType:
        """The element type of the same values in main RAM."""
        return QuantizedType.of(self.scale_value, self.zero_point_value)

    def get_num_dims(self) -> int:
        """Always 4."""
        return len(self.shape.data)

    def get_shape(self) -> tuple[int, ...]:
        """Batch, channels, height, width."""
        return tuple(size.data for size in self.shape.data)

    @property
    def byte_size(self) -> int:
        """Bytes of KPU RAM the map takes."""
        return feature_map_bytes(*size4(self))

    def verify(self) -> None:
        """Check rank, sizes and the ranges of scale and zero point."""
        shape = self.get_shape()
        if len(shape) != 4 or min(shape) < 1:
            raise VerifyException(f"a feature map has 4 sizes of at least 1, not {format_shape(shape)}")
        check_quantization(self.scale_value, self.zero_point_value)

    def print_parameters(self, printer: Printer) -> None:
        """Print `<sizes, scale, zero_point>`."""
        with printer.in_angle_brackets():
            printer.print_dimension_list(self.get_shape())
            printer.print_string(", ")
            print_float(printer, self.scale_value)
            printer.print_string(f", {self.zero_point_value}")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """Parse `<sizes, scale, zero_point>`."""
        with parser.in_angle_brackets():
            shape = parser.parse_dimension_list()
            parser.parse_punctuation(",")
            scale = parse_float(parser)
            parser.parse_punctuation(",")
            zero_point = parser.parse_integer()
        return (ArrayAttr(IntAttr(size) for size in shape), float_attr(scale), int_attr(zero_point))


def format_shape(shape: Iterable[int]) -> str:
    """`1x16x32x32`, as types print it."""
    return "x".join(str(size) for size in shape) or "a scalar"


def size4(kind: Attribute) -> Size4:
    """Batch, channels, height and width of a tensor or feature map. Raises VerifyException for anything else."""
    if not isinstance(kind, ShapedType):
        raise VerifyException(f"{kind} has no shape, expected a tensor or feature map of 4 dimensions")
    shape = kind.get_shape()
    if len(shape) != 4 or min(shape) < 1:
        raise VerifyException(f"{kind} is not a tensor or feature map of 4 dimensions of at least 1")
    return shape[0], shape[1], shape[2], shape[3]


def reshaped(kind: Attribute, shape: Size4) -> Attribute:
    """The type `kind` with another shape; elements, scale and zero point stay."""
    if isinstance(kind, FeatureMapType):
        return FeatureMapType.of(shape, kind.scale_value, kind.zero_point_value)
    if isinstance(kind, TensorType):
        return TensorType(element_of(kind), shape)
    raise VerifyException(f"{kind} is neither a tensor nor a feature map")


def element_of(kind: Attribute) -> Attribute:
    """The element type of a tensor, or the quantized type that a feature map's bytes have in main RAM."""
    if isinstance(kind, FeatureMapType):
        return kind.quantized
    if isinstance(kind, TensorType):
        return kind.get_element_type()
    raise VerifyException(f"{kind} is neither a tensor nor a feature map")


def is_float(kind: Attribute) -> bool:
    """Whether `kind` is a tensor of f32."""
    return isinstance(kind, TensorType) and isinstance(kind.get_element_type(), Float32Type)


def is_quantized(kind: Attribute) -> bool:
    """Whether `kind` is a tensor of quantized bytes in main RAM."""
    return isinstance(kind, TensorType) and isinstance(kind.get_element_type(), QuantizedType)


def require(verdict: Verdict) -> None:
    """Raise VerifyException with the reason of a hardware rule that does not hold."""
    if not verdict.ok:
        raise VerifyException(verdict.reason)


def require_type(found: Attribute, expected: Attribute, what: str = "result") -> None:
    """Raise VerifyException where the type of `what` is not the one that others imply."""
    if found != expected:
        raise VerifyException(f"{what} type is {found}, expected {expected}")
