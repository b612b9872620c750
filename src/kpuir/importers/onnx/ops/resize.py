"""Changes of resolution: Resize in all its versions, Upsample, and pixels to channels and back."""

import math
from dataclasses import dataclass

from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.graph import MAX_ELEMENTS
from kpuir.importers.onnx.node import Node, Table
from kpuir.importers.onnx.ops.interpolation import by_matrices

_COORDINATES = frozenset(mode.value for mode in ktensor.CoordinateMode)


@dataclass(frozen=True)
class _Target:
    """Scale and size of every axis after a resize."""

    scales: list[float]
    sizes: list[int]


def resize(node: Node) -> SSAValue:
    """Resize; cubic, antialiased and cropping ones are products with a constant matrix for each axis."""
    if node.opset < 11:
        return upsample(node)
    mode = node.text("mode", "nearest")
    coordinates = node.text("coordinate_transformation_mode", "half_pixel")
    target = _target(node)
    if math.prod(target.sizes) > MAX_ELEMENTS:
        raise InvalidInputError(f"Resize to {target.sizes} is too large", location=node.layer)
    smaller = min(target.scales) < 1
    special = (node.integer("antialias", 0) or node.integer("exclude_outside", 0)) and smaller
    if mode == "cubic" or coordinates == "tf_crop_and_resize" or (mode == "linear" and special):
        return by_matrices(node, target.scales, target.sizes)
    if coordinates not in _COORDINATES:
        node.refuse(f"coordinate_transformation_mode = {coordinates}", "half_pixel, asymmetric or align_corners")
    nearest = node.text("nearest_mode", "round_prefer_floor")
    return _resize(node, target, mode, coordinates, nearest)


def upsample(node: Node) -> SSAValue:
    """Upsample (opset 7 and 9) and Resize of opset 10: asymmetric coordinates, rounded down when enlarging."""
    shape = node.shape(0)
    scales = node.reals("scales") if not node.has(1) else _floats(node, 1)
    target = _scaled(node, scales, list(range(len(shape))))
    nearest = "floor" if min(target.scales) >= 1 else "ceil"
    return _resize(node, target, node.text("mode", "nearest"), "asymmetric", nearest)


def _floats(node: Node, index: int) -> list[float]:
    return [float(value) for value in node.array(index, "scales").reshape(-1)]


def _target(node: Node) -> _Target:
    shape = node.shape(0)
    rank = len(shape)
    axes = [node.axis(axis, rank) for axis in node.integers("axes", list(range(rank)))]
    if node.has(2) and node.shape(2) not in ((), (0,)):
        return _scaled(node, _floats(node, 2), axes)
    if not node.has(3):
        raise InvalidInputError(f"{node.op_type} has neither scales nor sizes", location=node.layer)
    given = node.int_list(3, "sizes")
    if len(given) != len(axes) or min(given, default=1) < 1:
        raise InvalidInputError(f"{node.op_type} sizes {given} for {len(axes)} axes", location=node.layer)
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    sizes = list(shape)
    if policy == "stretch":
        for axis, size in zip(axes, given, strict=True):
            sizes[axis] = size
        return _Target([size / old for size, old in zip(sizes, shape, strict=True)], sizes)
    if policy not in ("not_larger", "not_smaller"):
        raise InvalidInputError(f"keep_aspect_ratio_policy is {policy!r}", location=node.layer)
    ratios = [size / shape[axis] for axis, size in zip(axes, given, strict=True)]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    scales = [1.0] * rank
    for axis in axes:
        scales[axis], sizes[axis] = scale, int(shape[axis] * scale + 0.5)
    return _Target(scales, sizes)


def _scaled(node: Node, scales: list[float], axes: list[int]) -> _Target:
    shape = node.shape(0)
    if len(scales) != len(axes) or not all(0 < scale < 1e6 for scale in scales):
        raise InvalidInputError(f"{node.op_type} scales {scales} for {len(axes)} axes", location=node.layer)
    full = [1.0] * len(shape)
    for axis, scale in zip(axes, scales, strict=True):
        full[axis] = scale
    return _Target(full, [int(size * scale) for size, scale in zip(shape, full, strict=True)])


def _resize(node: Node, target: _Target, mode: str, coordinates: str, nearest: str) -> SSAValue:
    """Resize any axes, two at a time."""
    shape = node.shape(0)
    scaled = [axis for axis, scale in enumerate(target.scales) if scale != 1.0 or target.sizes[axis] != shape[axis]]
    if min(target.sizes, default=1) < 1:
        node.refuse(f"{list(shape)} to {target.sizes}", "sizes of at least 1")
    if mode not in ("nearest", "linear"):
        node.refuse(f"mode = {mode}", "mode = nearest, linear or cubic")
    value = node.value(0)
    for first in range(0, len(scaled), 2):
        value = _resize_two(node, value, scaled[first : first + 2], target, (mode, coordinates, nearest))
    return value


def _resize_two(
    node: Node, value: SSAValue, scaled: list[int], target: _Target, modes: tuple[str, str, str]
) -> SSAValue:
    """Resize one or two axes: brought to the place of height and width, resized, brought back."""
    shape = list(ktensor.shape_of(value))
    mode, coordinates, nearest = modes
    others = [axis for axis in range(len(shape)) if axis not in scaled]
    if len(scaled) == 1:
        # the axis beside it keeps its size and stands for the other one of the image
        beside = next((axis for axis in (scaled[0] - 1, scaled[0] + 1) if axis in others and axis > 0), None)
        scaled = sorted([*scaled, beside] if beside is not None and len(shape) > 3 else scaled)
        others = [axis for axis in others if axis not in scaled]
    order = [*others, *scaled]
    moved = node.transpose(value, order)
    height, width = ([1] + [shape[axis] for axis in scaled])[-2:]
    batch = [shape[axis] for axis in others]
    image = node.reshape(moved, (*_two(batch), height, width))
    size = ([1] + [target.sizes[axis] for axis in scaled])[-2:]
    op = ktensor.ResizeOp(
        image,
        size,
        mode="nearest" if mode == "nearest" else "bilinear",
        coordinate_mode=coordinates,
        nearest_mode=nearest if mode == "nearest" else ktensor.NearestMode.ROUND_PREFER_FLOOR,
        scales=_explicit([1.0, *(target.scales[axis] for axis in scaled)][-2:], size, (height, width)),
    )
    resized = node.reshape(node.emit(op), [*batch, *(target.sizes[axis] for axis in scaled)])
    return node.transpose(resized, [order.index(axis) for axis in range(len(shape))])


def _explicit(scales: list[float], size: list[int], old: tuple[int, int]) -> list[float] | None:
    """The scales, None where they are what the sizes say anyway."""
    given = [new / before for new, before in zip(size, old, strict=True)]
    return None if scales == given else scales


def _two(sizes: list[int]) -> tuple[int, int]:
    """Batch and channels that hold all axes before height and width."""
    channels = 1
    for size in sizes[1:]:
        channels *= size
    return (sizes[0] if sizes else 1), channels


def depth_to_space(node: Node) -> SSAValue:
    """DepthToSpace."""
    mode = node.text("mode", "DCR")
    return node.emit(ktensor.DepthToSpaceOp(node.value(0), node.integer("blocksize"), mode.lower()))


def space_to_depth(node: Node) -> SSAValue:
    """SpaceToDepth."""
    mode = node.text("mode", "DCR")
    return node.emit(ktensor.SpaceToDepthOp(node.value(0), node.integer("blocksize"), mode.lower()))


TABLE: Table = {
    "Resize": resize,
    "Upsample": upsample,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}
