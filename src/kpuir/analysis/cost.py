"""How long an inference takes on the chip: the KPU by its published formula, the CPU by published costs per element.

The KPU's times fit published logs within a few percent (`kpu-hardware.md` 10.2); the CPU's are of the right order
(10.5). The clock is 400 MHz, the runtime that of kmodel v4. What layers and transfers take is said in
`kpuir.analysis.estimates`, once for choices of passes and for instructions.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import SSAValue

from kpuir.analysis import estimates
from kpuir.dialects import kbuf
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.target.k210 import CpuCosts
from kpuir.target.stackvm import UNARY

DOWNLOAD = "kbuf.kpu_download"
"""What the copy of a layer's result to main RAM is called: a part of `kbuf.kpu_conv2d`, and a transfer of its own."""


UPLOADS = (kbuf.KpuUploadOp, kbuf.v3.K210UploadOp, kbuf.v3.K210AddPaddingOp)
"""The ways from main RAM to KPU RAM."""


class Place(StrEnum):
    """Where work is done; a transfer is a copy between the two RAMs."""

    KPU = "KPU"
    CPU = "CPU"
    TRANSFER = "transfer"


@dataclass(frozen=True)
class InstructionCost:
    """The estimated milliseconds of one instruction, and the layer of the source model it belongs to."""

    layer: str
    operation: str
    place: Place
    milliseconds: float


def estimate(module: ModuleOp) -> list[InstructionCost]:
    """What each instruction of a module at kbuf level costs, in order; buffers cost nothing.

    A layer whose result is also copied to main RAM makes two entries: itself, and the transfer.
    """
    ops = entry_function(module).body.block.ops
    return [cost for op in ops if isinstance(op, kbuf.InstructionOp) for cost in costs_of(op)]


def total_milliseconds(costs: Iterable[InstructionCost], place: Place | None = None) -> float:
    """The estimated time of one inference, or of what is done in one place."""
    return sum(cost.milliseconds for cost in costs if place in (None, cost.place))


def costs_of(op: kbuf.InstructionOp) -> tuple[InstructionCost, ...]:
    """The cost of an instruction; for a layer also that of the copy of its result to main RAM."""
    if not isinstance(op, kbuf.KpuConv2dOp):
        place = Place.TRANSFER if isinstance(op, (*UPLOADS, kbuf.KpuDownloadOp)) else Place.CPU
        return (InstructionCost(layer_name(op), _name(op), place, 1e-6 * _NANOSECONDS[type(op)](op)),)
    layer = InstructionCost(layer_name(op), op.name, Place.KPU, _layer(op))
    copied = kbuf.byte_size(op.main_output) if op.main_output is not None else 0
    if not copied:
        return (layer,)
    return layer, InstructionCost(layer.layer, DOWNLOAD, Place.TRANSFER, _download(op, copied))


def _name(op: kbuf.InstructionOp) -> str:
    return f"{op.name}<{op.function.data}>" if isinstance(op, kbuf.V5TensorOp) else op.name


def _download(op: kbuf.KpuConv2dOp, size: int) -> float:
    """The CPU copies a result for v4, the engine itself sends it for v3."""
    module = op.get_toplevel_object()
    version = module.attributes.get("kbuf.version") if isinstance(module, ModuleOp) else None
    return 1e-6 * size * CpuCosts.DMA_OUTPUT if version == StringAttr("v3") else estimates.download((size,))


def _layer(op: kbuf.KpuConv2dOp) -> float:
    fields = op.values()
    registers = fields["registers"]
    shape = (fields["batches"], *registers.input_shape)
    kind = (registers.output_shape[0], registers.kernel_size, registers.depthwise)
    return estimates.layer(shape, *kind, bytes_per_weight=fields["weights"].itemsize)


def _elements(value: SSAValue) -> int:
    return prod(kbuf.shape_of(value))


def _upload(op: Any) -> float:
    return 1e6 * estimates.upload(op.values()["in_shape"])


