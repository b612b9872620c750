"""What runtimes do with codes: integers of 8 or 16 bits, which stand for real numbers where they have a scale.

Most operators compute with what codes stand for, and so do their functions here. The others are these: what copies
codes from one tensor to another, and what computes with codes as if they were whole numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.ir import SSAValue

from kpuir.importers.tflite.graph import DTYPES, Tensor
from kpuir.importers.tflite.layer import Constant, Handler, Layer, Result

_SCALED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *("AVERAGE_POOL_2D", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "DIV", "ELU", "EXP"),
            *("FULLY_CONNECTED", "GELU", "HARD_SWISH", "L2_NORMALIZATION", "LEAKY_RELU", "LOG", "LOGISTIC"),
            *("LOG_SOFTMAX", "MAX_POOL_2D", "MEAN", "PRELU", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1"),
            *("RSQRT", "SOFTMAX", "SQRT", "SQUARED_DIFFERENCE", "SUB", "SUM", "TANH", "TRANSPOSE_CONV"),
        ),
        ("INT8", "UINT8", "INT16"),
    ),
    **dict.fromkeys(("ADD", "EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "MUL"), ("INT8", "UINT8")),
    "NOT_EQUAL": ("INT8", "UINT8", "INT16"),
    "QUANTIZE": ("INT8", "UINT8", "INT16", "INT32"),
}
"""Which integers LiteRT takes for codes whether they have a scale or not: without one results are 0, or worse."""

_UNSOUND: Mapping[str, tuple[str, ...]] = {
    "FAKE_QUANT": tuple(kind for kind in DTYPES if kind != "FLOAT32"),
    **dict.fromkeys(("MATRIX_DIAG", "MATRIX_SET_DIAG"), ("FLOAT16", "FLOAT64", "UINT16", "BOOL")),
}
"""Types that LiteRT takes for float32: it reads and writes what is not theirs."""

_SYMMETRIC = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
"""What has int8 weights without a zero point."""

_COPIES = frozenset(
    (
        *("AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND", "BROADCAST_TO", "CONCATENATION", "DENSIFY", "DEPTH_TO_SPACE"),
        *("DILATE", "DYNAMIC_UPDATE_SLICE", "EMBEDDING_LOOKUP", "EXPAND_DIMS", "GATHER", "GATHER_ND"),
        *("MATRIX_SET_DIAG", "MAXIMUM", "MAX_POOL_2D", "MINIMUM", "MIRROR_PAD", "ONE_HOT", "PACK", "PAD", "PADV2"),
        *("REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_SEQUENCE"),
        *("REVERSE_V2", "SELECT", "SELECT_V2", "SLICE", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V"),
        *("SQUEEZE", "STRIDED_SLICE", "TILE", "TOPK_V2", "TRANSPOSE", "UNPACK"),
    )
)
"""What copies codes. TFLite's specification wants one scale for inputs and results, runtimes do not look at it."""
_OF_CODES = {
    "INT16": _COPIES | {"GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"},
    "UINT8": _COPIES - {"CONCATENATION"},
}
"""int16 is compared by its codes, uint8 is rescaled to be joined."""


def check(layer: Layer) -> None:
    """Refuse a layer that stands for other numbers than those that runtimes compute."""
    operator, tensors = layer.operator, layer.scope.tensors
    given, results = ([tensors[i] for i in ends if i >= 0] for ends in (operator.inputs, operator.outputs))
    for tensor in given:
        if tensor.dtype in _SCALED.get(operator.kind, ()) and not tensor.is_coded:
            layer.refuse(f"its {tensor.dtype.lower()} {tensor.name} has no scale", "codes with one, or floats")
        if tensor.dtype in _UNSOUND.get(operator.kind, ()):
            layer.refuse(f"{tensor.name} is {tensor.dtype.lower()}, which runtimes do not compute", "float32")
    weights = layer.tensor(1) if operator.kind in _SYMMETRIC and results[0].is_coded else None
    if (
        weights is not None
        and weights.dtype == "INT8"
        and weights.quantization
        and weights.quantization.zero_point.any()
    ):
        layer.refuse(f"the zero point of its weights {weights.name}, which runtimes take for 0", "0, or uint8")
    if operator.kind == "FULLY_CONNECTED" and (given[0].dtype, results[0].dtype) == ("INT8", "INT16"):
        layer.refuse("runtimes take its int8 for uint8 where it gives int16", "one type")
    if operator.kind not in _OF_CODES.get(given[0].dtype if given else "", _COPIES):
        return
    coded = [tensor for tensor in (*given, *results) if tensor.is_coded]
    for tensor in coded[1:]:
        if not _alike(coded[0], tensor):
            layer.refuse(
                f"runtimes take codes of {_named(coded[0])} for those of {_named(tensor)}", "the same for both"
            )


@dataclass(frozen=True)
class _Codes(Layer):
    """A layer as runtimes see it that take codes for whole numbers."""

    def known(self, position: int) -> "Constant | None":
        value = self._lookup(position)
        return None if isinstance(value, SSAValue) else value

    def value(self, position: int) -> SSAValue:
        known, tensor = self.known(position), self.tensor(position)
        if tensor is None or tensor.quantization is None or not tensor.is_coded:
            return super().value(position)
        if known is not None:
            return self.constant(known)
        steps = self.binary("div", super().value(position), float(tensor.quantization.scale[0]))
        return self.binary("add", self.unary("round", steps), float(tensor.quantization.zero_point[0]))

    def is_coded(self, position: int) -> bool:
        return False


def on_codes(handler: Handler, *, overflows: bool = False) -> Handler:
    """A handler of an operator that computes with codes, whatever their scales; it may overflow as 8 or 16 bits do."""

    def wrapper(layer: Layer) -> Result:
        tensor = layer.scope.tensors[layer.operator.outputs[0]]
        result = handler(_Codes(layer.operator, layer.scope))
        if not isinstance(result, SSAValue):
            return result
        return _stored(layer, _wrapped(layer, result, tensor) if overflows else result, tensor)

    wrapper.__doc__ = handler.__doc__
    return wrapper


def _wrapped(layer: Layer, value: SSAValue, tensor: Tensor) -> SSAValue:
    import numpy as np

    integer = np.dtype(DTYPES[tensor.dtype])
    return layer.modulo(value, integer.itemsize * 8, integer.kind == "u") if integer.kind in "iu" else value


def _stored(layer: Layer, value: SSAValue, tensor: Tensor) -> SSAValue:
    """What whole numbers stand for in a tensor that stores them as codes."""
    if tensor.quantization is None or not tensor.is_coded:
        return value
    distance = layer.binary("sub", value, float(tensor.quantization.zero_point[0]))
    return layer.binary("mul", distance, float(tensor.quantization.scale[0]))


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether codes of both stand for the same numbers, within half a step of the largest."""
    import numpy as np

    first, second = one.quantization, other.quantization
    if first is None or second is None or first.scale.size != 1 or second.scale.size != 1:
        return False
    reach = np.ldexp(1.0, np.dtype(DTYPES[one.dtype]).itemsize * 8)
    same = one.dtype == other.dtype and first.zero_point[0] == second.zero_point[0]
    return bool(same and abs(first.scale[0] - second.scale[0]) * reach <= first.scale[0] / 2)


def _named(tensor: Tensor) -> str:
    if tensor.quantization is None or tensor.quantization.scale.size != 1:
        return f"{tensor.name} of several scales"
    return (
        f"{tensor.name} of scale {tensor.quantization.scale[0]:.6g} and zero point {tensor.quantization.zero_point[0]}"
    )
