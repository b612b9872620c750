"""Milliseconds of what legalization chooses between, before there are instructions: layers, and ways through main RAM.

`kpuir.analysis.cost` prices the instructions that come out in the end by the same functions (`kpu-hardware.md` 10);
shapes are [N, C, H, W]. Choices are made for weights of 8 bits; instructions know how many theirs have.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

from kpuir.target.k210 import (
    K210,
    CpuCosts,
    border_rule,
    feature_map_bytes,
    is_view,
    layer_bytes,
    layer_milliseconds,
    ram_rule,
    row_layout,
    same_lines,
)


def layer(
    input_shape: Sequence[int],
    output_channels: int,
    kernel: int = 1,
    depthwise: bool = False,
    count: int = 1,
    *,
    bytes_per_weight: int = 1,
) -> float:
    """`count` layers on a map, with the software that starts them."""
    _, channels, height, width = input_shape
    once = layer_milliseconds(
        channels, output_channels, height, width, kernel, depthwise, bytes_per_weight=bytes_per_weight
    )
    return count * input_shape[0] * (once + K210.LAYER_SOFTWARE_MS)


T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What a form of an operation takes: milliseconds, and bytes of main RAM for its layers."""

    milliseconds: float
    bytes: float = 0

    def __add__(self, other: "Cost") -> "Cost":
        """Of both."""
        return Cost(self.milliseconds + other.milliseconds, self.bytes + other.bytes)

    def __mul__(self, count: float) -> "Cost":
        """Of so many, perhaps about."""
        return Cost(self.milliseconds * count, self.bytes * count)


NOTHING = Cost(0.0)
_AS_FAST = 1.05
"""Estimates that differ by less count as equal: the time model is no better than that (`kpu-hardware.md` 10.3)."""


def best(options: Iterable[T], cost: Callable[[T], Cost]) -> T:
    """The smallest of those that are about as fast as the fastest: a byte of main RAM only matters next to time."""
    costs = [(option, cost(option)) for option in options]
    enough = _AS_FAST * min(one.milliseconds for _, one in costs)
    return min((pair for pair in costs if pair[1].milliseconds <= enough), key=lambda pair: pair[1].bytes)[0]


def layers(
    input_shape: Sequence[int], output_channels: int, kernel: int = 1, depthwise: bool = False, count: int = 1
) -> Cost:
    """`count` layers on a map, each the same for all its images."""
    size = layer_bytes(input_shape[1], output_channels, kernel, depthwise)
    return Cost(layer(input_shape, output_channels, kernel, depthwise, count), count * size)


def download(shape: Sequence[int]) -> float:
    """A map copied from KPU RAM to main RAM."""
    return 1e-6 * prod(shape) * CpuCosts.DOWNLOAD


def narrowed(shape: Sequence[int], right: int) -> int:
    """How many pixels wide a map is best downloaded of which the last `right` columns are not wanted.

    A layer that copies the others makes a narrower map, where rows of both lie in as many lines.
    """
    batch, channels, height, width = shape
    keep = max(width - right, K210.MIN_WIDTH)
    if keep >= width or height < K210.MIN_HEIGHT or channels > K210.MAX_CHANNELS or not same_lines(width, keep):
        return width
    narrow = (batch, channels, height, keep)
    fits = ram_rule(*(feature_map_bytes(*size) for size in (shape, narrow))).ok
    return keep if fits and download(narrow) + layer(narrow, channels, depthwise=True) < download(shape) else width


def download_without(shape: Sequence[int], right: int) -> float:
    """A map copied from KPU RAM to main RAM, of which the last `right` columns are not wanted."""
    narrow = (*shape[:3], narrowed(shape, right))
    copy = layer(narrow, shape[1], depthwise=True) if narrow[3] < shape[3] else 0.0
    return download(narrow) + copy


def upload(shape: Sequence[int]) -> float:
    """A map copied from main RAM to KPU RAM."""
    return 1e-6 * prod(shape) * (CpuCosts.UPLOAD if shape[3] % K210.LINE_BYTES else CpuCosts.UPLOAD_DMA)


def move(shape: Sequence[int]) -> float:
    """Pad, crop, slice or transpose of bytes by the CPU; `shape` is the result's."""
    return 1e-6 * prod(shape) * CpuCosts.PAD


def multiply_adds(count: float) -> float:
    """So many products of a convolution or matrix product that the CPU sums up, in float or in bytes."""
    return 1e-6 * count * CpuCosts.MULTIPLY_ADD


def detour(source: Sequence[int], result: Sequence[int]) -> float:
    """A map of shape `source` downloaded, moved by the CPU, and uploaded again as `result`."""
    return download(source) + move(result) + upload(result)


def border_on_kpu(source: Sequence[int], result: Sequence[int], sides: Sequence[int]) -> float:
    """A pad or crop of (top, left, bottom, right) `sides` in KPU RAM.

    Layers move columns; a pad of rows fills the result with zeros; other rows are copied for each group of channels.
    """
    top, left, bottom, right = sides
    group = row_layout(result[3]).channels_per_line
    pads = result[2] > source[2] or result[3] > source[3]
    fills = int(pads and (top or bottom) > 0)
    copies = -(-source[1] // group) if fills or not is_view(source[1], source[3], top, bottom) else 0
    whole = (*source[:3], max(source[3], result[3]))
    rows = (1, group, min(source[2], result[2]), result[3])
    return (
        layer(whole, whole[1], 3, depthwise=True, count=left + 2 * right if pads else left)
        + layer((1, group, *result[2:]), result[1], count=fills)
        + layer(rows, group, depthwise=True, count=copies)
    )


def border(source: Sequence[int], result: Sequence[int], sides: Sequence[int]) -> float:
    """A pad or crop of a map in KPU RAM that is wanted there: by layers if they can, or by the CPU."""
    there = detour(source, result)
    return min(there, border_on_kpu(source, result, sides)) if border_rule(source, result).ok else there


def identity(shape: Sequence[int], stride: int = 1) -> tuple[int, float]:
    """(channels in a layer, milliseconds of all layers) for ordinary layers that pass every channel of a map on.

    Such layers pool or pick what depthwise ones cannot. As every output channel costs a pass over all input channels,
    several layers with some channels each are faster than one with all. The number of channels fills the lines of the
    input and of the result, which is `stride` times smaller.
    """
    batch, channels, height, width = shape
    grain = row_layout(max(width // stride, 1)).channels_per_line
    candidates = [count for count in range(grain, channels, grain) if batch == 1 and count >= channels // 64]
    costs = {
        count: layer((batch, count, height, width), count, count=channels // count)
        + (layer((batch, channels % count, height, width), channels % count) if channels % count else 0)
        for count in (*candidates, channels)
    }
    best = min(costs, key=lambda count: (costs[count], count))
    return best, costs[best]


def elements(shape: Sequence[int], nanoseconds: float) -> float:
    """An operation of the CPU on each element of a map, of so many nanoseconds (`CpuCosts`)."""
    return 1e-6 * prod(shape) * nanoseconds


def slower_on_kpu(ours: float, theirs: float) -> str | None:
    """Why the CPU does something that takes the KPU `ours` and the CPU `theirs` milliseconds, None if the KPU does."""
    if ours <= theirs:
        return None
    return f"estimated {ours:.3f} ms on the KPU with transfers, {theirs:.3f} on the CPU"