def _moved(op: Any) -> float:
    return 1e6 * estimates.move((kbuf.byte_size(op.output),))


def _per_result(nanoseconds: float) -> Callable[[Any], float]:
    return lambda op: nanoseconds * _elements(op.output)


def _per_input(nanoseconds: float) -> Callable[[Any], float]:
    return lambda op: nanoseconds * _elements(op.input)


def _per_byte(nanoseconds: float) -> Callable[[Any], float]:
    return lambda op: nanoseconds * kbuf.byte_size(op.output)


def _convolution(op: Any) -> float:
    """Every result is a sum over the weights of its output channel."""
    fields = op.values()
    weights, channels = fields["weights"].size, fields.get("out_channels") or fields["in_shape"][3]
    return 1e6 * estimates.multiply_adds(_elements(op.output) * weights / channels)


def _transposed_convolution(op: Any) -> float:
    """Every input is multiplied with the weights of its input channel."""
    fields = op.values()
    return 1e6 * estimates.multiply_adds(_elements(op.input) * fields["weights"].size / fields["in_shape"][1])


def _upload_image(op: Any) -> float:
    return 1e6 * estimates.upload(kbuf.shape_of(op.output))


def _fully_connected(op: Any) -> float:
    return 1e6 * estimates.multiply_adds(op.values()["weights"].size)


def _pool(op: Any) -> float:
    fields = op.values()
    return CpuCosts.WINDOW * _elements(op.output) * fields["kernel_width"] * fields["kernel_height"]


def _matmul(op: Any) -> float:
    fields = op.values()
    return 1e6 * estimates.multiply_adds(fields["a_rows"] * fields["a_cols"] * fields["b_cols"])


def _window(op: Any) -> float:
    fields = op.values()
    return CpuCosts.WINDOW * _elements(op.output) * fields["filter_h"] * fields["filter_w"]


_CHEAP_FUNCTIONS = ("abs", "ceil", "floor", "neg", "square")


def _unary(op: Any) -> float:
    cheap = str(op.values()["op"]) in _CHEAP_FUNCTIONS
    return _elements(op.output) * (CpuCosts.ELEMENT if cheap else CpuCosts.TRANSCENDENTAL)


def _tensor_function(op: Any) -> float:
    """By the elements of what it gives, and for products of what they are made of."""
    function, fields = op.function.data, op.values()["fields"]
    output = op.destinations[0]
    match function:
        case "conv2d":
            _, channels, height, width = fields["sh_w"]
            return 1e6 * estimates.multiply_adds(_elements(output) * channels * height * width)
        case "matmul":
            return 1e6 * estimates.multiply_adds(_elements(output) * fields["sh1"][-1])
        case "reduce_window2d":
            return CpuCosts.WINDOW * _elements(output) * fields["fh"] * fields["fw"]
        case "reduce":
            return CpuCosts.WINDOW * _elements(op.sources[0])
        case "unary":
            cheap = UNARY[fields["op"]] in _CHEAP_FUNCTIONS
            return _elements(output) * (CpuCosts.ELEMENT if cheap else CpuCosts.TRANSCENDENTAL)
        case "copy":  # perhaps into a part of a buffer
            return CpuCosts.COPY * prod(fields["sh"]) * kbuf.element_size(output)
        case "lut1d":
            return CpuCosts.COPY * kbuf.byte_size(output)
        case "pad" | "slice" | "transpose":
            return 1e6 * estimates.move((kbuf.byte_size(output),))
        case _:
            return _elements(output) * _PER_RESULT.get(function, CpuCosts.ELEMENT)


_PER_RESULT = {
    "dequantize": CpuCosts.DEQUANTIZE,
    "quantize": CpuCosts.QUANTIZE,
    "sigmoid": CpuCosts.TRANSCENDENTAL,
    "softmax": CpuCosts.TRANSCENDENTAL,
}


