"""Milliseconds of what legalization chooses between, before there are instructions: layers, and ways through main RAM.

`kpuir.analysis.cost` prices the instructions that come out in the end by the same functions (`kpu-hardware.md` 10);
shapes are [N, C, H, W].
"""

from collections.abc import Sequence
from math import prod

from kpuir.target.k210 import K210, CpuCosts, layer_milliseconds


def layer(
    input_shape: Sequence[int], output_channels: int, kernel: int = 1, depthwise: bool = False, count: int = 1
) -> float:
    """`count` layers on a map, with the software that starts them."""
    _, channels, height, width = input_shape
    once = layer_milliseconds(channels, output_channels, height, width, kernel, depthwise) + K210.LAYER_SOFTWARE_MS
    return count * input_shape[0] * once


def download(shape: Sequence[int]) -> float:
    """A map copied from KPU RAM to main RAM."""
    return 1e-6 * prod(shape) * CpuCosts.DOWNLOAD


def upload(shape: Sequence[int]) -> float:
    """A map copied from main RAM to KPU RAM."""
    return 1e-6 * prod(shape) * (CpuCosts.UPLOAD if shape[3] % K210.LINE_BYTES else CpuCosts.UPLOAD_DMA)


def move(shape: Sequence[int]) -> float:
    """Pad, crop, slice or transpose of bytes by the CPU; `shape` is the result's."""
    return 1e-6 * prod(shape) * CpuCosts.PAD


def detour(source: Sequence[int], result: Sequence[int]) -> float:
    """A map of shape `source` downloaded, moved by the CPU, and uploaded again as `result`."""
    return download(source) + move(result) + upload(result)
