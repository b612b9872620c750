"""How the layers of kmodel v3 run (`kmodel-v3.md` 4); its convolutions are those of every version."""

from collections.abc import Callable
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np

from kpuir.dialects import kbuf
from kpuir.dialects.kbuf import v3
from kpuir.interpreters.kbuf.machine import Step, executes
from kpuir.interpreters.kbuf.memory import Access
from kpuir.interpreters.kernels import layers_v3, neutral
from kpuir.interpreters.kernels.kpu_layout import Layout, copy_map


def _fields(op: kbuf.InstructionOp) -> SimpleNamespace:
    return SimpleNamespace(**op.values())


@executes(v3.AddOp)
def _add(op: v3.AddOp, access: Access) -> Step:
    shape = (_fields(op).count,)
    a, b, out = access.read(op.a, shape), access.read(op.b, shape), access.write(op.output, shape)
    return lambda: layers_v3.add(a, b, out)


@executes(v3.QuantizedAddOp)
def _quantized_add(op: v3.QuantizedAddOp, access: Access) -> Step:
    """The runtime goes on to a multiple of 8 bytes, whoever's they are."""
    f = _fields(op)
    for value in (op.a, op.b):
        access.read(value, (f.count,))
    access.write(op.output, (f.count,))
    a, b, out = (access.beyond(value, -(-f.count // 8) * 8) for value in (op.a, op.b, op.output))
    scalings = [
        (getattr(f, f"{side}_offset"), getattr(f, f"{side}_mul"), getattr(f, f"{side}_shift"))
        for side in ("a", "b", "output")
    ]
    return lambda: layers_v3.quantized_add(a, b, out, *scalings)


@executes(v3.GlobalAveragePool2dOp)
def _global_average_pool(op: v3.GlobalAveragePool2dOp, access: Access) -> Step:
    f = _fields(op)
    x, out = access.read(op.input, (f.channels, f.kernel_size)), access.write(op.output, (f.channels,))
    return lambda: layers_v3.global_average_pool(x, out)


@executes(v3.QuantizedMaxPool2dOp, v3.AveragePool2dOp)
def _pool(op: v3.QuantizedMaxPool2dOp | v3.AveragePool2dOp, access: Access) -> Step:
    f = _fields(op)
    x = access.read(op.input, (f.in_channels, f.in_height, f.in_width))[: f.out_channels]
    out = access.write(op.output, (f.out_channels, f.out_height, f.out_width))
    window = f.kernel_height, f.kernel_width, f.stride_height, f.stride_width, f.pad_height, f.pad_width
    return lambda: layers_v3.pool(x, out, window)


@executes(v3.QuantizeOp)
def _quantize(op: v3.QuantizeOp, access: Access) -> Step:
    f = _fields(op)
    x, out = access.read(op.input, (f.count,)), access.write(op.output, (f.count,))
    return lambda: layers_v3.quantize(x, out, f.scale, f.bias)


@executes(v3.DequantizeOp)
def _dequantize(op: v3.DequantizeOp, access: Access) -> Step:
    f = _fields(op)
    x, out = access.read(op.input, (f.count,)), access.write(op.output, (f.count,))
    return lambda: layers_v3.dequantize(x, out, f.scale, f.bias)


@executes(v3.ChannelwiseDequantizeOp)
def _channelwise_dequantize(op: v3.ChannelwiseDequantizeOp, access: Access) -> Step:
    f = _fields(op)
    shape = f.channels, f.channel_size
    x, out = access.read(op.input, shape), access.write(op.output, shape)
    pairs = np.array(f.scales).reshape(f.channels, 2)
    return lambda: layers_v3.dequantize(x, out, pairs[:, :1], pairs[:, 1:])


@executes(v3.RequantizeOp)
def _requantize(op: v3.RequantizeOp, access: Access) -> Step:
    f = _fields(op)
    x, out, table = access.read(op.input, (f.count,)), access.write(op.output, (f.count,)), np.array(f.table)
    return lambda: neutral.table_lookup(x, table, out)


_VECTORS: dict[type[kbuf.InstructionOp], Callable[[Any, Any], None]] = {
    v3.L2NormalizationOp: layers_v3.l2_normalization,
    v3.SoftmaxOp: layers_v3.softmax,
    v3.LogisticOp: layers_v3.logistic,
}


@executes(v3.L2NormalizationOp, v3.SoftmaxOp, v3.LogisticOp)
def _vector(op: v3.L2NormalizationOp | v3.SoftmaxOp | v3.LogisticOp, access: Access) -> Step:
    shape = (_fields(op).channels,)
    x, out, function = access.read(op.input, shape), access.write(op.output, shape), _VECTORS[type(op)]
    return lambda: function(x, out)


@executes(v3.ConcatOp, v3.QuantizedConcatOp)
def _concat(op: v3.ConcatOp | v3.QuantizedConcatOp, access: Access) -> Step:
    sources = [access.read(value, (1, kbuf.byte_size(value)), np.uint8) for value in op.inputs]
    out = access.write(op.output, (1, kbuf.byte_size(op.output)), np.uint8)
    return lambda: neutral.concat(sources, out)


@executes(v3.FullyConnectedOp)
def _fully_connected(op: v3.FullyConnectedOp, access: Access) -> Step:
    f = _fields(op)
    x, out = access.read(op.input, (f.in_channels,)), access.write(op.output, (f.out_channels,))
    weights, bias = np.array(f.weights).reshape(f.out_channels, f.in_channels), np.array(f.bias).reshape(-1)
    return lambda: layers_v3.fully_connected(x, out, weights, bias, f.activation)


@executes(v3.TensorflowFlattenOp)
def _flatten(op: v3.TensorflowFlattenOp, access: Access) -> Step:
    f = _fields(op)
    x = access.read(op.input, (f.channels, f.height, f.width))
    out = access.write(op.output, (f.height, f.width, f.channels))
    return lambda: np.copyto(out, x.transpose(1, 2, 0))


@executes(v3.ResizeNearestNeighborOp, v3.QuantizedResizeNearestNeighborOp)
def _resize(op: v3.ResizeNearestNeighborOp | v3.QuantizedResizeNearestNeighborOp, access: Access) -> Step:
    f = _fields(op)
    x = access.read(op.input, (1, f.channels, f.in_height, f.in_width))
    out = access.write(op.output, (1, f.channels, f.out_height, f.out_width))
    return lambda: neutral.resize(x, out, nearest=True, align_corners=False)


@executes(v3.K210AddPaddingOp)
def _add_padding(op: v3.K210AddPaddingOp, access: Access) -> Step:
    """Layers read the other pixels too, whatever they are: they count as written."""
    channels = _fields(op).channels
    x, lines = access.read(op.input, (channels,)), Layout.lines((1, channels, 4, 4))
    maps = access.write_map(op.output, lines)
    places = np.arange(channels) // 4 * 256 + np.arange(channels) % 4 * 16

    def step() -> None:
        maps[places] = x

    return step


@executes(v3.K210RemovePaddingOp)
def _remove_padding(op: v3.K210RemovePaddingOp, access: Access) -> Step:
    channels = _fields(op).channels
    x, out = access.read(op.input, (channels, 16)), access.write(op.output, (channels,))
    return lambda: np.copyto(out, x[:, 0])


@executes(v3.K210UploadOp)
def _upload(op: v3.K210UploadOp, access: Access) -> Step:
    f = _fields(op)
    shape = (1, f.channels, f.height, f.width)
    dense, lines = Layout.dense(shape), Layout.lines(shape)
    source, target = access.read(op.input, (prod(shape),)), access.write_map(op.output, lines)
    return lambda: copy_map(source, dense, target, lines)
