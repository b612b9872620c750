"""Constants that are stored sparse, in the terms of TFLite's schema.

Values are those of a tensor whose axes are walked level by level in an order of their own; behind the axes come those
of blocks. A level is dense (a size) or compressed: for each entry of the level above, where its entries begin
(segments), and their places along the axis (indices).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Level: TypeAlias = "int | tuple[NDArray[np.int64], NDArray[np.int64]]"

_VECTORS = {1: "Int32Vector", 2: "Uint16Vector", 3: "Uint8Vector"}


def densified(
    values: "NDArray[Any]", shape: tuple[int, ...], order: Sequence[int], blocks: Sequence[int], levels: "list[Level]"
) -> "NDArray[Any]":
    """The whole tensor, 0 where nothing is stored. Raises ValueError or IndexError where the parts contradict."""
    import numpy as np

    if sorted(order) != list(range(len(levels))) or len(levels) != len(shape) + len(blocks):
        raise ValueError(f"{len(levels)} levels in the order {list(order)} of {len(shape)} axes")
    places, count = np.zeros((len(levels), 1), np.int64), 1
    for axis, level in zip(order, levels, strict=True):
        entries = level * count if isinstance(level, int) else int(np.diff(level[0]).sum())
        if entries > math.prod(shape) or not (isinstance(level, int) or entries == len(level[1])):
            raise ValueError(f"a level has {entries} entries")
        if isinstance(level, int):
            parents, along = np.repeat(np.arange(count), level), np.tile(np.arange(level), count)
        else:
            segments, along = level
            parents = np.repeat(np.arange(count), np.diff(segments))
        places = places[:, parents]
        places[axis] = along
        count = entries
    axes = places[: len(shape)]
    for number, axis in enumerate(blocks):
        size = levels[list(order).index(len(shape) + number)]
        if not isinstance(size, int):
            raise ValueError("its blocks are sparse")
        axes[axis] = axes[axis] * size + places[len(shape) + number]
    dense = np.zeros(shape, values.dtype)
    dense[tuple(axes)] = values
    return dense


def read_levels(table: Any) -> "tuple[list[int], list[int], list[Level]]":
    """Order, blocks and levels of a `SparsityParameters` table."""
    import tflite

    order, blocks = ([int(i) for i in _numbers(table, name)] for name in ("TraversalOrder", "BlockMap"))
    levels: list[Level] = []
    for i in range(table.DimMetadataLength()):
        level: Any = table.DimMetadata(i)
        if level.Format() == tflite.DimensionType.DENSE:
            levels.append(level.DenseSize())
        else:
            levels.append((_vector(level, "ArraySegments"), _vector(level, "ArrayIndices")))
    return order, blocks, levels


def _vector(level: Any, name: str) -> "NDArray[np.int64]":
    import tflite

    union, vector = getattr(level, name)(), vars(tflite)[_VECTORS[getattr(level, f"{name}Type")()]]()
    vector.Init(union.Bytes, union.Pos)
    return _numbers(vector, "Values")


def _numbers(table: Any, name: str) -> "NDArray[np.int64]":
    import numpy as np

    return np.array([] if getattr(table, f"{name}IsNone")() else getattr(table, f"{name}AsNumpy")(), np.int64)
