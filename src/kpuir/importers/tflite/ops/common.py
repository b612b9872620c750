"""What several families need: layouts, TensorFlow's padding schemes, fused activation functions."""

from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import ActivationAttr, ActivationKind
from kpuir.errors import InvalidInputError
from kpuir.importers.tflite.layer import Layer, NotExpressibleError

TO_NCHW = (0, 3, 1, 2)
TO_NHWC = (0, 2, 3, 1)

Pads = tuple[int, int, int, int]
"""(top, left, bottom, right)."""

FUSED = {
    "RELU": ActivationAttr.of(ActivationKind.RELU),
    "RELU_N1_TO_1": ActivationAttr.of(ActivationKind.CLAMP, -1.0, 1.0),
    "RELU6": ActivationAttr.of(ActivationKind.RELU6),
    "TANH": ActivationAttr.of(ActivationKind.TANH),
}
_FUSED_CODES = {1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH"}


def transpose(layer: Layer, value: SSAValue, permutation: tuple[int, ...]) -> SSAValue:
    """`ktensor.transpose`: output dimension i is input dimension permutation[i]."""
    return layer.put(ktensor.TransposeOp(value, permutation))


def reshape(layer: Layer, value: SSAValue, shape: tuple[int, ...]) -> SSAValue:
    """`ktensor.reshape`."""
    return layer.put(ktensor.ReshapeOp(value, shape))


def to_nchw(layer: Layer, value: SSAValue) -> SSAValue:
    """A feature map in the layout of our operations."""
    return transpose(layer, value, TO_NCHW)


def to_nhwc(layer: Layer, value: SSAValue) -> SSAValue:
    """A feature map in the layout of TFLite."""
    return transpose(layer, value, TO_NHWC)


def fused_activation(layer: Layer, value: SSAValue) -> SSAValue:
    """The layer's fused activation function behind `value`, nothing where it has none."""
    code = int(layer.option("FusedActivationFunction", 0))
    if _FUSED_CODES.get(code) == "TANH":
        layer.refuse("runtimes leave out its fused TANH", "TANH behind it")
    return activated(layer, value, code)


def activated(layer: Layer, value: SSAValue, code: int) -> SSAValue:
    """A fused activation function by its number in the file."""
    if code == 0:
        return value
    if code not in _FUSED_CODES:
        raise NotExpressibleError(f"{layer.operator.kind}: its fused activation number {code} is not supported")
    return layer.put(ktensor.ActivationOp(value, FUSED[_FUSED_CODES[code]]))


def is_same(layer: Layer) -> bool:
    """Whether the padding scheme is SAME (else VALID)."""
    padding = int(layer.option("Padding"))
    if padding not in (0, 1):
        raise InvalidInputError(f"{layer.operator.kind} has padding scheme {padding}", location=layer.name)
    return padding == 0


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: ceil(size / stride) outputs, the odd pixel of padding at the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def window_pads(layer: Layer, size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int]) -> Pads:
    """The padding of a window over a map of `size` (height, width); `kernel` with its dilation already applied."""
    if not is_same(layer):
        if kernel[0] > size[0] or kernel[1] > size[1]:
            message = f"its window {kernel[0]}x{kernel[1]} is larger than its input {size[0]}x{size[1]}"
            raise InvalidInputError(message, location=layer.name)
        return (0, 0, 0, 0)
    top, bottom = same_padding(size[0], kernel[0], strides[0])
    left, right = same_padding(size[1], kernel[1], strides[1])
    return (top, left, bottom, right)
