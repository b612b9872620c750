"""Conversion of instructions that compute, and of the ways between the RAMs."""

from collections.abc import Mapping
from math import prod
from typing import Any

from kpuir.dialects import kbuf
from kpuir.passes.kbuf_legalize_v3.fusions import window
from kpuir.passes.kbuf_legalize_v3.legalizer import MOST_ROWS, Legalizer, RefusalError, converts
from kpuir.target.k210 import dma_rule

_NO_CLAMP = (-kbuf.FLOAT_MAX, kbuf.FLOAT_MAX)
_ACTIVATIONS = {_NO_CLAMP: 0, (0.0, kbuf.FLOAT_MAX): 1, (0.0, 6.0): 2}


def _require_no_clamp(fields: Mapping[str, Any], what: str) -> None:
    if fields["act"] != _NO_CLAMP:
        low, high = (f"{bound:g}" for bound in fields["act"])
        raise RefusalError(f"a clamp to {low}..{high} behind {what}; v3 clamps floats behind a matrix product only")


@converts(kbuf.BinaryOp)
def binary(legalizer: Legalizer, op: kbuf.BinaryOp) -> None:
    """add of two tensors of one shape."""
    fields = op.values()
    if str(fields["op"]) != "add":
        raise RefusalError(f"{fields['op']} of floats; of two tensors v3 has nothing but a sum")
    _require_no_clamp(fields, "a sum")
    if fields["a_shape"] != fields["b_shape"]:
        raise RefusalError("a sum of different shapes; v3 adds tensors of one shape")
    if any(legalizer.constant(side) is not None for side in (op.a, op.b)):
        raise RefusalError("a sum with constants; v3 has none but those of a matrix product")
    legalizer.replace(kbuf.v3.AddOp(op.a, op.b, op.output, count=prod(fields["out_shape"])))


@converts(kbuf.QuantizedBinaryOp)
def quantized_binary(legalizer: Legalizer, op: kbuf.QuantizedBinaryOp) -> None:
    """quantized_add of two tensors of one shape."""
    fields = op.values()
    if str(fields["op"]) != "add":
        raise RefusalError(f"{fields['op']} of bytes; of two tensors v3 has nothing but a sum")
    if fields["a_shape"] != fields["b_shape"]:
        raise RefusalError("a sum of different shapes; v3 adds tensors of one shape")
    names = [f"{side}_{name}" for side in ("a", "b", "output") for name in ("offset", "mul", "shift")]
    numbers = never_negative({name: fields[name] for name in names})
    legalizer.replace(kbuf.v3.QuantizedAddOp(op.a, op.b, op.output, count=prod(fields["out_shape"]), **numbers))


_MOST_STEPS = 1024


