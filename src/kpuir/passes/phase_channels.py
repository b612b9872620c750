"""The form of a convolution of stride 2 on the phases of the map as channels: of maps that are too wide for the KPU.

Pixels (2y + i, 2x + j) of each channel are four channels of half the size (`ktensor.space_to_depth`, which the CPU
does), and taps that are at most three apart there make a 3x3 kernel of stride 1. Source: lowering-facts.md 9.
"""

from collections.abc import Iterator

from xdsl.ir import SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.passes.forms import Form, Request, Window
from kpuir.passes.moving import insert, layer
from kpuir.target import k210

_BLOCK = 2


def _phases(window: Window) -> list[tuple[int, int]]:
    """Where each tap of an axis is among three of the phases' taps, and in which phase."""
    return [((tap - window.low) // _BLOCK + 1, (tap - window.low) % _BLOCK) for tap in window.taps]


def _wanted(window: Window) -> int:
    """The rows of the result."""
    return (window.size + window.low + window.high - window.extent) // _BLOCK + 1


def forms(request: Request) -> Iterator[Form]:
    """The form of a convolution of stride 2 whose taps are in reach, if it fits the KPU."""
    import numpy as np

    axes = [request.axis(index) for index in (0, 1)]
    taps, wanted = [_phases(axis) for axis in axes], [_wanted(axis) for axis in axes]
    in_reach = all(0 <= place <= 2 for axis in taps for place, _ in axis)
    if request.depthwise or request.strides != (_BLOCK, _BLOCK) or not in_reach:
        return
    channels = request.channels * _BLOCK * _BLOCK
    least = k210.K210.MIN_HEIGHT
    size = [max(-(-axis.size // _BLOCK), rows, least) for axis, rows in zip(axes, wanted, strict=True)]
    phases = (1, channels, size[0], size[1])
    verdict = k210.layer_rules(*phases[1:], request.outputs, 3)
    if not verdict.ok or not k210.band_rule(phases, (1, request.outputs, *size)).ok:
        return
    cost = estimates.layers(phases, request.outputs, 3)
    cost += estimates.Cost(2 * estimates.move(phases) + estimates.upload(phases))

    def build(rewriter: PatternRewriter, value: SSAValue) -> SSAValue:
        weight = np.zeros((request.outputs, request.channels, _BLOCK, _BLOCK, 3, 3), np.float32)
        for row, (down, i) in enumerate(taps[0]):
            for column, (right, j) in enumerate(taps[1]):
                weight[:, :, i, j, down, right] = request.weight[:, :, row, column]
        behind = [_BLOCK * rows - axis.size for rows, axis in zip(size, axes, strict=True)]
        if any(behind):
            value = insert(rewriter, kpu.PadOp(value, (0, 0, *behind)))
        value = insert(rewriter, ktensor.SpaceToDepthOp(value, _BLOCK, ktensor.DepthMode.CRD))
        value = layer(rewriter, value, weight.reshape(request.outputs, channels, 3, 3), request.bias)
        crops = [rows - kept for rows, kept in zip(size, wanted, strict=True)]
        return insert(rewriter, kpu.CropOp(value, (0, 0, *crops))) if any(crops) else value

    yield Form("phase-channels", cost, build)
