"""RoiAlign by constant regions: bilinear samples are products with a matrix for the rows and one for the columns."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.node import Node, Table

_MOST_SAMPLES = 1 << 12
"""Along an axis; many more than the chip could hold."""
_Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class _Samples:
    """Along one axis, for each sample [bins * samples, size]: its shares of the pixel below and of the one above."""

    low: _Matrix
    high: _Matrix
    count: int

    def mean(self) -> _Matrix:
        """The mean over the samples of each bin, [bins, size]."""
        both = self.low + self.high
        return both.reshape(-1, self.count, both.shape[1]).mean(axis=1)


def roi_align(node: Node) -> SSAValue:
    """RoiAlign, mean and max, of constant regions."""
    rois = node.array(1, "the regions").astype(np.float32)
    images = node.array(2, "the images of the regions").reshape(-1).astype(np.int64)
    count, channels, height, width = node.shape(0)
    if (
        rois.ndim != 2
        or rois.shape[1] != 4
        or len(images) != len(rois)
        or not 0 <= images.min() <= images.max() < count
    ):
        raise InvalidInputError(f"RoiAlign of regions {list(rois.shape)} of {count} images", location=node.layer)
    mode = node.text("mode", "avg")
    if mode not in ("avg", "max"):
        raise InvalidInputError(f"RoiAlign mode is {mode!r}", location=node.layer)
    results: list[SSAValue] = []
    for roi, image in zip(rois, images.tolist(), strict=True):
        value = node.reshape(node.cut(node.value(0), 0, image, image + 1), (channels, height, width))
        rows = _samples(node, roi[1], roi[3], height, node.integer("output_height", 1))
        columns = _samples(node, roi[0], roi[2], width, node.integer("output_width", 1))
        pooled = _mean(node, value, rows, columns) if mode == "avg" else _maximum(node, value, rows, columns)
        results.append(node.reshape(pooled, (1, *ktensor.shape_of(pooled))))
    return node.concat(results, 0)


def _samples(node: Node, start: Any, end: Any, size: int, bins: int) -> _Samples:
    """Where the samples of one axis lie (ONNX RoiAlign): outside of the image by more than a pixel they are 0."""
    scale = np.float32(node.real("spatial_scale", 1.0))
    half_pixel = node.text("coordinate_transformation_mode", "half_pixel" if node.opset >= 16 else "") == "half_pixel"
    offset = np.float32(0.5 if half_pixel else 0.0)
    first, last = start * scale - offset, end * scale - offset
    length = last - first if half_pixel else max(last - first, np.float32(1.0))
    bin_size = length / np.float32(bins)
    count = node.integer("sampling_ratio", 0) or math.ceil(length / bins)
    if not 1 <= bins * count <= _MOST_SAMPLES:
        raise node.invalid(f"takes {count} samples for each of {bins} pixels")
    at = first + (np.arange(bins)[:, None] + (np.arange(count)[None] + 0.5) / count).reshape(-1) * bin_size
    inside = (at >= -1.0) & (at <= size)
    at = np.maximum(at, 0)
    low = np.minimum(at.astype(np.int64), size - 1)
    share = np.where(low >= size - 1, 0, at - low)
    units = np.eye(size, dtype=np.float32)
    below = units[low] * ((1 - share) * inside)[:, None]
    above = units[np.minimum(low + 1, size - 1)] * (share * inside)[:, None]
    return _Samples(below.astype(np.float32), above.astype(np.float32), count)


def _both(node: Node, value: SSAValue, rows: _Matrix, columns: _Matrix) -> SSAValue:
    """rows * value * columns^T of each channel."""
    wide = node.emit(ktensor.MatmulOp(value, node.constant(np.ascontiguousarray(columns.T))))
    tall = node.emit(ktensor.MatmulOp(node.transpose(wide, (0, 2, 1)), node.constant(np.ascontiguousarray(rows.T))))
    return node.transpose(tall, (0, 2, 1))


def _mean(node: Node, value: SSAValue, rows: _Samples, columns: _Samples) -> SSAValue:
    return _both(node, value, rows.mean(), columns.mean())


def _maximum(node: Node, value: SSAValue, rows: _Samples, columns: _Samples) -> SSAValue:
    """The largest of the four weighted pixels of any sample."""
    result: SSAValue | None = None
    for row in (rows.low, rows.high):
        for column in (columns.low, columns.high):
            part = _both(node, value, row, column)
            result = part if result is None else node.binary("max", result, part)
    assert result is not None
    channels, height, width = ktensor.shape_of(result)
    split = (channels, height // rows.count, rows.count, width // columns.count, columns.count)
    return node.reduce("max", node.reshape(result, split), [2, 4], False)


TABLE: Table = {"RoiAlign": roi_align}
