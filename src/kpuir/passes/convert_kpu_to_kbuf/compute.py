"""Conversion of operations that compute, in float or on bytes."""

import math
from typing import TYPE_CHECKING

from xdsl.ir import SSAValue

from kpuir.analysis.instructions import UNARIES
from kpuir.dialects import kbuf, ktensor
from kpuir.passes.convert_kpu_to_kbuf.lowering import Lowering, RefusalError, clamp_of, converts, shape4

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_QUANTIZED_BITS = 20
"""Fraction bits of rescaled operands: 255 * 2**20 summed twice stays below 2**31."""


def _require_float(op_name: str, *values: SSAValue) -> None:
    if any(ktensor.is_quantized(value) for value in values):
        raise RefusalError(f"{op_name} on bytes; dequantize first")


def _constant(value: SSAValue | None, what: str) -> "NDArray[np.float32] | None":
    if value is None:
        return None
    array = ktensor.constant_of(value)
    if array is None:
        raise RefusalError(f"the {what} are computed by the model; an instruction needs constants")
    return array


@converts(ktensor.ConstantOp)
def constant(lowering: Lowering, op: ktensor.ConstantOp) -> None:
    """Nothing: the pool holds what instructions ask for."""


@converts(ktensor.UnaryOp)
def unary(lowering: Lowering, op: ktensor.UnaryOp) -> None:
    """unary."""
    kind = op.kind.data.value
    if kind not in UNARIES:
        raise RefusalError(f"no instruction computes {kind}; ktensor-decompose-functions does")
    _require_float("a function", op.input)
    source = lowering.buffer(op.input)
    lowering.emit(kbuf.UnaryOp(source, lowering.result(op.output), op=kind))


@converts(ktensor.ActivationOp)
def activation(lowering: Lowering, op: ktensor.ActivationOp) -> None:
    """A clamp by itself: max(x, low), clamped."""
    import numpy as np

    bounds = clamp_of(op)
    if bounds is None:
        raise RefusalError(f"no instruction computes {op.function.kind}; ktensor-decompose-functions does")
    _require_float("an activation", op.input)
    shape = (1, 1, 1, math.prod(ktensor.shape_of(op.input)))
    low = lowering.constant(np.full((1, 1, 1, 1), bounds[0], np.float32))
    source = lowering.viewed(lowering.buffer(op.input), shape)
    output = lowering.viewed(lowering.result(op.output), shape)
    lowering.emit(
        kbuf.BinaryOp(source, low, output, op="max", a_shape=shape, b_shape=(1, 1, 1, 1), out_shape=shape, act=bounds)
    )


def _binary_shapes(op: ktensor.BinaryOp) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    left, right, result = (ktensor.shape_of(value) for value in (op.lhs, op.rhs, op.output))
    if left == right:
        flat = (1, 1, 1, math.prod(result))
        return flat, flat, flat
    if 1 in (math.prod(left), math.prod(right)):
        count = math.prod(result)
        return (1, 1, 1, math.prod(left)), (1, 1, 1, math.prod(right)), (1, 1, 1, count)
    return shape4(left), shape4(right), shape4(result)


@converts(ktensor.BinaryOp)
def binary(lowering: Lowering, op: ktensor.BinaryOp) -> None:
    """binary, or quantized_binary for bytes."""
    a_shape, b_shape, out_shape = _binary_shapes(op)
    a, b = lowering.buffer(op.lhs), lowering.buffer(op.rhs)
    shapes = {"a_shape": a_shape, "b_shape": b_shape, "out_shape": out_shape}
    if ktensor.is_quantized(op.output):
        numbers = _quantized_numbers(op)
        lowering.emit(
            kbuf.QuantizedBinaryOp(a, b, lowering.result(op.output), op=op.kind.data.value, **shapes, **numbers)
        )
        return
    output, act = lowering.clamped_result(op.output)
    lowering.emit(kbuf.BinaryOp(a, b, output, op=op.kind.data.value, **shapes, act=act))


