"""The instructions that only kmodel v5 has (`kmodel-v5.md` sections 8 and 10).

Its CPU work is done by tensor functions of many kinds with fields of one sort: shapes, strides, numbers. One op stands
for all of them; which fields and buffers a function has says the table in `target/stackvm.py`.
"""

from typing import Any, ClassVar, cast

from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DictionaryAttr,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    f32,
    i64,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import VerificationContext, irdl_op_definition, operand_def, prop_def, var_operand_def
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects.kbuf.base import (
    BYTES,
    FMAP,
    NUMBERS,
    ONE_TO_ONE,
    SHAPE,
    InstructionOp,
    PropertyKind,
    Shape,
    byte_size,
    require,
)
from kpuir.target.stackvm import NEWEST, DataType, Kind, Signature, signatures
from kpuir.target.stackvm_tensors import tensors


class Text(PropertyKind[StringAttr]):
    """A string."""

    def verify(self, attr: Attribute, constraint_context: VerificationContext) -> None:
        """Check the type."""
        if not isinstance(attr, StringAttr):
            raise VerifyException(f"expected a string, but got {attr}")

    def to_attribute(self, value: Any) -> StringAttr:
        """The attribute of a string."""
        return StringAttr(str(value))

    def to_python(self, attribute: StringAttr) -> str:
        """The string."""
        return attribute.data


class Fields(PropertyKind[DictionaryAttr]):
    """Named numbers, shapes, paddings (a tuple of tuples) and element types."""

    def verify(self, attr: Attribute, constraint_context: VerificationContext) -> None:
        """Check the type."""
        if not isinstance(attr, DictionaryAttr):
            raise VerifyException(f"expected a dictionary, but got {attr}")
        self.to_python(attr)

    def to_attribute(self, value: Any) -> DictionaryAttr:
        """The attribute of a mapping."""
        return DictionaryAttr({name: _to_attribute(one) for name, one in value.items()})

    def to_python(self, attribute: DictionaryAttr) -> dict[str, Any]:
        """The mapping. Raises VerifyException for attributes that stand for nothing."""
        return {name: _to_python(one) for name, one in attribute.data.items()}


def _to_attribute(value: Any) -> Attribute:
    match value:
        case DataType():
            return StringAttr(value.name.lower())
        case float():
            return FloatAttr(value, f32)
        case int():
            return IntegerAttr(int(value), i64)
        case (tuple(), *_):
            return ArrayAttr([_to_attribute(one) for one in value])
        case _:
            return DenseArrayBase.from_list(i64, [int(one) for one in value])


def _to_python(attribute: Attribute) -> Any:
    match attribute:
        case StringAttr() if attribute.data.upper() in DataType.__members__:
            return DataType[attribute.data.upper()]
        case FloatAttr():
            return attribute.value.data
        case IntegerAttr():
            return cast("IntegerAttr[Any]", attribute).value.data
        case ArrayAttr():
            return tuple(_to_python(one) for one in attribute)
        case DenseArrayBase():
            return tuple(int(one) for one in cast("DenseArrayBase[Any]", attribute).get_values())
        case _:
            raise VerifyException(f"{attribute} is no number, shape or element type")


@irdl_op_definition
class V5TensorOp(InstructionOp):
    """A tensor function of the stackvm: `fields` follow its number in the code, `numbers` lie on the stack.

    Buffers stand in the order in which their addresses are pushed; that of a part of a larger tensor has the bytes from
    its first to its last element, and `fields` have the larger one's strides, in elements.

    Example: `kbuf.v5_tensor(%x, %y) {function = "sigmoid", fields = {dt = "float32", sh = array<i64: 1, 4>,
    st = array<i64: 4, 1>, std = array<i64: 4, 1>}, numbers = {}} : memref<..>, memref<..>`
    """

    name = "kbuf.v5_tensor"
    DESTINATIONS: ClassVar[tuple[str, ...]] = (
        *("out", "out_h", "initial_h", "values_out", "indices_out"),
        *("locations_out", "classes_out", "scores_out", "count_out"),
    )
    UPDATED: ClassVar[tuple[str, ...]] = ("initial_h",)
    tensors = var_operand_def(NUMBERS)
    function = prop_def(Text())
    fields = prop_def(Fields())
    numbers = prop_def(Fields())
    assembly_format = "`(` $tensors `)` attr-dict `:` type($tensors)"

    @property
    def signature(self) -> Signature:
        """The function's signature in the newest runtime. Raises VerifyException where it has no such function."""
        found = signatures(NEWEST).get(self.function.data)
        if found is None:
            raise VerifyException(f"there is no tensor function '{self.function.data}'")
        return found

    def buffers(self) -> list[tuple[str, SSAValue]]:
        """The buffers by what the function calls them."""
        names = [one.name for one in self.signature.pushes if one.kind is Kind.BUFFER]
        require(len(names) == len(self.tensors), f"{self.function.data} takes {', '.join(names)}")
        return list(zip(names, self.tensors, strict=True))

    def tensor(self, name: str) -> SSAValue:
        """The buffer of a name."""
        return dict(self.buffers())[name]

    @property
    def overwritable(self) -> tuple[SSAValue, ...]:
        """Of sums and functions, the tensors that lie as the result does."""
        if self.function.data not in ("binary", "unary"):
            return ()
        values = self.values()
        kinds = tensors(self.function.data, values["fields"], values["numbers"])
        return tuple(value for name, value in self.buffers() if name != "out" and kinds[name] == kinds["out"])

    def check(self, fields: Any) -> None:
        """Check that all fields and numbers are there, and that the tensors fit their buffers."""
        signature = self.signature
        given = (set(fields.fields), set(fields.numbers))
        wanted = (
            {one.name for one in signature.fields},
            {one.name for one in signature.pushes if one.kind is not Kind.BUFFER},
        )
        for what, found, expected in zip(("fields", "numbers"), given, wanted, strict=True):
            require(found == expected, f"{what} of {signature.name} are {sorted(expected)}, not {sorted(found)}")
        try:
            expected = tensors(signature.name, fields.fields, fields.numbers)
        except ValueError as error:
            raise VerifyException(str(error)) from error
        buffers = dict(self.buffers())
        for name, tensor in expected.items():
            needed, found = tensor.extent * tensor.datatype.itemsize, byte_size(buffers[name])
            require(needed <= found, f"{name} has {found} bytes, but the function needs {needed}")


@irdl_op_definition
class KpuDownloadOp(InstructionOp):
    """The KPU's line layout as dense uint8 NCHW, copied by the CPU."""

    name = "kbuf.kpu_download"
    input = operand_def(FMAP)
    output = operand_def(BYTES)
    in_shape = prop_def(SHAPE)
    assembly_format = ONE_TO_ONE

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """Both are in_shape."""
        return {"input": fields.in_shape, "output": fields.in_shape}
