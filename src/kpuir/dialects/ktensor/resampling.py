"""Ops that change the resolution of an image."""

from collections.abc import Sequence

from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, TensorType, f64, i64
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, opt_prop_def, prop_def, traits_def

from kpuir.dialects.ktensor.attributes import (
    CoordinateMode,
    CoordinateModeAttr,
    DepthMode,
    DepthModeAttr,
    IntArray,
    NearestMode,
    NearestModeAttr,
    ResizeMode,
    ResizeModeAttr,
    float_array,
    int_array,
    int_attr,
)
from kpuir.dialects.ktensor.base import (
    KTensorOp,
    MovesElements,
    MovesElementsOrZero,
    Value,
    element_of,
    image_of,
    number_of,
    require,
    require_at_least,
    require_ints,
    tensor,
)


@irdl_op_definition
class ResizeOp(KTensorOp):
    """Resize of height and width, as ONNX Resize defines it (all arithmetic of coordinates in single precision).

    An output pixel at x lies in the input at
    half_pixel (x + 0.5) / scale - 0.5 · asymmetric x / scale · align_corners x * (in - 1) / (out - 1) ·
    pytorch_half_pixel as half_pixel, but 0 when out = 1 · tf_half_pixel_for_nn (x + 0.5) / scale ·
    half_pixel_symmetric half_pixel, shifted so that a scale that is not out / in stays centred.
    `scales` (height, width) is out / in unless given. `nearest_mode` rounds that for nearest; bilinear mixes the two
    neighbours along each axis. Coordinates outside are clamped to the border. Nearest accepts quantized elements.

    Example: `%y = ktensor.resize %x {size = array<i64: 8, 8>, mode = #ktensor.resize_mode<nearest>} :
    (tensor<1x3x4x4xf32>) -> tensor<1x3x8x8xf32>`.
    """

    name = "ktensor.resize"
    input = operand_def(TensorType)
    size = prop_def(IntArray.constr(i64))
    mode = prop_def(ResizeModeAttr, default_value=ResizeModeAttr(ResizeMode.NEAREST))
    coordinate_mode = prop_def(CoordinateModeAttr, default_value=CoordinateModeAttr(CoordinateMode.HALF_PIXEL))
    nearest_mode = prop_def(NearestModeAttr, default_value=NearestModeAttr(NearestMode.ROUND_PREFER_FLOOR))
    scales = opt_prop_def(DenseArrayBase.constr(f64))

    def __init__(
        self,
        input: Value,
        size: Sequence[int],
        *,
        mode: ResizeMode | str = ResizeMode.NEAREST,
        coordinate_mode: CoordinateMode | str = CoordinateMode.HALF_PIXEL,
        nearest_mode: NearestMode | str = NearestMode.ROUND_PREFER_FLOOR,
        scales: Sequence[float] | None = None,
    ) -> None:
        self.set_up(
            [input],
            {
                "size": int_array(size),
                "mode": ResizeModeAttr(ResizeMode(mode)),
                "coordinate_mode": CoordinateModeAttr(CoordinateMode(coordinate_mode)),
                "nearest_mode": NearestModeAttr(NearestMode(nearest_mode)),
                "scales": None if scales is None else float_array(scales),
            },
        )

    @property
    def scale_values(self) -> tuple[float, float]:
        """Scale of height and of width: the given ones, or out / in."""
        if self.scales is not None:
            height, width = self.scales.get_values()
            return height, width
        _, _, h, w = image_of(self.input)
        oh, ow = self.size.get_values()
        return oh / h, ow / w

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: [N, C, size[0], size[1]]."""
        n, c, _, _ = image_of(self.input)
        require_ints(self.size, 2, 1, "size")
        if self.scales is not None:
            scales = self.scales.get_values()
            require(len(scales) == 2 and min(scales) > 0, f"scales must be 2 positive numbers, but are {list(scales)}")
        nearest = self.mode.data == ResizeMode.NEAREST
        element = element_of(self.input) if nearest else number_of(self.input, "input of a bilinear resize")
        return tensor(element, (n, c, *self.size.get_values()))

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """A resize to the same size by a scale of 1 changes nothing (tf_half_pixel_for_nn moves half a pixel)."""
        same = self.input.type == self.output.type and self.scale_values == (1.0, 1.0)
        moves = self.coordinate_mode.data == CoordinateMode.TF_HALF_PIXEL_FOR_NN
        return (self.input,) if same and not moves else None


@irdl_op_definition
class SpaceToBatchOp(KTensorOp):
    """Zero padding, then every pixel phase becomes an image of its own (TensorFlow's order).

    `output[(a * block_shape[1] + b) * N + n, c, y, x] = padded[n, c, y * block_shape[0] + a, x * block_shape[1] + b]`.

    Example: `%y = ktensor.space_to_batch %x {block_shape = array<i64: 2, 2>} :
    (tensor<1x3x4x4xf32>) -> tensor<4x3x2x2xf32>`.
    """

    name = "ktensor.space_to_batch"
    traits = traits_def(MovesElementsOrZero())
    input = operand_def(TensorType)
    block_shape = prop_def(IntArray.constr(i64))
    pads = prop_def(IntArray.constr(i64), default_value=int_array((0, 0, 0, 0)))

    def __init__(self, input: Value, block_shape: Sequence[int], pads: Sequence[int] = (0, 0, 0, 0)) -> None:
        self.set_up([input], {"block_shape": int_array(block_shape), "pads": int_array(pads)})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: [N * block, C, H / block_shape[0], W / block_shape[1]] of the padded size."""
        _check_block(self.block_shape, self.pads, "pads")
        n, c, h, w = image_of(self.input)
        (bh, bw), (top, left, bottom, right) = self.block_shape.get_values(), self.pads.get_values()
        h, w = h + top + bottom, w + left + right
        require(h % bh == w % bw == 0, f"the padded size {h}x{w} cannot be divided into blocks of {bh}x{bw}")
        return tensor(element_of(self.input), (n * bh * bw, c, h // bh, w // bw))

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """Blocks of one pixel leave everything where it is."""
        return (self.input,) if self.input.type == self.output.type else None


@irdl_op_definition
class BatchToSpaceOp(KTensorOp):
    """The inverse of space_to_batch: images become the pixel phases of larger ones, then `crops` is cut off.

    Example: `%y = ktensor.batch_to_space %x {block_shape = array<i64: 2, 2>} :
    (tensor<4x3x2x2xf32>) -> tensor<1x3x4x4xf32>`.
    """

    name = "ktensor.batch_to_space"
    traits = traits_def(MovesElements())
    input = operand_def(TensorType)
    block_shape = prop_def(IntArray.constr(i64))
    crops = prop_def(IntArray.constr(i64), default_value=int_array((0, 0, 0, 0)))

    def __init__(self, input: Value, block_shape: Sequence[int], crops: Sequence[int] = (0, 0, 0, 0)) -> None:
        self.set_up([input], {"block_shape": int_array(block_shape), "crops": int_array(crops)})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: [N / block, C, H * block_shape[0] - crops, W * block_shape[1] - crops]."""
        _check_block(self.block_shape, self.crops, "crops")
        n, c, h, w = image_of(self.input)
        (bh, bw), (top, left, bottom, right) = self.block_shape.get_values(), self.crops.get_values()
        require(n % (bh * bw) == 0, f"a batch of {n} cannot be divided into blocks of {bh}x{bw}")
        oh, ow = h * bh - top - bottom, w * bw - left - right
        require(oh > 0 and ow > 0, f"crops {[top, left, bottom, right]} leave nothing of {h * bh}x{w * bw}")
        return tensor(element_of(self.input), (n // (bh * bw), c, oh, ow))

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """Blocks of one pixel leave everything where it is."""
        return (self.input,) if self.input.type == self.output.type else None


@irdl_op_definition
class DepthToSpaceOp(KTensorOp):
    """Channels become pixels (ONNX DepthToSpace).

    dcr: channel (a * b + j) * C' + c goes to pixel phase (a, j) of channel c;
    crd: channel c * b * b + a * b + j does, with b the block size and C' = C / b^2.

    Example: `%y = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x12x2x2xf32>) -> tensor<1x3x4x4xf32>`.
    """

    name = "ktensor.depth_to_space"
    traits = traits_def(MovesElements())
    input = operand_def(TensorType)
    block_size = prop_def(IntegerAttr.constr(i64))
    mode = prop_def(DepthModeAttr, default_value=DepthModeAttr(DepthMode.DCR))

    def __init__(self, input: Value, block_size: int, mode: DepthMode | str = DepthMode.DCR) -> None:
        self.set_up([input], {"block_size": int_attr(block_size), "mode": DepthModeAttr(DepthMode(mode))})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: [N, C / block^2, H * block, W * block]."""
        n, c, h, w = image_of(self.input)
        block = self.block_size.value.data
        require_at_least([block], 1, "block_size")
        require(c % (block * block) == 0, f"{c} channels cannot be divided into blocks of {block}x{block}")
        return tensor(element_of(self.input), (n, c // (block * block), h * block, w * block))

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """Blocks of one pixel leave everything where it is."""
        return (self.input,) if self.input.type == self.output.type else None


@irdl_op_definition
class SpaceToDepthOp(KTensorOp):
    """Pixels become channels: the inverse of depth_to_space with the same block size and mode.

    ONNX SpaceToDepth is mode dcr.

    Example: `%y = ktensor.space_to_depth %x {block_size = 2 : i64} : (tensor<1x3x4x4xf32>) -> tensor<1x12x2x2xf32>`.
    """

    name = "ktensor.space_to_depth"
    traits = traits_def(MovesElements())
    input = operand_def(TensorType)
    block_size = prop_def(IntegerAttr.constr(i64))
    mode = prop_def(DepthModeAttr, default_value=DepthModeAttr(DepthMode.DCR))

    def __init__(self, input: Value, block_size: int, mode: DepthMode | str = DepthMode.DCR) -> None:
        self.set_up([input], {"block_size": int_attr(block_size), "mode": DepthModeAttr(DepthMode(mode))})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: [N, C * block^2, H / block, W / block]."""
        n, c, h, w = image_of(self.input)
        block = self.block_size.value.data
        require_at_least([block], 1, "block_size")
        require(h % block == w % block == 0, f"size {h}x{w} cannot be divided into blocks of {block}x{block}")
        return tensor(element_of(self.input), (n, c * block * block, h // block, w // block))

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """Blocks of one pixel leave everything where it is."""
        return (self.input,) if self.input.type == self.output.type else None


def _check_block(block_shape: IntArray, margins: IntArray, what: str) -> None:
    require_ints(block_shape, 2, 1, "block_shape")
    require_ints(margins, 4, 0, what)