def _quantized_numbers(op: ktensor.BinaryOp) -> dict[str, int]:
    """Offsets and multipliers of quantized_binary: kmodel-v4.md 0x11, with one rounding, at the end.

    add, sub, min, max bring both operands to the larger scale in 2**-20 steps; mul needs no scaling of its operands.
    """
    from kpuir.quantization.fixed_point import fixed_point

    a, b, y = (ktensor.element_of(value) for value in (op.lhs, op.rhs, op.output))
    assert isinstance(a, ktensor.QuantizedType)
    assert isinstance(b, ktensor.QuantizedType)
    assert isinstance(y, ktensor.QuantizedType)
    kind = op.kind.data
    if kind is ktensor.BinaryKind.DIV:
        raise RefusalError("a division on bytes; dequantize first")
    if kind is ktensor.BinaryKind.MUL:
        multipliers, unit = (1, 1), a.scale_value * b.scale_value
    else:
        largest = max(a.scale_value, b.scale_value)
        unit = largest / 2**_QUANTIZED_BITS
        multipliers = (round(a.scale_value / unit), round(b.scale_value / unit))
    output_mul, output_shift = fixed_point(unit / y.scale_value, 32, 62)
    return {
        "a_offset": -a.zero_point_value,
        "a_mul": multipliers[0],
        "a_shift": 0,
        "b_offset": -b.zero_point_value,
        "b_mul": multipliers[1],
        "b_shift": 0,
        "output_offset": y.zero_point_value,
        "output_mul": output_mul,
        "output_shift": output_shift,
    }


@converts(ktensor.Conv2dOp)
def conv2d(lowering: Lowering, op: ktensor.Conv2dOp) -> None:
    """conv2d in float."""
    import numpy as np

    _require_float("a convolution on the CPU", op.input)
    weight, bias = _constant(op.weight, "weights"), _constant(op.bias, "biases")
    assert weight is not None
    top, left, bottom, right = op.pads.get_values()
    source = lowering.buffer(op.input)
    output, act = lowering.clamped_result(op.output)
    lowering.emit(
        kbuf.Conv2dOp(
            source,
            output,
            in_shape=ktensor.shape_of(op.input),
            groups=op.groups.value.data,
            out_channels=weight.shape[0],
            pad_h=(top, bottom),
            pad_w=(left, right),
            filter_h=weight.shape[2],
            filter_w=weight.shape[3],
            stride_h=op.strides.get_values()[0],
            stride_w=op.strides.get_values()[1],
            dilation_h=op.dilations.get_values()[0],
            dilation_w=op.dilations.get_values()[1],
            act=act,
            weights=weight.ravel(),
            bias=np.zeros(weight.shape[0], np.float32) if bias is None else bias,
        )
    )