_NANOSECONDS: dict[type[kbuf.InstructionOp], Callable[[Any], float]] = {
    kbuf.BinaryOp: _per_result(CpuCosts.ELEMENT),
    kbuf.ConcatOp: _per_byte(CpuCosts.COPY),
    kbuf.Conv2dOp: _convolution,
    kbuf.DequantizeOp: _per_result(CpuCosts.DEQUANTIZE),
    kbuf.MatmulOp: _matmul,
    kbuf.PadOp: _moved,
    kbuf.QuantizeOp: _per_result(CpuCosts.QUANTIZE),
    kbuf.ReduceOp: _per_input(CpuCosts.WINDOW),
    kbuf.ReduceWindow2dOp: _window,
    kbuf.MemoryCopyOp: _per_byte(CpuCosts.COPY),
    kbuf.ResizeImageOp: _per_result(CpuCosts.ELEMENT),
    kbuf.SoftmaxOp: _per_result(CpuCosts.TRANSCENDENTAL),
    kbuf.TransposeOp: _moved,
    kbuf.StridedSliceOp: _moved,
    kbuf.UnaryOp: _unary,
    kbuf.QuantizedConv2dOp: _convolution,
    kbuf.QuantizedMatmulOp: _matmul,
    kbuf.QuantizedBinaryOp: _per_result(CpuCosts.QUANTIZED_ADD),
    kbuf.TableLookup1dOp: _per_byte(CpuCosts.COPY),
    kbuf.Conv2dTransposeOp: _transposed_convolution,
    kbuf.NnilUnaryMethodOp: _per_result(CpuCosts.TRANSCENDENTAL),
    kbuf.CpuConv2dOp: _convolution,
    kbuf.CpuDepthwiseConv2dOp: _convolution,
    kbuf.CpuReduceWindow2dOp: _window,
    kbuf.CpuQuantizedConv2dOp: _convolution,
    kbuf.CpuQuantizedDepthwiseConv2dOp: _convolution,
    kbuf.KpuUploadOp: _upload,
    kbuf.KpuDownloadOp: lambda op: 1e6 * estimates.download(op.values()["in_shape"]),
    kbuf.V5TensorOp: _tensor_function,
    kbuf.v3.AddOp: _per_result(CpuCosts.ELEMENT),
    kbuf.v3.QuantizedAddOp: _per_result(CpuCosts.QUANTIZED_ADD),
    kbuf.v3.GlobalAveragePool2dOp: _per_input(CpuCosts.WINDOW),
    kbuf.v3.QuantizedMaxPool2dOp: _pool,
    kbuf.v3.AveragePool2dOp: _pool,
    kbuf.v3.QuantizeOp: _per_result(CpuCosts.QUANTIZE),
    kbuf.v3.DequantizeOp: _per_result(CpuCosts.DEQUANTIZE),
    kbuf.v3.RequantizeOp: _per_byte(CpuCosts.COPY),
    kbuf.v3.L2NormalizationOp: _per_result(CpuCosts.ELEMENT),
    kbuf.v3.SoftmaxOp: _per_result(CpuCosts.TRANSCENDENTAL),
    kbuf.v3.ConcatOp: _per_byte(CpuCosts.COPY),
    kbuf.v3.QuantizedConcatOp: _per_byte(CpuCosts.COPY),
    kbuf.v3.FullyConnectedOp: _fully_connected,
    kbuf.v3.TensorflowFlattenOp: _moved,
    kbuf.v3.ResizeNearestNeighborOp: _per_result(CpuCosts.ELEMENT),
    kbuf.v3.QuantizedResizeNearestNeighborOp: _per_result(CpuCosts.ELEMENT),
    kbuf.v3.ChannelwiseDequantizeOp: _per_result(CpuCosts.DEQUANTIZE),
    kbuf.v3.LogisticOp: _per_result(CpuCosts.TRANSCENDENTAL),
    kbuf.v3.K210AddPaddingOp: _per_input(CpuCosts.UPLOAD),
    kbuf.v3.K210RemovePaddingOp: _per_byte(CpuCosts.COPY),
    kbuf.v3.K210UploadOp: _upload_image,
}
