"""Instructions that move elements: no arithmetic but that of resize."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kpuir.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def concat(inputs: "Sequence[NDArray[np.uint8]]", out: "NDArray[np.uint8]") -> None:
    """Bytes: inputs [outer, bytes each] side by side into out [outer, bytes of all]."""
    np.concatenate(inputs, axis=1, out=out)


def memory_copy(source: "NDArray[np.uint8]", out: "NDArray[np.uint8]") -> None:
    """Bytes, from front to back; a size that is not whole words is the caller's to cut (`kmodel-v4.md` 7, 0x09)."""
    out[...] = source


def pad(x: "NDArray[Any]", out: "NDArray[Any]", before: Sequence[int], value: Any) -> None:
    """out is filled with `value`, then x laid into it `before` elements from its start; negative crops."""
    out[...] = value
    pairs = list(zip(before, x.shape, out.shape, strict=True))
    target = tuple(slice(max(low, 0), max(min(low + own, whole), 0)) for low, own, whole in pairs)
    source = tuple(slice(max(-low, 0), max(min(own, whole - low), 0)) for low, own, whole in pairs)
    out[target] = x[source]


def transpose(x: "NDArray[Any]", out: "NDArray[Any]", perm: Sequence[int]) -> None:
    """Dimension i of out is dimension perm[i] of x."""
    out[...] = x.transpose(perm)


def strided_slice(
    x: "NDArray[Any]", begin: Sequence[int], end: Sequence[int], strides: Sequence[int]
) -> "NDArray[Any]":
    """The view of x that begin, end and strides choose, resolved indices: end -1 runs down to 0 with a negative stride.

    Raises InvalidInputError for a stride of 0 and for indices outside x, which the runtime would follow blindly.
    """
    picks: list[slice] = []
    for axis, (size, first, last, step) in enumerate(zip(x.shape, begin, end, strides, strict=True)):
        if step == 0:
            raise InvalidInputError(f"the stride of axis {axis} is 0")
        indices = range(first, last, step)
        if len(indices) and not (0 <= indices[0] < size and 0 <= indices[-1] < size):
            raise InvalidInputError(f"axis {axis} has {size} elements, the slice takes {indices[0]} to {indices[-1]}")
        stop = indices[-1] + (1 if step > 0 else -1) if len(indices) else first
        picks.append(slice(first, None if stop < 0 else stop, step))
    return x[tuple(picks)]


def resize(x: "NDArray[Any]", out: "NDArray[Any]", *, nearest: bool, align_corners: bool) -> None:
    """[N, C, H, W] to another size, no half-pixel centres; bilinear on bytes truncates (`kmodel-v4.md` 7, 0x0A)."""
    rows = _positions(x.shape[2], out.shape[2], align_corners and not nearest)
    columns = _positions(x.shape[3], out.shape[3], align_corners and not nearest)
    if nearest:
        picked = [
            np.minimum(np.floor(p).astype(np.int64), s - 1) for p, s in zip((rows, columns), x.shape[2:], strict=True)
        ]
        out[...] = x[:, :, picked[0][:, None], picked[1]]
        return
    out[...] = interpolate(x, rows, columns).astype(out.dtype)


def interpolate(x: "NDArray[Any]", rows: "NDArray[np.float32]", columns: "NDArray[np.float32]") -> "NDArray[Any]":
    """[N, C, H, W] at places between its pixels, bilinearly; the corners are summed in the runtimes' order."""
    y0, y1, fy = _neighbours(rows, x.shape[2])
    x0, x1, fx = _neighbours(columns, x.shape[3])
    one = np.float32(1)
    above, left = (one - fy)[:, None], one - fx
    below, right = fy[:, None], fx
    corners = ((y0, x0, above * left), (y1, x0, below * left), (y0, x1, above * right), (y1, x1, below * right))
    terms = [x[:, :, ys[:, None], xs].astype(np.float32) * weight for ys, xs, weight in corners]
    return ((terms[0] + terms[1]) + terms[2]) + terms[3]


def resize_scale(size: int, count: int, align_corners: bool) -> "np.float32":
    """How far apart in the input the pixels of a resized axis are. Raises InvalidInputError where it has none."""
    if not size:
        raise InvalidInputError("an image without pixels cannot be resized")
    if align_corners and count > 1:
        return np.float32(size - 1) / np.float32(count - 1)
    return np.float32(size) / np.float32(count)


def _positions(size: int, count: int, align_corners: bool) -> "NDArray[np.float32]":
    return np.arange(count, dtype=np.float32) * resize_scale(size, count, align_corners)


def _neighbours(
    positions: "NDArray[np.float32]", size: int
) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]":
    first = np.minimum(np.floor(positions).astype(np.int64), size - 1)
    return first, np.minimum(first + 1, size - 1), positions - first.astype(np.float32)
