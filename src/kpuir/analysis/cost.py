"""How long an inference takes on the chip: the KPU by its published formula, the CPU by published costs per element.

The KPU's times fit published logs within a few percent (`kpu-hardware.md` 10.2); the CPU's are of the right order
(10.5). The clock is 400 MHz, the runtime that of kmodel v4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from kpuir.analysis.coverage import Place
from kpuir.dialects import kbuf
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.target.k210 import K210, CpuCosts, layer_milliseconds


@dataclass(frozen=True)
class InstructionCost:
    """The estimated milliseconds of one instruction, and the layer of the source model it belongs to."""

    layer: str
    operation: str
    place: Place
    milliseconds: float


def estimate(module: ModuleOp) -> list[InstructionCost]:
    """What each instruction of a module at kbuf level costs, in order; buffers cost nothing."""
    ops = entry_function(module).body.block.ops
    return [_cost(op) for op in ops if isinstance(op, kbuf.InstructionOp)]


def total_milliseconds(costs: list[InstructionCost]) -> float:
    """The estimated time of one inference."""
    return sum(cost.milliseconds for cost in costs)


def _cost(op: kbuf.InstructionOp) -> InstructionCost:
    if isinstance(op, kbuf.KpuConv2dOp):
        return InstructionCost(layer_name(op), op.name, Place.KPU, _layer(op))
    place = Place.TRANSFER if isinstance(op, kbuf.KpuUploadOp) else Place.CPU
    return InstructionCost(layer_name(op), op.name, place, 1e-6 * _NANOSECONDS[type(op)](op))


def _layer(op: kbuf.KpuConv2dOp) -> float:
    """Milliseconds of a layer for all images, with the copy of its result to main RAM."""
    fields = op.values()
    registers = fields["registers"]
    (ic, height, width), (oc, _, _) = registers.input_shape, registers.output_shape
    once = layer_milliseconds(ic, oc, height, width, registers.kernel_size, registers.depthwise)
    copied = 0 if op.main_output is None else kbuf.byte_size(op.main_output)
    return fields["batches"] * (once + K210.LAYER_SOFTWARE_MS) + 1e-6 * copied * CpuCosts.DOWNLOAD


def _elements(value: SSAValue) -> int:
    return prod(kbuf.shape_of(value))


def _upload(op: Any) -> float:
    """By DMA where the rows of a dense map and of KPU RAM are the same bytes."""
    bytes_, width = kbuf.byte_size(op.input), op.values()["in_shape"][3]
    return bytes_ * (CpuCosts.UPLOAD if width % K210.LINE_BYTES else CpuCosts.UPLOAD_DMA)


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
    return CpuCosts.MULTIPLY_ADD * _elements(op.output) * weights / channels


def _transposed_convolution(op: Any) -> float:
    """Every input is multiplied with the weights of its input channel."""
    fields = op.values()
    return CpuCosts.MULTIPLY_ADD * _elements(op.input) * fields["weights"].size / fields["in_shape"][1]


def _matmul(op: Any) -> float:
    fields = op.values()
    return CpuCosts.MULTIPLY_ADD * fields["a_rows"] * fields["a_cols"] * fields["b_cols"]


def _window(op: Any) -> float:
    fields = op.values()
    return CpuCosts.WINDOW * _elements(op.output) * fields["filter_h"] * fields["filter_w"]


_CHEAP_FUNCTIONS = ("abs", "ceil", "floor", "neg", "square")


def _unary(op: Any) -> float:
    cheap = str(op.values()["op"]) in _CHEAP_FUNCTIONS
    return _elements(op.output) * (CpuCosts.ELEMENT if cheap else CpuCosts.TRANSCENDENTAL)


_NANOSECONDS: dict[type[kbuf.InstructionOp], Callable[[Any], float]] = {
    kbuf.BinaryOp: _per_result(CpuCosts.ELEMENT),
    kbuf.ConcatOp: _per_byte(CpuCosts.COPY),
    kbuf.Conv2dOp: _convolution,
    kbuf.DequantizeOp: _per_result(CpuCosts.DEQUANTIZE),
    kbuf.MatmulOp: _matmul,
    kbuf.PadOp: _per_byte(CpuCosts.PAD),
    kbuf.QuantizeOp: _per_result(CpuCosts.QUANTIZE),
    kbuf.ReduceOp: _per_input(CpuCosts.WINDOW),
    kbuf.ReduceWindow2dOp: _window,
    kbuf.MemoryCopyOp: _per_byte(CpuCosts.COPY),
    kbuf.ResizeImageOp: _per_result(CpuCosts.ELEMENT),
    kbuf.SoftmaxOp: _per_result(CpuCosts.TRANSCENDENTAL),
    kbuf.TransposeOp: _per_byte(CpuCosts.PAD),
    kbuf.StridedSliceOp: _per_byte(CpuCosts.PAD),
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
}