@converts(ktensor.Conv2dTransposeOp)
def conv2d_transpose(lowering: Lowering, op: ktensor.Conv2dTransposeOp) -> None:
    """conv2d_transpose; its stored bias is never added (kmodel-v4.md 0x13), so a binary operation adds it."""
    import numpy as np

    _require_float("a transposed convolution", op.input)
    weight, bias = _constant(op.weight, "weights"), _constant(op.bias, "biases")
    assert weight is not None
    groups = op.groups.value.data
    inputs, per_group = weight.shape[:2]
    kernel = weight.reshape(groups, inputs // groups, per_group, *weight.shape[2:]).transpose(0, 2, 1, 3, 4)
    top, left, bottom, right = op.pads.get_values()
    in_shape, out_shape = ktensor.shape_of(op.input), ktensor.shape_of(op.output)
    source = lowering.buffer(op.input)
    plain = lowering.alloc(out_shape) if bias is not None else lowering.result(op.output)
    lowering.emit(
        kbuf.Conv2dTransposeOp(
            source,
            plain,
            in_shape=in_shape,
            out_shape=out_shape,
            groups=groups,
            pad_h=(top, bottom),
            pad_w=(left, right),
            filter_h=weight.shape[2],
            filter_w=weight.shape[3],
            stride_h=op.strides.get_values()[0],
            stride_w=op.strides.get_values()[1],
            dilation_h=op.dilations.get_values()[0],
            dilation_w=op.dilations.get_values()[1],
            weights=np.ascontiguousarray(kernel).ravel(),
            bias=np.zeros(out_shape[1], np.float32),
        )
    )
    if bias is None:
        return
    addend = lowering.constant(bias.reshape(1, -1, 1, 1))
    output, act = lowering.clamped_result(op.output)
    shapes = {"a_shape": out_shape, "b_shape": (1, out_shape[1], 1, 1), "out_shape": out_shape}
    lowering.emit(kbuf.BinaryOp(plain, addend, output, op="add", **shapes, act=act))


@converts(ktensor.MatmulOp)
def matmul(lowering: Lowering, op: ktensor.MatmulOp) -> None:
    """matmul of two matrices."""
    import numpy as np

    left, right = ktensor.shape_of(op.lhs), ktensor.shape_of(op.rhs)
    if len(left) != 2 or len(right) != 2:
        raise RefusalError(
            f"a product of {'x'.join(map(str, left))} and {'x'.join(map(str, right))}; matmul takes matrices"
        )
    bias = _constant(op.bias, "biases")
    a, b = lowering.buffer(op.lhs), lowering.buffer(op.rhs)
    output, act = lowering.clamped_result(op.output)
    zeros = np.zeros(right[1], np.float32)
    lowering.emit(
        kbuf.MatmulOp(
            a, b, output, a_rows=left[0], a_cols=left[1], b_cols=right[1], act=act, bias=zeros if bias is None else bias
        )
    )


@converts(ktensor.MaxPool2dOp, ktensor.AveragePool2dOp)
def pool2d(lowering: Lowering, op: ktensor.MaxPool2dOp | ktensor.AveragePool2dOp) -> None:
    """reduce_window2d."""
    maximum = isinstance(op, ktensor.MaxPool2dOp)
    _require_float("pooling on the CPU", op.input)
    if isinstance(op, ktensor.AveragePool2dOp) and op.count_include_pad.value.data and any(op.pads.get_values()):
        raise RefusalError("a mean that counts padding; ktensor-decompose-shapes pads first")
    top, left, bottom, right = op.pads.get_values()
    dilations = op.dilations.get_values() if isinstance(op, ktensor.MaxPool2dOp) else (1, 1)
    source = lowering.buffer(op.input)
    output, act = lowering.clamped_result(op.output)
    lowering.emit(
        kbuf.ReduceWindow2dOp(
            source,
            output,
            op="max" if maximum else "mean",
            in_shape=ktensor.shape_of(op.input),
            pad_h=(top, bottom),
            pad_w=(left, right),
            filter_h=op.kernel_shape.get_values()[0],
            filter_w=op.kernel_shape.get_values()[1],
            stride_h=op.strides.get_values()[0],
            stride_w=op.strides.get_values()[1],
            dilation_h=dilations[0],
            dilation_w=dilations[1],
            init=-kbuf.FLOAT_MAX if maximum else 0.0,
            act=act,
        )
    )


_INITIAL = {"mean": 0.0, "sum": 0.0, "max": -kbuf.FLOAT_MAX, "min": kbuf.FLOAT_MAX}


@converts(ktensor.ReduceOp)
def reduce(lowering: Lowering, op: ktensor.ReduceOp) -> None:
    """reduce."""
    _require_float("a reduction", op.input)
    shape, axes = ktensor.shape_of(op.input), op.axes.get_values()
    kept = shape4([1 if axis in axes else size for axis, size in enumerate(shape)])
    kind = op.kind.data.value
    source = lowering.buffer(op.input)
    lowering.emit(
        kbuf.ReduceOp(
            source, lowering.result(op.output), op=kind, in_shape=shape4(shape), out_shape=kept, init=_INITIAL[kind]
        )
    )


@converts(ktensor.SoftmaxOp)
def softmax(lowering: Lowering, op: ktensor.SoftmaxOp) -> None:
    """softmax over the last axis."""
    shape, axis = ktensor.shape_of(op.input), op.axis.value.data
    if math.prod(shape[axis + 1 :]) != 1:
        raise RefusalError(f"softmax over axis {axis} of {len(shape)}; ktensor-decompose-shapes transposes first")
    source = lowering.buffer(op.input)
    inner, outer = shape[axis], math.prod(shape[:axis])
    output = lowering.result(op.output)
    lowering.emit(kbuf.SoftmaxOp(source, output, inner_size=inner, outer_size=outer, beta=op.beta.value.data))


@converts(ktensor.QuantizeOp)
def quantize(lowering: Lowering, op: ktensor.QuantizeOp) -> None:
    """quantize; a constant is quantized here and now."""
    from kpuir.quantization.parameters import QuantizationParameters

    scale, zero_point = op.element.scale_value / op.multiplier.value.data, op.element.zero_point_value
    array = ktensor.constant_of(op.input)
    if array is not None and op.is_plain:
        codes = QuantizationParameters(scale, zero_point).quantize(array)
        lowering.buffers[op.output] = lowering.constant(codes)
        return
    source = lowering.buffer(op.input)
    numbers = {"zero_point": zero_point + op.addend.value.data, "scale": 1 / scale}
    lowering.emit(kbuf.QuantizeOp(source, lowering.result(op.output), **numbers))


@converts(ktensor.DequantizeOp)
def dequantize(lowering: Lowering, op: ktensor.DequantizeOp) -> None:
    """dequantize."""
    element = ktensor.element_of(op.input)
    assert isinstance(element, ktensor.QuantizedType)
    source = lowering.buffer(op.input)
    numbers = {"zero_point": element.zero_point_value, "scale": 1 / element.scale_value}
    lowering.emit(kbuf.DequantizeOp(source, lowering.result(op.output), **numbers))
