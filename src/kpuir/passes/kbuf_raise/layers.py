"""Layers of kmodel v3 as instructions of v4 (`kmodel-v3.md` 4), and what of the KPU's layers only a file needs."""

from dataclasses import replace
from typing import Any

import numpy as np

from kpuir.dialects import kbuf
from kpuir.dialects.kbuf import v3
from kpuir.passes.kbuf_legalize_v3.legalizer import RefusalError
from kpuir.passes.kbuf_raise.raiser import NO_CLAMP, Operand, Raiser, Shape, raises
from kpuir.target.runtimes import RUNTIMES

_ACTIVATIONS = {0: NO_CLAMP, 1: (0.0, kbuf.FLOAT_MAX), 2: (0.0, 6.0)}
_SMALLEST_NORM = 1e-10
_MOST_BITS = 31


def _row(count: int) -> Shape:
    return (1, 1, 1, count)


@raises(kbuf.KpuConv2dOp)
def convolution(raiser: Raiser, op: kbuf.KpuConv2dOp) -> None:
    """The same layer, its arrays wherever the new file has them."""
    fields = op.values()
    bits = fields["weights"].itemsize * 8
    if bits not in RUNTIMES[raiser.version].weight_bits:
        raise RefusalError(f"weights of {bits} bits; {raiser.version} has layers with 8")
    main = op.main_output if op.main_output is not None and kbuf.byte_size(op.main_output) else None
    registers = replace(fields["registers"], send_data_out=int(main is not None))
    kept = {name: fields[name] for name in ("batches", "batch_norm", "activation", "activation_add", "weights")}
    raiser.replace(kbuf.KpuConv2dOp(op.input, op.output, main, registers=registers, **kept))


@raises(v3.AddOp)
def add(raiser: Raiser, op: v3.AddOp) -> None:
    """binary."""
    shape = _row(op.values()["count"])
    raiser.binary("add", (op.a, shape), (op.b, shape), (op.output, shape))
    raiser.drop()


@raises(v3.QuantizedAddOp)
def quantized_add(raiser: Raiser, op: v3.QuantizedAddOp) -> None:
    """quantized_binary; v3 cuts off what it shifts out of the operands, v4 rounds it."""
    fields = op.values()
    shape = _row(fields["count"])
    numbers = {name: value for name, value in fields.items() if name not in ("flags", "count")}
    for side in ("a", "b"):
        largest = (abs(numbers[f"{side}_offset"]) + 255) * abs(numbers[f"{side}_mul"]) >> numbers[f"{side}_shift"]
        if largest >> (_MOST_BITS - 1):
            raise RefusalError(f"a sum of numbers up to {largest}; v4 adds in {_MOST_BITS + 1} bits")
    shapes = dict.fromkeys(("a_shape", "b_shape", "out_shape"), shape)
    raiser.replace(kbuf.QuantizedBinaryOp(op.a, op.b, op.output, op="add", **shapes, **numbers))


def _pool(raiser: Raiser, kind: str, source: Operand, output: Operand, f: dict[str, int]) -> None:
    pads = {
        f"pad_{axis[0]}": (f[f"pad_{axis}"], _behind(f[f"in_{axis}"], f[f"out_{axis}"], f, axis))
        for axis in ("height", "width")
    }
    window = {f"{name}_{axis[0]}": f[f"{old}_{axis}"] for axis in ("height", "width")
              for name, old in (("filter", "kernel"), ("stride", "stride"))}  # fmt: skip
    raiser.emit(
        kbuf.ReduceWindow2dOp(
            source[0], output[0], op=kind, in_shape=source[1], **pads, **window, dilation_h=1, dilation_w=1, init=0.0
        )
    )


def _behind(size: int, results: int, f: dict[str, int], axis: str) -> int:
    """The padding behind an axis, negative where its end is not read."""
    return (results - 1) * f[f"stride_{axis}"] + f[f"kernel_{axis}"] - size - f[f"pad_{axis}"]


def _images(f: dict[str, int]) -> tuple[Shape, Shape]:
    channels = f["out_channels"]
    return (1, channels, f["in_height"], f["in_width"]), (1, channels, f["out_height"], f["out_width"])


