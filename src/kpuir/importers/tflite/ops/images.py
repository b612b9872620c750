"""Changes of resolution."""

from collections.abc import Mapping, Sequence
from typing import cast

from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import CoordinateMode, NearestMode, ResizeMode
from kpuir.errors import InvalidInputError
from kpuir.importers.tflite.layer import Handler, Layer, shape_of
from kpuir.importers.tflite.ops.common import Pads, reshape, to_nchw, to_nhwc

Pair = tuple[int, int]


def resize_bilinear(layer: Layer) -> SSAValue:
    """RESIZE_BILINEAR; of int8 and int16 at coordinates of 10 bits, as LiteRT does it, of whole numbers rounded."""
    resized = _bilinear(layer)
    return layer.rounded_away(resized) if layer.is_whole() else resized


def _bilinear(layer: Layer) -> SSAValue:
    coordinates = _coordinates(layer)
    size, wanted = layer.rank4(0)[1:3], _size(layer)
    if layer.dtype(0) not in ("INT8", "INT16"):
        return _resize(layer, ResizeMode.BILINEAR, coordinates, NearestMode.FLOOR)
    last = int(coordinates == CoordinateMode.ALIGN_CORNERS)
    ratios = [(old - last, max(new - last, 1)) for old, new in zip(size, wanted, strict=True)]
    if all(old * 1024 % new == 0 for old, new in ratios):
        return _resize(layer, ResizeMode.BILINEAR, coordinates, NearestMode.FLOOR)
    scales = [1024 / max((old * 1024 + new // 2) // new, 1) for old, new in ratios]
    between = CoordinateMode.ASYMMETRIC if last else coordinates
    return _resize(layer, ResizeMode.BILINEAR, between, NearestMode.FLOOR, scales)


def resize_nearest_neighbor(layer: Layer) -> SSAValue:
    """RESIZE_NEAREST_NEIGHBOR: floor(x / scale), floor((x + 0.5) / scale), or with align_corners half away from 0."""
    coordinates = _coordinates(layer)
    if coordinates == CoordinateMode.HALF_PIXEL:
        return _resize(layer, ResizeMode.NEAREST, CoordinateMode.TF_HALF_PIXEL_FOR_NN, NearestMode.FLOOR)
    if coordinates == CoordinateMode.ALIGN_CORNERS:
        return _resize(layer, ResizeMode.NEAREST, coordinates, NearestMode.ROUND_PREFER_CEIL)
    return _resize(layer, ResizeMode.NEAREST, coordinates, NearestMode.FLOOR)


def space_to_batch_nd(layer: Layer) -> SSAValue:
    """SPACE_TO_BATCH_ND over the two axes of a map, or the one of a sequence [N, T, C]."""
    block, pads = _blocks(layer, "its padding")
    value = to_nchw(layer, _as_map(layer))
    return _as_before(layer, to_nhwc(layer, layer.put(ktensor.SpaceToBatchOp(value, block, pads))))


def batch_to_space_nd(layer: Layer) -> SSAValue:
    """BATCH_TO_SPACE_ND, the inverse."""
    block, crops = _blocks(layer, "its crops")
    value = to_nchw(layer, _as_map(layer))
    return _as_before(layer, to_nhwc(layer, layer.put(ktensor.BatchToSpaceOp(value, block, crops))))


def depth_to_space(layer: Layer) -> SSAValue:
    """DEPTH_TO_SPACE: the block's pixel is the slowest part of the channel, as in ONNX's DCR."""
    (block,) = layer.positive("BlockSize")
    return to_nhwc(layer, layer.put(ktensor.DepthToSpaceOp(to_nchw(layer, layer.value(0)), block)))


def space_to_depth(layer: Layer) -> SSAValue:
    """SPACE_TO_DEPTH, the inverse."""
    (block,) = layer.positive("BlockSize")
    return to_nhwc(layer, layer.put(ktensor.SpaceToDepthOp(to_nchw(layer, layer.value(0)), block)))


def _coordinates(layer: Layer) -> CoordinateMode:
    align, half = bool(layer.option("AlignCorners", False)), bool(layer.option("HalfPixelCenters", False))
    if align and half:
        message = "align_corners and half_pixel_centers exclude each other"
        raise InvalidInputError(message, location=layer.name)
    if align:
        return CoordinateMode.ALIGN_CORNERS
    return CoordinateMode.HALF_PIXEL if half else CoordinateMode.ASYMMETRIC


def _size(layer: Layer) -> tuple[int, ...]:
    size = layer.integers(1, "its size")
    if len(size) != 2 or min(size) < 1:
        raise InvalidInputError(f"its size is {list(size)}", location=layer.name)
    return size


def _resize(
    layer: Layer,
    mode: ResizeMode,
    coordinates: CoordinateMode,
    nearest: NearestMode,
    scales: Sequence[float] | None = None,
) -> SSAValue:
    layer.rank4(0)
    operation = ktensor.ResizeOp(
        to_nchw(layer, layer.value(0)),
        _size(layer),
        mode=mode,
        coordinate_mode=coordinates,
        nearest_mode=nearest,
        scales=scales,
    )
    return to_nhwc(layer, layer.put(operation))


def _as_map(layer: Layer) -> SSAValue:
    shape = layer.shape(0)
    if len(shape) == 4:
        return layer.value(0)
    return reshape(layer, layer.value(0), (shape[0], shape[1], 1, shape[2]))


def _as_before(layer: Layer, value: SSAValue) -> SSAValue:
    if len(layer.shape(0)) == 4:
        return value
    shape = shape_of(value)
    return reshape(layer, value, (shape[0], shape[1], shape[3]))


def _blocks(layer: Layer, what: str) -> tuple[Pair, Pads]:
    """Block shape and margins, those of a sequence extended by an axis of 1."""
    block, margins = layer.integers(1, "its block shape"), layer.integers(2, what)
    axes = len(layer.shape(0)) - 2
    if axes not in (1, 2) or len(block) != axes or len(margins) != 2 * axes:
        message = f"block shape {list(block)} and {what} {list(margins)} do not fit {list(layer.shape(0))}"
        raise InvalidInputError(message, location=layer.name)
    if axes == 1:
        return (block[0], 1), (margins[0], 0, margins[1], 0)
    return cast("Pair", block), (margins[0], margins[2], margins[1], margins[3])


OPS: Mapping[str, Handler] = {
    "BATCH_TO_SPACE_ND": batch_to_space_nd,
    "DEPTH_TO_SPACE": depth_to_space,
    "RESIZE_BILINEAR": resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": resize_nearest_neighbor,
    "SPACE_TO_BATCH_ND": space_to_batch_nd,
    "SPACE_TO_DEPTH": space_to_depth,
}
