"""Runs the ktensor dialect on numpy arrays; a quantized tensor is its bytes."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.interpreters.kernels import elementwise, floating
from kpuir.ir.arrays import dtype_of

Array: TypeAlias = NDArray[Any]


@register_impls
class KTensorFunctions(InterpreterFunctions):
    """What every ktensor operation computes."""

    @impl(ktensor.ConstantOp)
    def run_constant(self, interpreter: Interpreter, op: ktensor.ConstantOp, args: PythonValues) -> PythonValues:
        """The array."""
        return (op.array,)

    @impl(ktensor.Conv2dOp)
    def run_conv2d(self, interpreter: Interpreter, op: ktensor.Conv2dOp, args: PythonValues) -> PythonValues:
        """A convolution."""
        output = floating.conv2d(
            *args,
            strides=op.strides.get_values(),
            pads=op.pads.get_values(),
            dilations=op.dilations.get_values(),
            groups=op.group_count,
        )
        return (output,)

    @impl(ktensor.Conv2dTransposeOp)
    def run_conv2d_transpose(
        self, interpreter: Interpreter, op: ktensor.Conv2dTransposeOp, args: PythonValues
    ) -> PythonValues:
        """A transposed convolution."""
        output = floating.conv2d_transpose(
            *args,
            strides=op.strides.get_values(),
            pads=op.pads.get_values(),
            dilations=op.dilations.get_values(),
            groups=op.group_count,
            output_padding=op.output_padding.get_values(),
        )
        return (output,)

    @impl(ktensor.MatmulOp)
    def run_matmul(self, interpreter: Interpreter, op: ktensor.MatmulOp, args: PythonValues) -> PythonValues:
        """A matrix product."""
        return (floating.matmul(*args),)

    @impl(ktensor.MaxPool2dOp)
    def run_max_pool2d(self, interpreter: Interpreter, op: ktensor.MaxPool2dOp, args: PythonValues) -> PythonValues:
        """The largest of each window, of numbers or bytes."""
        output = floating.max_pool2d(
            args[0],
            op.kernel_shape.get_values(),
            strides=op.strides.get_values(),
            pads=op.pads.get_values(),
            dilations=op.dilations.get_values(),
        )
        return (output,)

    @impl(ktensor.AveragePool2dOp)
    def run_average_pool2d(
        self, interpreter: Interpreter, op: ktensor.AveragePool2dOp, args: PythonValues
    ) -> PythonValues:
        """The mean of each window."""
        output = floating.average_pool2d(
            args[0],
            op.kernel_shape.get_values(),
            strides=op.strides.get_values(),
            pads=op.pads.get_values(),
            count_include_pad=op.counts_padding,
        )
        return (output,)

    @impl(ktensor.ReduceOp)
    def run_reduce(self, interpreter: Interpreter, op: ktensor.ReduceOp, args: PythonValues) -> PythonValues:
        """A reduction."""
        return (floating.reduce(op.kind.data.value, args[0], op.axes.get_values(), op.keeps_dims),)

    @impl(ktensor.UnaryOp)
    def run_unary(self, interpreter: Interpreter, op: ktensor.UnaryOp, args: PythonValues) -> PythonValues:
        """A function of each element."""
        return (_as_result(op.output, elementwise.apply(op.kind.data.value, (), args[0])),)

    @impl(ktensor.ActivationOp)
    def run_activation(self, interpreter: Interpreter, op: ktensor.ActivationOp, args: PythonValues) -> PythonValues:
        """An activation of each element."""
        function = op.function
        return (_as_result(op.output, elementwise.apply(function.kind.value, function.values, args[0])),)

    @impl(ktensor.BinaryOp)
    def run_binary(self, interpreter: Interpreter, op: ktensor.BinaryOp, args: PythonValues) -> PythonValues:
        """A function of two elements; of bytes by way of the numbers they stand for."""
        lhs, rhs = _real(op.lhs, args[0]), _real(op.rhs, args[1])
        return (_as_result(op.output, elementwise.binary(op.kind.data.value, lhs, rhs)),)

    @impl(ktensor.SelectOp)
    def run_select(self, interpreter: Interpreter, op: ktensor.SelectOp, args: PythonValues) -> PythonValues:
        """One of two elements."""
        return (elementwise.select(*args),)

    @impl(ktensor.PReluOp)
    def run_prelu(self, interpreter: Interpreter, op: ktensor.PReluOp, args: PythonValues) -> PythonValues:
        """A leaky relu with a slope for each element."""
        return (elementwise.prelu(args[0], args[1]),)

    @impl(ktensor.SoftmaxOp)
    def run_softmax(self, interpreter: Interpreter, op: ktensor.SoftmaxOp, args: PythonValues) -> PythonValues:
        """A softmax."""
        return (floating.softmax(args[0], op.axis.value.data, op.beta.value.data),)

    @impl(ktensor.ConcatOp)
    def run_concat(self, interpreter: Interpreter, op: ktensor.ConcatOp, args: PythonValues) -> PythonValues:
        """One after the other."""
        return (np.concatenate(args, axis=op.axis.value.data),)

    @impl(ktensor.ReshapeOp)
    def run_reshape(self, interpreter: Interpreter, op: ktensor.ReshapeOp, args: PythonValues) -> PythonValues:
        """The same elements."""
        return (args[0].reshape(ktensor.shape_of(op.output)),)

    @impl(ktensor.TransposeOp)
    def run_transpose(self, interpreter: Interpreter, op: ktensor.TransposeOp, args: PythonValues) -> PythonValues:
        """The axes in another order."""
        return (np.require(args[0].transpose(op.permutation.get_values()), requirements="C"),)

    @impl(ktensor.PadOp)
    def run_pad(self, interpreter: Interpreter, op: ktensor.PadOp, args: PythonValues) -> PythonValues:
        """Elements of the value, or of the byte that stands for it."""
        value = _stored(op.output, op.pad_value)
        return (floating.pad(args[0], op.low.get_values(), op.high.get_values(), value),)

    @impl(ktensor.SliceOp)
    def run_slice(self, interpreter: Interpreter, op: ktensor.SliceOp, args: PythonValues) -> PythonValues:
        """Some of the elements."""
        return (np.require(args[0][op.slices], requirements="C"),)

    @impl(ktensor.ResizeOp)
    def run_resize(self, interpreter: Interpreter, op: ktensor.ResizeOp, args: PythonValues) -> PythonValues:
        """Another height and width."""
        output = floating.resize(
            args[0],
            op.size.get_values(),
            op.mode.data.value,
            op.coordinate_mode.data.value,
            op.nearest_mode.data.value,
            op.scale_values,
        )
        return (output,)

    @impl(ktensor.SpaceToBatchOp)
    def run_space_to_batch(
        self, interpreter: Interpreter, op: ktensor.SpaceToBatchOp, args: PythonValues
    ) -> PythonValues:
        """Padding with (the byte of) 0, then the phases as images."""
        block, pads = op.block_shape.get_values(), op.pads.get_values()
        return (floating.space_to_batch(args[0], block, pads, _stored(op.output, 0.0)),)

    @impl(ktensor.BatchToSpaceOp)
    def run_batch_to_space(
        self, interpreter: Interpreter, op: ktensor.BatchToSpaceOp, args: PythonValues
    ) -> PythonValues:
        """The phases as one image, then cropped."""
        output = floating.batch_to_space(args[0], op.block_shape.get_values(), op.crops.get_values())
        return (np.ascontiguousarray(output),)

    @impl(ktensor.DepthToSpaceOp)
    def run_depth_to_space(
        self, interpreter: Interpreter, op: ktensor.DepthToSpaceOp, args: PythonValues
    ) -> PythonValues:
        """Channels as pixels."""
        return (floating.depth_to_space(args[0], op.block_size.value.data, op.mode.data.value),)

    @impl(ktensor.SpaceToDepthOp)
    def run_space_to_depth(
        self, interpreter: Interpreter, op: ktensor.SpaceToDepthOp, args: PythonValues
    ) -> PythonValues:
        """Pixels as channels."""
        return (floating.space_to_depth(args[0], op.block_size.value.data, op.mode.data.value),)

    @impl(ktensor.QuantizeOp)
    def run_quantize(self, interpreter: Interpreter, op: ktensor.QuantizeOp, args: PythonValues) -> PythonValues:
        """The bytes of numbers."""
        zero_point = op.element.zero_point_value + op.addend.value.data
        return (floating.quantize(args[0], op.element.scale_value / op.multiplier.value.data, zero_point),)

    @impl(ktensor.DequantizeOp)
    def run_dequantize(self, interpreter: Interpreter, op: ktensor.DequantizeOp, args: PythonValues) -> PythonValues:
        """The numbers of bytes."""
        return (floating.dequantize(args[0], op.element.scale_value, op.element.zero_point_value),)


def storage_dtype(value: SSAValue) -> "np.dtype[Any]":
    """The type of the elements of the array that stands for a tensor value."""
    element = ktensor.element_of(value)
    return np.dtype(np.uint8) if isinstance(element, ktensor.QuantizedType) else dtype_of(element)


def _real(value: SSAValue, array: Array) -> Array:
    """The numbers an array stands for."""
    element = ktensor.element_of(value)
    if not isinstance(element, ktensor.QuantizedType):
        return array
    return floating.dequantize(array, element.scale_value, element.zero_point_value)


def _as_result(value: SSAValue, numbers: Array) -> Array:
    """The array that stands for numbers in a value of its type."""
    element = ktensor.element_of(value)
    if not isinstance(element, ktensor.QuantizedType):
        return numbers.astype(dtype_of(element), copy=False)
    return floating.quantize(numbers, element.scale_value, element.zero_point_value)


def _stored(value: SSAValue, number: float) -> float:
    """What the array of a value holds for one number."""
    element = ktensor.element_of(value)
    if not isinstance(element, ktensor.QuantizedType):
        return number
    return int(floating.quantize(np.array(number), element.scale_value, element.zero_point_value))