@raises(v3.AveragePool2dOp)
def average_pool(raiser: Raiser, op: v3.AveragePool2dOp) -> None:
    """reduce_window2d."""
    fields = op.values()
    before, after = _images(fields)
    _pool(raiser, "mean", (raiser.view(op.input, before), before), (op.output, after), fields)
    raiser.drop()


@raises(v3.QuantizedMaxPool2dOp)
def max_pool(raiser: Raiser, op: v3.QuantizedMaxPool2dOp) -> None:
    """reduce_window2d of the bytes as floats."""
    fields = op.values()
    before, after = _images(fields)
    source, output = raiser.floats(before), raiser.floats(after)
    raiser.dequantize(raiser.view(op.input, before), source, 1.0, 0.0)
    _pool(raiser, "max", source, output, fields)
    raiser.quantize(output, op.output, 1.0, 0.0)
    raiser.drop()


@raises(v3.GlobalAveragePool2dOp)
def global_average_pool(raiser: Raiser, op: v3.GlobalAveragePool2dOp) -> None:
    """reduce_window2d, which divides as v3 does; reduce multiplies by the reciprocal."""
    fields = op.values()
    channels, size = fields["channels"], fields["kernel_size"]
    whole = {
        "in_height": 1,
        "in_width": size,
        "out_height": 1,
        "out_width": 1,
        "kernel_height": 1,
        "kernel_width": size,
    }
    steps = {"stride_height": 1, "stride_width": 1, "pad_height": 0, "pad_width": 0}
    source, output = (op.input, (1, channels, 1, size)), (op.output, (1, channels, 1, 1))
    _pool(raiser, "mean", source, output, {**whole, **steps})
    raiser.drop()


@raises(v3.QuantizeOp)
def quantize(raiser: Raiser, op: v3.QuantizeOp) -> None:
    """quantize, behind a difference where there is no byte for 0."""
    fields = op.values()
    raiser.quantize((op.input, _row(fields["count"])), op.output, fields["scale"], fields["bias"])
    raiser.drop()


@raises(v3.DequantizeOp)
def dequantize(raiser: Raiser, op: v3.DequantizeOp) -> None:
    """dequantize, in front of a sum where there is no byte for 0."""
    fields = op.values()
    raiser.dequantize(op.input, (op.output, _row(fields["count"])), fields["scale"], fields["bias"])
    raiser.drop()


@raises(v3.ChannelwiseDequantizeOp)
def channelwise_dequantize(raiser: Raiser, op: v3.ChannelwiseDequantizeOp) -> None:
    """dequantize to the bytes themselves, a product and a sum."""
    fields = op.values()
    channels = fields["channels"]
    shape, each = (1, channels, 1, fields["channel_size"]), (1, channels, 1, 1)
    pairs = fields["scales"].reshape(channels, 2)
    scales, biases = ((raiser.made(np.ascontiguousarray(pairs[:, side]).reshape(each)), each) for side in (0, 1))
    codes, scaled = raiser.floats(shape), raiser.floats(shape)
    raiser.dequantize(op.input, codes, 1.0, 0.0)
    raiser.binary("mul", codes, scales, scaled)
    raiser.binary("add", scaled, biases, (op.output, shape))
    raiser.drop()


@raises(v3.RequantizeOp)
def requantize(raiser: Raiser, op: v3.RequantizeOp) -> None:
    """table_lookup1d."""
    raiser.replace(kbuf.TableLookup1dOp(op.input, raiser.made(op.values()["table"].ravel()), op.output))


@raises(v3.L2NormalizationOp)
def l2_normalization(raiser: Raiser, op: v3.L2NormalizationOp) -> None:
    """Squares, their sum, which is not too small, the reciprocal of its root, and a product."""
    shape, one = _row(op.values()["channels"]), _row(1)
    squares, (total, bounded, factor) = raiser.floats(shape), (raiser.floats(one) for _ in range(3))
    raiser.unary("square", (op.input, shape), squares)
    raiser.emit(kbuf.ReduceOp(squares[0], total[0], op="sum", in_shape=shape, out_shape=one, init=0.0))
    raiser.binary("max", total, raiser.number(_SMALLEST_NORM), bounded)
    raiser.unary("rsqrt", bounded, factor)
    raiser.binary("mul", (op.input, shape), factor, (op.output, shape))
    raiser.drop()


