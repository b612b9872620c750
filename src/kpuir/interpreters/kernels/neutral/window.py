"""The sliding window that convolutions and poolings share."""

from typing import NamedTuple


class Window(NamedTuple):
    """A filter's size, stride and dilation as (vertical, horizontal), and padding before and after; may be negative."""

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad_h: tuple[int, int]
    pad_w: tuple[int, int]

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result (`kmodel-v4.md` 6)."""
        rows, columns = (
            (extent + sum(pads) - ((size - 1) * dilation + 1) + stride) // stride
            for extent, pads, size, dilation, stride in zip(
                (height, width), (self.pad_h, self.pad_w), self.size, self.dilation, self.stride, strict=True
            )
        )
        return rows, columns

    @property
    def numbers(self) -> tuple[int, int, int, int, int, int, int, int]:
        """Size, stride, dilation and the padding before, two each: what a compiled loop takes."""
        return (*self.size, *self.stride, *self.dilation, self.pad_h[0], self.pad_w[0])
