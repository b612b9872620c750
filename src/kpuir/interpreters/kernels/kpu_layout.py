"""How a feature map lies in a byte array: in the lines of KPU RAM, or dense (`kpu-hardware.md` section 2)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kpuir.target.k210 import K210, row_layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Layout:
    """Where element (n, c, y, x) of a `shape` = (N, C, H, W) map of bytes lies from the map's first byte:

    n·image + (c // group)·group_stride + (c % group)·pitch + y·row_stride + x
    """

    shape: tuple[int, int, int, int]
    group: int
    group_stride: int
    pitch: int
    row_stride: int
    image: int

    @classmethod
    def lines(cls, shape: tuple[int, int, int, int]) -> "Layout":
        """The layout of KPU RAM: lines of 64 bytes, narrow maps with several channels in one."""
        _, channels, height, width = shape
        row = row_layout(width)
        row_stride = row.lines_per_row * K210.LINE_BYTES
        groups = -(-channels // row.channels_per_line)
        return cls(
            shape, row.channels_per_line, height * row_stride, row.pitch, row_stride, groups * height * row_stride
        )

    @classmethod
    def dense(cls, shape: tuple[int, int, int, int]) -> "Layout":
        """Row after row without gaps, as main memory holds it."""
        _, channels, height, width = shape
        return cls(shape, 1, height * width, 0, width, channels * height * width)

    @property
    def strides(self) -> tuple[int, int, int, int]:
        """(group, group_stride, pitch, row_stride): what a loop needs to find a row of an image."""
        return self.group, self.group_stride, self.pitch, self.row_stride

    @property
    def size(self) -> int:
        """Bytes of the whole map, filler bytes between rows included."""
        return self.shape[0] * self.image

    def parts(self, memory: "NDArray[np.generic]", start: int) -> "list[NDArray[np.generic]]":
        """Views of exactly the elements of a map at byte `start`, as [N, groups, channels of a group, H, W].

        Two views where the channels do not fill their last group, else one. `memory` is any array with one entry
        per byte: the RAM itself, or a shadow of it.
        """
        from numpy.lib.stride_tricks import as_strided

        batch, channels, height, width = self.shape
        whole, rest = divmod(channels, self.group)
        strides = tuple(
            stride * memory.itemsize for stride in (self.image, self.group_stride, self.pitch, self.row_stride, 1)
        )
        views: list[NDArray[np.generic]] = []
        if whole:
            views.append(as_strided(memory[start:], (batch, whole, self.group, height, width), strides))
        if rest:
            last = start + whole * self.group_stride
            views.append(as_strided(memory[last:], (batch, 1, rest, height, width), strides))
        return views


def copy_map(
    source: "NDArray[np.uint8]",
    source_layout: Layout,
    target: "NDArray[np.uint8]",
    target_layout: Layout,
) -> None:
    """Copy every element of a map between two layouts of the same shape; filler bytes of the target stay untouched.

    `source` and `target` are byte arrays that begin with the map.
    """
    from kpuir.interpreters.kernels import kpu_loops

    kpu_loops.copy_rows(
        source,
        source_layout.image,
        source_layout.strides,
        target,
        target_layout.image,
        target_layout.strides,
        source_layout.shape,
    )


def pack(dense: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """A dense [N, C, H, W] map as the bytes KPU RAM holds, filler bytes 0."""
    import numpy as np

    shape = _shape_of(dense)
    layout = Layout.lines(shape)
    lines = np.zeros(layout.size, np.uint8)
    copy_map(np.ascontiguousarray(dense).reshape(-1), Layout.dense(shape), lines, layout)
    return lines


def unpack(lines: "NDArray[np.uint8]", shape: tuple[int, int, int, int]) -> "NDArray[np.uint8]":
    """The dense [N, C, H, W] map out of the bytes of KPU RAM that begin with it."""
    import numpy as np

    dense = np.empty(shape, np.uint8)
    copy_map(lines, Layout.lines(shape), dense.reshape(-1), Layout.dense(shape))
    return dense


def _shape_of(dense: "NDArray[np.uint8]") -> tuple[int, int, int, int]:
    batch, channels, height, width = dense.shape
    return batch, channels, height, width
