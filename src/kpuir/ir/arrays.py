"""numpy arrays in dense attributes and back, without a Python loop over elements."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from xdsl.dialects.builtin import (
    AnyFloat,
    BytesAttr,
    DenseIntOrFPElementsAttr,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
    TensorType,
)
from xdsl.ir import Attribute

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ELEMENT_TYPES: dict[str, "AnyFloat | IntegerType"] = {
    "float16": Float16Type(),
    "float32": Float32Type(),
    "float64": Float64Type(),
    "uint8": IntegerType(8, Signedness.UNSIGNED),
    "uint16": IntegerType(16, Signedness.UNSIGNED),
    "uint32": IntegerType(32, Signedness.UNSIGNED),
    "uint64": IntegerType(64, Signedness.UNSIGNED),
    "int8": IntegerType(8),
    "int16": IntegerType(16),
    "int32": IntegerType(32),
    "int64": IntegerType(64),
}
_DTYPES: dict[Attribute, str] = {element: name for name, element in _ELEMENT_TYPES.items()}


def tensor_type(element: Attribute, shape: Sequence[int]) -> TensorType[Any]:
    """A tensor type; making one takes long, and most are asked for again and again."""
    return _tensor_type(element, tuple(shape))


@lru_cache(maxsize=1024)
def _tensor_type(element: Attribute, shape: tuple[int, ...]) -> TensorType[Any]:
    return TensorType(element, shape)


def element_type(dtype: Any) -> "AnyFloat | IntegerType":
    """The element type that stores a numpy dtype. Raises KeyError for a dtype no attribute of ours holds."""
    import numpy as np

    return _ELEMENT_TYPES[np.dtype(dtype).name]


def dtype_of(element: Attribute) -> "np.dtype[Any]":
    """The numpy dtype of an element type. Raises KeyError for an unknown one."""
    import numpy as np

    return np.dtype(_DTYPES[element])


def to_dense(array: "NDArray[Any]") -> "DenseIntOrFPElementsAttr[AnyFloat | IntegerType]":
    """The array as a dense attribute of tensor type, its bytes copied once.

    Equal elements are stored once, as the parser does, so that an attribute built here equals the one read back.
    """
    import numpy as np

    kind = tensor_type(element_type(array.dtype), array.shape)
    data = np.ascontiguousarray(array).tobytes()
    first = data[: array.dtype.itemsize]
    return DenseIntOrFPElementsAttr(kind, BytesAttr(first if data == first * array.size and data else data))


def to_numpy(dense: Attribute) -> "NDArray[Any]":
    """The values of a dense attribute as a read-only array of its shape, without a copy."""
    import numpy as np

    attribute = cast("DenseIntOrFPElementsAttr[Any]", dense)
    dtype = dtype_of(attribute.get_element_type())
    values = np.frombuffer(attribute.data.data, dtype)
    shape = attribute.get_shape()
    if values.size == 1:  # a splat is stored once
        return np.broadcast_to(values.reshape(()), shape)
    return values.reshape(shape)
