"""How the CPU instructions that slide a window run: convolutions and poolings, NCHW and NHWC (`kmodel-v4.md` 7, 10)."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.interpreters.kbuf.machine import Step, executes
from kpuir.interpreters.kbuf.memory import Access
from kpuir.interpreters.kernels import neutral


def _fields(op: kbuf.InstructionOp) -> tuple[SimpleNamespace, neutral.Window]:
    f = SimpleNamespace(**op.values())
    window = neutral.Window(
        (f.filter_h, f.filter_w), (f.stride_h, f.stride_w), (f.dilation_h, f.dilation_w), f.pad_h, f.pad_w
    )
    return f, window


def _flat(values: Any) -> Any:
    return np.array(values).reshape(-1)


def _nchw(op: Any, access: Access, window: neutral.Window, shape: tuple[int, ...], channels: int) -> tuple[Any, Any]:
    batch, _, height, width = shape
    x = access.read(op.input, shape)
    return x, access.write(op.output, (batch, channels, *window.output_size(height, width)))


def _nhwc(op: Any, access: Access, window: neutral.Window, shape: tuple[int, ...], channels: int) -> tuple[Any, Any]:
    # views of the NHWC buffers with the axes in NCHW order
    batch, height, width, _ = shape
    x = access.read(op.input, shape)
    out = access.write(op.output, (batch, *window.output_size(height, width), channels))
    return x.transpose(0, 3, 1, 2), out.transpose(0, 3, 1, 2)


def _requantization(f: SimpleNamespace) -> neutral.Requantization:
    return neutral.Requantization(f.output_mul, f.output_shift, f.output_offset)


@executes(kbuf.Conv2dOp)
def _conv2d(op: kbuf.Conv2dOp, access: Access) -> Step:
    f, window = _fields(op)
    x, out = _nchw(op, access, window, f.in_shape, f.out_channels)
    shape = (f.out_channels, f.in_shape[1] // f.groups, *window.size)
    taps, bias = neutral.Taps.nchw(_flat(f.weights).reshape(shape), window), _flat(f.bias)
    return lambda: neutral.conv2d(x, taps, bias, out, groups=f.groups, window=window, act=f.act)


@executes(kbuf.QuantizedConv2dOp)
def _quantized_conv2d(op: kbuf.QuantizedConv2dOp, access: Access) -> Step:
    f, window = _fields(op)
    x, out = _nchw(op, access, window, f.in_shape, f.out_channels)
    shape = (f.out_channels, f.in_shape[1] // f.groups, *window.size)
    taps = neutral.Taps.nchw(_flat(f.weights).reshape(shape), window).shifted(f.filter_offset)
    bias, scaling = _flat(f.bias), _requantization(f)
    return lambda: neutral.quantized_conv2d(
        x, taps, bias, out, input_offset=f.input_offset, requantization=scaling, groups=f.groups, window=window
    )


@executes(kbuf.Conv2dTransposeOp)
def _conv2d_transpose(op: kbuf.Conv2dTransposeOp, access: Access) -> Step:
    f, window = _fields(op)
    x, out = access.read(op.input, f.in_shape), access.write(op.output, f.out_shape)
    weights = _flat(f.weights).reshape(f.out_shape[1], f.in_shape[1] // f.groups, *window.size)
    return lambda: neutral.conv2d_transpose(x, weights, out, groups=f.groups, window=window, act=f.act)


@executes(kbuf.ReduceWindow2dOp)
def _reduce_window(op: kbuf.ReduceWindow2dOp, access: Access) -> Step:
    f, window = _fields(op)
    x, out = _nchw(op, access, window, f.in_shape, f.in_shape[1])
    kind = str(f.op)
    return lambda: neutral.reduce_window(kind, x, out, f.init, window=window, act=f.act)


@executes(kbuf.CpuReduceWindow2dOp)
def _cpu_reduce_window(op: kbuf.CpuReduceWindow2dOp, access: Access) -> Step:
    f, window = _fields(op)
    kind = str(f.op)
    if kind == "sum":
        raise InvalidInputError("the runtime has no sum in cpu_reduce_window2d, it stops there")
    x, out = _nhwc(op, access, window, f.in_shape, f.in_shape[3])
    return lambda: neutral.reduce_window(kind, x, out, f.init, window=window, act=f.act)


@executes(kbuf.CpuConv2dOp)
def _cpu_conv2d(op: kbuf.CpuConv2dOp, access: Access) -> Step:
    f, window = _fields(op)
    x, out = _nhwc(op, access, window, f.in_shape, f.out_channels)
    weights = _flat(f.weights).reshape(f.out_channels, *window.size, f.in_shape[3])
    taps, bias = neutral.Taps.nhwc(weights, window), _flat(f.bias)
    return lambda: neutral.conv2d(x, taps, bias, out, groups=1, window=window, act=f.act)


@executes(kbuf.CpuDepthwiseConv2dOp)
def _cpu_depthwise_conv2d(op: kbuf.CpuDepthwiseConv2dOp, access: Access) -> Step:
    f, window = _fields(op)
    channels = f.in_shape[3]
    x, out = _nhwc(op, access, window, f.in_shape, channels)
    taps, bias = neutral.Taps.nchw(_flat(f.weights).reshape(channels, 1, *window.size), window), _flat(f.bias)
    return lambda: neutral.conv2d(x, taps, bias, out, groups=channels, window=window, act=f.act)


@executes(kbuf.CpuQuantizedConv2dOp)
def _cpu_quantized_conv2d(op: kbuf.CpuQuantizedConv2dOp, access: Access) -> Step:
    f, window = _fields(op)
    x, out = _nhwc(op, access, window, f.in_shape, f.out_channels)
    weights = _flat(f.weights).reshape(f.out_channels, *window.size, f.in_shape[3])
    taps = neutral.Taps.nhwc(weights, window).shifted(-f.filter_offset)  # subtracted here: kmodel-v4.md 10
    bias, scaling = _flat(f.bias), _requantization(f)
    return lambda: neutral.quantized_conv2d(
        x, taps, bias, out, input_offset=-f.input_offset, requantization=scaling, groups=1, window=window
    )


@executes(kbuf.CpuQuantizedDepthwiseConv2dOp)
def _cpu_quantized_depthwise_conv2d(op: kbuf.CpuQuantizedDepthwiseConv2dOp, access: Access) -> Step:
    f, window = _fields(op)
    channels = f.in_shape[3]
    x, out = _nhwc(op, access, window, f.in_shape, channels)
    weights = _flat(f.weights).reshape(channels, 1, *window.size)
    taps = neutral.Taps.nchw(weights, window).shifted(-f.filter_offset)
    bias, scaling = _flat(f.bias), _requantization(f)
    return lambda: neutral.quantized_conv2d(
        x, taps, bias, out, input_offset=-f.input_offset, requantization=scaling, groups=channels, window=window
    )