@raises(v3.SoftmaxOp)
def softmax(raiser: Raiser, op: v3.SoftmaxOp) -> None:
    """softmax of one row; the maximum that v4 takes off is that of all values, which changes last digits only."""
    raiser.replace(kbuf.SoftmaxOp(op.input, op.output, inner_size=op.values()["channels"], outer_size=1, beta=1.0))


@raises(v3.LogisticOp)
def logistic(raiser: Raiser, op: v3.LogisticOp) -> None:
    """Four instructions."""
    shape = _row(op.values()["channels"])
    raiser.logistic((op.input, shape), (op.output, shape))
    raiser.drop()


@raises(v3.ConcatOp, v3.QuantizedConcatOp)
def concat(raiser: Raiser, op: v3.ConcatOp | v3.QuantizedConcatOp) -> None:
    """concat of one row."""
    raiser.copy_bytes(list(op.inputs), op.output)
    raiser.drop()


@raises(v3.FullyConnectedOp)
def fully_connected(raiser: Raiser, op: v3.FullyConnectedOp) -> None:
    """matmul with constants."""
    f = op.values()
    if f["activation"] not in _ACTIVATIONS:
        raise RefusalError(f"activation {f['activation']}, which no runtime knows")
    weights = np.ascontiguousarray(f["weights"].reshape(f["out_channels"], f["in_channels"]).T)
    sizes = {"a_rows": 1, "a_cols": f["in_channels"], "b_cols": f["out_channels"]}
    act = _ACTIVATIONS[f["activation"]]
    raiser.replace(kbuf.MatmulOp(op.input, raiser.made(weights), op.output, **sizes, act=act, bias=f["bias"]))


@raises(v3.TensorflowFlattenOp)
def flatten(raiser: Raiser, op: v3.TensorflowFlattenOp) -> None:
    """transpose."""
    f = op.values()
    shape = (1, f["channels"], f["height"], f["width"])
    raiser.replace(kbuf.TransposeOp(op.input, op.output, in_shape=shape, perm=(0, 2, 3, 1)))


@raises(v3.ResizeNearestNeighborOp, v3.QuantizedResizeNearestNeighborOp)
def resize(raiser: Raiser, op: v3.ResizeNearestNeighborOp | v3.QuantizedResizeNearestNeighborOp) -> None:
    """resize_image."""
    f = op.values()
    shape, sizes = (
        (1, f["channels"], f["in_height"], f["in_width"]),
        {"out_h": f["out_height"], "out_w": f["out_width"]},
    )
    raiser.replace(kbuf.ResizeImageOp(op.input, op.output, in_shape=shape, **sizes, mode="nearest"))


def _pad(shape: Shape, by: int) -> dict[str, Any]:
    return {"in_shape": shape, "paddings": (0, 0, 0, 0, 0, by, 0, by), "value": np.zeros(4, np.uint8)}


@raises(v3.K210AddPaddingOp)
def add_padding(raiser: Raiser, op: v3.K210AddPaddingOp) -> None:
    """pad to maps of 4x4, and kpu_upload."""
    channels = op.values()["channels"]
    maps = (1, channels, 4, 4)
    padded = raiser.alloc(maps, kbuf.UI8)
    raiser.emit(kbuf.PadOp(op.input, padded, **_pad((1, channels, 1, 1), 3)))
    raiser.replace(kbuf.KpuUploadOp(padded, op.output, in_shape=maps))


@raises(v3.K210RemovePaddingOp)
def remove_padding(raiser: Raiser, op: v3.K210RemovePaddingOp) -> None:
    """pad by less than nothing."""
    raiser.replace(kbuf.PadOp(op.input, op.output, **_pad((1, op.values()["channels"], 4, 4), -3)))


@raises(v3.K210UploadOp)
def upload(raiser: Raiser, op: v3.K210UploadOp) -> None:
    """kpu_upload."""
    f = op.values()
    raiser.replace(kbuf.KpuUploadOp(op.input, op.output, in_shape=(1, f["channels"], f["height"], f["width"])))
