"""Runs the kpu dialect: float layers for calibration, ideal quantized layers, and layers in the KPU's own integers.

Quantized tensors and feature maps are plain uint8 arrays [N, C, H, W]: where they lie does not matter at this level.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import TensorType
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls
from xdsl.ir import Attribute, SSAValue

from kpuir.dialects import kpu
from kpuir.dialects.ktensor import QuantizedType
from kpuir.interpreters.kernels import floating, kpu_ideal
from kpuir.interpreters.kernels.elementwise import apply
from kpuir.interpreters.kernels.kpu_layer import LayerNumbers, run_dense
from kpuir.target.k210 import row_layout

Array: TypeAlias = NDArray[Any]
Observer: TypeAlias = Callable[[SSAValue, Array], None]


@register_impls
class KpuFunctions(InterpreterFunctions):
    """What every kpu operation computes.

    `observe` is called with the result of a `kpu.conv2d` that pools by a mean, and its values before pooling: those
    are what the KPU stores as bytes, so they are what calibration has to see.
    """

    def __init__(self, observe: Observer | None = None) -> None:
        self.observe = observe

    @impl(kpu.Conv2dOp)
    def run_conv2d(self, interpreter: Interpreter, op: kpu.Conv2dOp, args: PythonValues) -> PythonValues:
        """A layer in real numbers, or on bytes as ideal arithmetic would do it."""
        images, weight, bias = cast("tuple[Array, Array, Array]", args)
        source, target = _quantization(op.input.type), _quantization(op.output.type)
        if source is not None:
            images = kpu_ideal.dequantize(images, source.scale_value, source.zero_point_value)
        kind = op.pool_kind
        values = kpu_ideal.convolve(images, weight, bias, op.is_depthwise, kind)
        for function in op.activation:
            values = apply(function.kind.value, function.values, values)
        if self.observe is not None and kind.is_mean:
            self.observe(op.output, values)
        if target is not None:
            values = floating.quantize(values, target.scale_value, target.zero_point_value)
        return (values if kind.window == 1 else kpu_ideal.pool(values, kind),)

    @impl(kpu.LayerOp)
    def run_layer(self, interpreter: Interpreter, op: kpu.LayerOp, args: PythonValues) -> PythonValues:
        """A layer in the exact integers of its registers."""
        return (run_dense(layer_numbers(op), cast("NDArray[np.uint8]", args[0])),)

    @impl(kpu.PadOp)
    def run_pad(self, interpreter: Interpreter, op: kpu.PadOp, args: PythonValues) -> PythonValues:
        """Rows and columns of the value, or of the byte that stands for it."""
        value = _code(op.value.value.data, op.input.type)
        return (floating.pad_image(args[0], op.pads.get_values(), value),)

    @impl(kpu.CropOp)
    def run_crop(self, interpreter: Interpreter, op: kpu.CropOp, args: PythonValues) -> PythonValues:
        """Fewer rows and columns."""
        return (kpu_ideal.crop(args[0], op.crops.get_values()),)

    @impl(kpu.StridedSliceOp)
    def run_strided_slice(self, interpreter: Interpreter, op: kpu.StridedSliceOp, args: PythonValues) -> PythonValues:
        """Every so many rows and columns."""
        (top, left), (down, right) = op.begin.get_values(), op.strides.get_values()
        return (args[0][:, :, top::down, left::right],)

    @impl(kpu.SpaceToBatchOp)
    def run_space_to_batch(self, interpreter: Interpreter, op: kpu.SpaceToBatchOp, args: PythonValues) -> PythonValues:
        """Padding with (the byte of) 0, then the phases as images."""
        zero = _code(0.0, op.input.type)
        return (floating.space_to_batch(args[0], op.block_shape.get_values(), op.pads.get_values(), zero),)

    @impl(kpu.BatchToSpaceOp)
    def run_batch_to_space(self, interpreter: Interpreter, op: kpu.BatchToSpaceOp, args: PythonValues) -> PythonValues:
        """The phases as one map, then cropped."""
        return (floating.batch_to_space(args[0], op.block_shape.get_values(), op.crops.get_values()),)

    @impl(kpu.ConcatOp)
    def run_concat(self, interpreter: Interpreter, op: kpu.ConcatOp, args: PythonValues) -> PythonValues:
        """The operands' channels; 0 in those that fill up lines."""
        parts = cast("tuple[Array, ...]", args)
        result = np.zeros(kpu.size4(op.output.type), parts[0].dtype)
        for first, part in zip(op.first_channels, parts, strict=True):
            result[:, first : first + part.shape[1]] = part
        return (result,)

    @impl(kpu.ConcatRowsOp)
    def run_concat_rows(self, interpreter: Interpreter, op: kpu.ConcatRowsOp, args: PythonValues) -> PythonValues:
        """Some rows of each operand."""
        bands = zip(args, op.bands, strict=True)
        return (np.concatenate([array[:, :, first : first + count] for array, (first, count) in bands], 2),)

    @impl(kpu.ChannelSliceOp)
    def run_channel_slice(self, interpreter: Interpreter, op: kpu.ChannelSliceOp, args: PythonValues) -> PythonValues:
        """Some channels."""
        return (args[0][:, op.first : op.first + op.count],)

    @impl(kpu.FoldRowsOp)
    def run_fold_rows(self, interpreter: Interpreter, op: kpu.FoldRowsOp, args: PythonValues) -> PythonValues:
        """[N, q g s, block rows, W] to [N, q block g s, rows, W]."""
        batch, channels, height, width = kpu.size4(op.input.type)
        factor, group = op.factor.value.data, row_layout(width).channels_per_line
        blocks = args[0].reshape(batch, channels // group, group, factor, height // factor, width)
        return (blocks.transpose(0, 1, 3, 2, 4, 5).reshape(kpu.size4(op.output.type)),)

    @impl(kpu.ImagesOp)
    def run_images(self, interpreter: Interpreter, op: kpu.ImagesOp, args: PythonValues) -> PythonValues:
        """The same numbers in the same order."""
        return (args[0].reshape(kpu.size4(op.output.type)),)

    @impl(kpu.LinesOp)
    def run_lines(self, interpreter: Interpreter, op: kpu.LinesOp, args: PythonValues) -> PythonValues:
        """[1, q g s, rows, W] to lines of g pieces of pitch pixels each; 0 behind the W of each."""
        _, channels, height, width = kpu.size4(op.input.type)
        group, pitch, _ = row_layout(width)
        pieces = args[0].reshape(channels // group, group, height, width).transpose(0, 2, 1, 3)
        lines = np.zeros((*pieces.shape[:3], pitch), pieces.dtype)
        lines[..., :width] = pieces
        return (lines.reshape(kpu.size4(op.output.type)),)

    @impl(kpu.UploadOp)
    def run_upload(self, interpreter: Interpreter, op: kpu.UploadOp, args: PythonValues) -> PythonValues:
        """The same bytes."""
        return (args[0],)

    @impl(kpu.DownloadOp)
    def run_download(self, interpreter: Interpreter, op: kpu.DownloadOp, args: PythonValues) -> PythonValues:
        """The same bytes."""
        return (args[0],)


def layer_numbers(op: kpu.LayerOp) -> LayerNumbers:
    """The fields of a `kpu.layer` as the integer kernel takes them."""
    _, _, height, width = kpu.size4(op.input.type)
    return LayerNumbers(
        height=height,
        width=width,
        depthwise=op.is_depthwise,
        pool=op.pool_kind,
        **op.numbers(),
    )


def _quantization(kind: Attribute) -> QuantizedType | None:
    """The scale and zero point of a quantized tensor or feature map, None of a float tensor."""
    if isinstance(kind, kpu.FeatureMapType):
        return kind.quantized
    assert isinstance(kind, TensorType)
    element = cast("TensorType[Attribute]", kind).element_type
    return element if isinstance(element, QuantizedType) else None


def _code(value: float, kind: Attribute) -> float:
    """What an array of type `kind` holds for the real number `value`."""
    quantized = _quantization(kind)
    if quantized is None:
        return value
    return int(floating.quantize(np.array(value), quantized.scale_value, quantized.zero_point_value))
