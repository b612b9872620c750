"""What every ktensor op shares: its form, the check of its result type, and quick access to shapes and constants."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from xdsl.dialect_interfaces.constant_materialization import ConstantMaterializationInterface
from xdsl.dialects.builtin import (
    AnyFloat,
    DenseIntOrFPElementsAttr,
    IntegerType,
    ShapedType,
    TensorType,
)
from xdsl.interfaces import HasFolderInterface
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.pattern_rewriter import RewritePattern
from xdsl.printer import Printer
from xdsl.rewriter import Rewriter
from xdsl.traits import ConstantLike, HasCanonicalizationPatternsTrait, OpTrait, Pure
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects.ktensor.attributes import UI8, IntArray, QuantizedType
from kpuir.ir.arrays import tensor_type, to_dense, to_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

Value: TypeAlias = SSAValue | Operation
Shape: TypeAlias = tuple[int, ...]


def require(condition: bool, message: str, *parts: object) -> None:
    """Raise VerifyException with `message` unless `condition` holds.

    `parts` fill the `{}` of the message: printing a type takes longer than most checks, so it happens only then.
    """
    if not condition:
        raise VerifyException(message.format(*parts) if parts else message)


def shape_of(value: Value) -> Shape:
    """The static shape of a tensor (or feature map) value. Raises VerifyException for anything without one."""
    kind = SSAValue.get(value).type
    if not isinstance(kind, ShapedType):
        raise VerifyException(f"expected a value with a shape, but its type is {kind}")
    return tuple(kind.get_shape())


def element_of(value: Value) -> Attribute:
    """The element type of a tensor value. Raises VerifyException for anything that is not a tensor."""
    kind = SSAValue.get(value).type
    if not isinstance(kind, TensorType):
        raise VerifyException(f"expected a tensor, but the type is {kind}")
    return cast("TensorType[Attribute]", kind).element_type


def constant_of(value: Value) -> "NDArray[Any] | None":
    """The read-only array of a value that a `ktensor.constant` defines, else None."""
    owner = SSAValue.get(value).owner
    return owner.array if isinstance(owner, ConstantOp) else None


def dense_of(value: Value) -> "DenseIntOrFPElementsAttr[Any] | None":
    """The attribute of a value that a `ktensor.constant` defines, else None."""
    owner = SSAValue.get(value).owner
    return owner.value if isinstance(owner, ConstantOp) else None


def splat_of(value: Value) -> float | None:
    """The one number all elements of a constant float or integer tensor are, else None."""
    array = constant_of(value)
    if array is None or is_quantized(value):
        return None
    first = array.flat[0]
    return float(first) if bool((array == first).all()) else None


def is_quantized(value: Value) -> bool:
    """Whether a value is a tensor of quantized elements."""
    return isinstance(element_of(value), QuantizedType)


def number_of(value: Value, what: str) -> Attribute:
    """The element type of `value`, which must be a float or an integer. Raises VerifyException for quantized ones."""
    element = element_of(value)
    require(
        isinstance(element, AnyFloat | IntegerType), "{} must have float or integer elements, but has {}", what, element
    )
    return element


def image_of(value: Value, what: str = "input") -> tuple[int, int, int, int]:
    """The shape of a value that must have rank 4: (N, C, H, W)."""
    shape = shape_of(value)
    require(len(shape) == 4, f"{what} must have rank 4 (NCHW), but has shape {list(shape)}")
    return cast("tuple[int, int, int, int]", shape)


def require_ints(values: IntArray, count: int, least: int, what: str) -> None:
    """Raise VerifyException unless a list property has `count` entries, each at least `least`."""
    found = list(values.get_values())
    require(len(found) == count, f"{what} must have {count} values, but is {found}")
    require_at_least(found, least, what)


def require_at_least(values: Sequence[int], least: int, what: str) -> None:
    """Raise VerifyException unless every entry of a list property is at least `least`."""
    require(all(value >= least for value in values), f"{what} must be at least {least}, but is {list(values)}")


def broadcast_shapes(first: Shape, second: Shape) -> Shape:
    """The shape two shapes broadcast to by numpy's rule. Raises VerifyException when they do not."""
    rank = max(len(first), len(second))
    pairs = list(zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True))
    fits = all(a == b or 1 in (a, b) for a, b in pairs)
    require(fits, f"shapes {list(first)} and {list(second)} do not broadcast together")
    return tuple(b if a == 1 else a for a, b in pairs)


def tensor(element: Attribute, shape: Sequence[int]) -> TensorType[Attribute]:
    """A tensor type."""
    return tensor_type(element, shape)


PATTERNS: dict[type[Operation], tuple[RewritePattern, ...]] = {}
"""Canonicalization patterns of each op that has any; `canonicalization.py` fills it."""


class Canonicalizable(HasCanonicalizationPatternsTrait):
    """Gives an op the patterns that `PATTERNS` holds for it."""

    def get_patterns(self, op: type[Operation]) -> tuple[RewritePattern, ...]:
        """The patterns of one op; none for most."""
        return PATTERNS.get(op, ())

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """The patterns of all ops."""
        return tuple(pattern for patterns in PATTERNS.values() for pattern in patterns)