def never_negative(numbers: dict[str, int]) -> dict[str, int]:
    """The same sum with an offset that keeps it from getting negative, where the runtime rounds to two less.

    The offset is the number of steps that comes nearest to whole codes of the result, which are taken off again.
    """
    if numbers["a_shift"] or numbers["b_shift"] or min(numbers["a_mul"], numbers["b_mul"], numbers["output_mul"]) < 0:
        return numbers
    lowest = numbers["a_offset"] * numbers["a_mul"] + numbers["b_offset"] * numbers["b_mul"]
    first = max(-(-max(-lowest, 0) // max(numbers["a_mul"], 1)), 0)
    unit = 1 << numbers["output_shift"]
    code = numbers["a_mul"] * numbers["output_mul"]

    def rest(steps: int) -> int:
        return abs((steps * code + unit // 2) % unit - unit // 2)

    steps = min(range(first, max(first + 1, _MOST_STEPS)), key=rest)
    taken = (steps * code + unit // 2) // unit
    return {
        **numbers,
        "a_offset": numbers["a_offset"] + steps,
        "output_offset": numbers["output_offset"] - taken,
    }


@converts(kbuf.QuantizeOp, kbuf.DequantizeOp)
def convert(legalizer: Legalizer, op: kbuf.QuantizeOp | kbuf.DequantizeOp) -> None:
    """quantize or dequantize."""
    fields = op.values()
    scale = 1 / fields["scale"]
    layer = kbuf.v3.QuantizeOp if isinstance(op, kbuf.QuantizeOp) else kbuf.v3.DequantizeOp
    numbers = {"count": prod(kbuf.shape_of(op.output)), "scale": scale, "bias": -fields["zero_point"] * scale}
    legalizer.replace(layer(op.input, op.output, **numbers))


@converts(kbuf.TableLookup1dOp)
def table_lookup(legalizer: Legalizer, op: kbuf.TableLookup1dOp) -> None:
    """requantize."""
    table = legalizer.constant(op.table)
    if table is None:
        raise RefusalError("a table that the model computes; v3 has constant ones")
    count = prod(kbuf.shape_of(op.output))
    legalizer.replace(kbuf.v3.RequantizeOp(op.input, op.output, count=count, table=table.ravel()))


@converts(kbuf.SoftmaxOp)
def softmax(legalizer: Legalizer, op: kbuf.SoftmaxOp) -> None:
    """softmax, a layer for each row."""
    fields = op.values()
    rows, size = fields["outer_size"], fields["inner_size"]
    if fields["beta"] != 1.0:
        raise RefusalError(f"a softmax with beta {fields['beta']:g}; v3 has 1")
    if rows > MOST_ROWS:
        raise RefusalError(f"a softmax of {rows} rows; v3 has layers of one, {MOST_ROWS} are made at most")
    legalizer.replace_by_rows(kbuf.v3.SoftmaxOp, op.input, op.output, (rows, size))


@converts(kbuf.ReduceOp)
def reduce(legalizer: Legalizer, op: kbuf.ReduceOp) -> None:
    """global_average_pool2d for means over the last axes."""
    fields = op.values()
    before, after = fields["in_shape"], fields["out_shape"]
    reduced = [axis for axis in range(4) if before[axis] != after[axis]]
    first = min(reduced, default=4)
    if str(fields["op"]) != "mean" or any(after[axis] != 1 for axis in range(first, 4)):
        raise RefusalError(f"a {fields['op']} over axes {reduced}; v3 has the mean over height and width")
    channels = prod(before[:first])
    numbers = {"channels": channels, "kernel_size": prod(before) // channels}
    legalizer.replace(kbuf.v3.GlobalAveragePool2dOp(op.input, op.output, **numbers))


@converts(kbuf.ReduceWindow2dOp)
def reduce_window(legalizer: Legalizer, op: kbuf.ReduceWindow2dOp) -> None:
    """average_pool2d, or global_average_pool2d of whole maps."""
    fields = op.values()
    if str(fields["op"]) != "mean":
        raise RefusalError(f"a pool ({fields['op']}) of floats; v3 has means of these, and maxima of bytes")
    _require_no_clamp(fields, "a pool")
    if (fields["dilation_h"], fields["dilation_w"]) != (1, 1):
        raise RefusalError("a pool with dilations; v3 has none")
    numbers = window(fields, kbuf.shape_of(op.output))
    if (numbers["out_height"], numbers["out_width"]) == (1, 1) and not any((*fields["pad_h"], *fields["pad_w"])):
        kernel = numbers["kernel_width"], numbers["kernel_height"]
        if kernel == (numbers["in_width"], numbers["in_height"]):
            size = {"kernel_size": kernel[0] * kernel[1], "channels": numbers["in_channels"]}
            legalizer.replace(kbuf.v3.GlobalAveragePool2dOp(op.input, op.output, **size))
            return
    legalizer.replace(kbuf.v3.AveragePool2dOp(op.input, op.output, **numbers))


@converts(kbuf.MatmulOp)
def matmul(legalizer: Legalizer, op: kbuf.MatmulOp) -> None:
    """fully_connected of one row."""
    import numpy as np

    fields = op.values()
    weights = legalizer.constant(op.b)
    if weights is None:
        raise RefusalError("a product of two tensors; v3 multiplies with constants")
    if fields["a_rows"] != 1:
        raise RefusalError(f"a product of {fields['a_rows']} rows; v3 multiplies one")
    activation = _ACTIVATIONS.get(fields["act"])
    if activation is None:
        _require_no_clamp(fields, "a matrix product (but relu and relu6)")
    legalizer.replace(
        kbuf.v3.FullyConnectedOp(
            op.a,
            op.output,
            in_channels=fields["a_cols"],
            out_channels=fields["b_cols"],
            activation=activation,
            weights=np.ascontiguousarray(weights.reshape(fields["a_cols"], fields["b_cols"]).T).ravel(),
            bias=fields["bias"],
        )
    )


@converts(kbuf.KpuUploadOp)
def upload(legalizer: Legalizer, op: kbuf.KpuUploadOp) -> None:
    """k210_upload; images of a batch lie one after another in either RAM."""
    batch, channels, height, width = op.values()["in_shape"]
    source, output, shape = op.input, op.output, (1, channels, height, width)
    for image in range(batch):
        parts = (source, output) if batch == 1 else (
            legalizer.view(value, shape, image * (kbuf.byte_size(value) // batch)) for value in (source, output)
        )  # fmt: skip
        layer = kbuf.v3.K210UploadOp(*parts, width=width, height=height, channels=channels)
        if image < batch - 1:
            legalizer.emit(layer)
        else:
            legalizer.replace(layer)


@converts(kbuf.KpuConv2dOp)
def convolution(legalizer: Legalizer, op: kbuf.KpuConv2dOp) -> None:
    """k210_conv is the same instruction; one of several images is as many, each with its own weights in the file."""
    fields = op.values()
    registers, batch = fields["registers"], fields["batches"]
    if op.main_output is not None and not (verdict := dma_rule(*registers.output_shape[1:])).ok:
        raise RefusalError(verdict.reason)
    if batch == 1:
        return
    source, output, main = op.input, op.output, op.main_output
    numbers = {**fields, "batches": 1}
    results = [] if main is None else [
        legalizer.alloc((1, *registers.output_shape), kbuf.UI8) for _ in range(batch)
    ]  # fmt: skip
    for image in range(batch):
        part = legalizer.view(source, (1, *registers.input_shape), image * (kbuf.byte_size(source) // batch))
        there = legalizer.view(output, (1, *registers.output_shape), image * (kbuf.byte_size(output) // batch))
        layer = kbuf.KpuConv2dOp(part, there, results[image] if results else None, **numbers)
        if image == batch - 1 and main is None:
            legalizer.replace(layer)
        else:
            legalizer.emit(layer)
    if main is not None:
        legalizer.copy(results, main)