class MovesElements(OpTrait):
    """Every element of the result is one of the first operand: a function of elements can go in front as well."""


class MovesElementsOrZero(OpTrait):
    """Every element of the result is one of the first operand, or 0."""


class KTensorOp(IRDLOperation, HasFolderInterface, ABC):
    """A pure op with one result whose type follows from operands and properties."""

    output = result_def(TensorType)
    traits = traits_def(Pure(), Canonicalizable())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "operands attr-dict `:` functional-type(operands, results)"

    @abstractmethod
    def infer_type(self) -> TensorType[Attribute]:
        """The only correct result type. Raises VerifyException when operands and properties do not fit."""

    def set_up(self, operands: Sequence[Any], properties: dict[str, Attribute | None]) -> None:
        """Fill a new op and give its result the inferred type. Raises VerifyException as `infer_type` does."""
        IRDLOperation.__init__(self, operands=operands, properties=properties, result_types=[_PLACEHOLDER])
        Rewriter.replace_value_with_new_type(self.output, self.infer_type())

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """The value or the dense attribute the result is equal to, or None. An op folds only where that is exact."""
        return None

    def verify_(self) -> None:
        """Check that all shapes are static and that the result type is the inferred one."""
        for value in self.operands:
            require(
                min(shape_of(value), default=1) > 0, "shapes must be static and not empty, but one is {}", value.type
            )
        expected = self.infer_type()
        require(self.output.type == expected, "result type is {}, but the operands give {}", self.output.type, expected)


_PLACEHOLDER = TensorType(UI8, ())


@irdl_op_definition
class ConstantOp(IRDLOperation, HasFolderInterface):
    """A tensor known at compile time; `array` is its values.

    Example: `%w = ktensor.constant dense<[1.0, 2.0]> : tensor<2xf32>`, or for bytes that stand for real numbers
    `%q = ktensor.constant dense<[1, 2]> : tensor<2xui8> -> tensor<2x!ktensor.quantized<ui8, 5.000000e-01, 3>>`.
    """

    name = "ktensor.constant"
    value = prop_def(DenseIntOrFPElementsAttr)
    output = result_def(TensorType)
    traits = traits_def(Pure(), ConstantLike())

    def __init__(
        self,
        value: "NDArray[Any] | DenseIntOrFPElementsAttr[Any]",
        result_type: TensorType[Attribute] | None = None,
    ) -> None:
        dense = value if isinstance(value, DenseIntOrFPElementsAttr) else to_dense(value)
        kind = cast("Attribute", dense.type)
        super().__init__(properties={"value": dense}, result_types=[result_type or kind])

    @property
    def array(self) -> "NDArray[Any]":
        """The values: read-only, no copy."""
        return to_numpy(self.value)

    def fold(self) -> Sequence[SSAValue | Attribute]:
        """The value."""
        return (self.value,)

    def verify_(self) -> None:
        """Check that the bytes fit the result type."""
        stored = cast("TensorType[Attribute]", self.value.type)
        shape, element = shape_of(self.output), element_of(self.output)
        fits = tuple(self.value.get_shape()) == shape
        require(fits, "value has type {}, but the result {}", stored, self.output.type)
        storage = element.storage if isinstance(element, QuantizedType) else element
        require(stored.element_type == storage, "value has type {}, but the result {}", stored, self.output.type)

    def print(self, printer: Printer) -> None:
        """Print the value, and the result type where it is another one."""
        printer.print_op_attributes(self.attributes)
        printer.print_string(" ")
        printer.print_attribute(self.value)
        if self.output.type != self.value.type:
            printer.print_string(" -> ")
            printer.print_attribute(self.output.type)

    @classmethod
    def parse(cls, parser: Parser) -> "ConstantOp":
        """Parse what `print` prints."""
        attributes = parser.parse_optional_attr_dict()
        position = parser.pos
        value = parser.parse_attribute()
        if not isinstance(value, DenseIntOrFPElementsAttr):
            parser.raise_error("expected a dense attribute", position, parser.pos)
        dense = cast("DenseIntOrFPElementsAttr[Any]", value)
        kind = cast("Attribute", dense.type)
        if parser.parse_optional_punctuation("->") is not None:
            kind = parser.parse_type()
        return cls.create(properties={"value": dense}, attributes=attributes, result_types=[kind])


class ConstantMaterialization(ConstantMaterializationInterface):
    """Makes a `ktensor.constant` of what an op folded to."""

    def materialize_constant(self, value: Attribute, type: Attribute) -> Operation | None:
        """The constant of `value`, or None where it is not a dense tensor."""
        if not isinstance(value, DenseIntOrFPElementsAttr) or not isinstance(type, TensorType):
            return None
        dense = cast("DenseIntOrFPElementsAttr[Any]", value)
        return ConstantOp(dense, cast("TensorType[Attribute]", type))
