"""What a kmodel v4 runtime would accept but get wrong, crash on or stop at (`kmodel-v4.md` sections 8, 11 and 13)."""

from collections.abc import Callable, Iterator
from math import ceil
from typing import Any, cast

from xdsl.dialects.builtin import IntegerAttr, ModuleOp
from xdsl.ir import Operation, SSAValue

from kpuir.dialects import kbuf
from kpuir.ir.arrays import to_numpy
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.kmodel.layer import LayerRegisters, unpack_activation
from kpuir.target.k210 import K210, row_layout
from kpuir.target.stackvm import refusal

POOLS = ("kbuf.main_bytes", "kbuf.constant_bytes")
"""Module attributes that hold the size of a pool; bodies after an odd constant pool would not be aligned."""

MAX_SHIFT = 62
"""The largest right shift of the fixed-point helper (section 6)."""

_WORD = 4
"""Bytes that a copy moves at once (section 7)."""

NNIL_STACK = 64
"""Floats the stack of the byte code holds (section 8)."""

LOWEST_START = -(1 << 35)
"""Where the first activation segment must start: the table is left at values below it (section 9.4)."""


def check_loadable(module: ModuleOp) -> list[str]:
    """Everything about an allocated kbuf module that a K210 would trip over, each as `layer: what and why`.

    Empty for a module that is safe to load. What the file format itself cannot hold is `to_v4`'s to refuse.
    """
    found = [
        f"{layer_name(op)}: {op.name}: {problem}"
        for op in entry_function(module).body.block.ops
        for problem in _problems(op)
    ]
    return [*pool_problems(module), *found]


def pool_problems(module: ModuleOp) -> Iterator[str]:
    """Sizes of pools that are no multiples of what they are aligned to."""
    for name in POOLS:
        size = module.attributes.get(name)
        if isinstance(size, IntegerAttr) and cast("IntegerAttr[Any]", size).value.data % K210.MAIN_RAM_ALIGNMENT:
            yield f"module: {name} is {size}, which is no multiple of {K210.MAIN_RAM_ALIGNMENT}"


def _problems(op: Operation) -> Iterator[str]:
    if isinstance(op, kbuf.AllocOp | kbuf.ConstantOp):
        yield from misaligned("buffer", op.result)
    if isinstance(op, kbuf.InstructionOp):
        yield from buffer_problems(op)
        check = _CHECKS.get(type(op))
        if check is not None:
            yield from check(op)


def misaligned(name: str, value: SSAValue, alignment: int | None = None) -> Iterator[str]:
    """A buffer that does not begin at a multiple of what its memory, or who uses it, wants."""
    start, alignment = kbuf.offset_of(value), alignment or _alignment(value)
    if start is None:
        yield f"{name} has no offset: run kbuf-allocate first"
    elif start % alignment:
        yield f"{name} starts at byte {start} of {kbuf.space_of(value).value}, which is no multiple of {alignment}"


def _alignment(value: SSAValue, op: Operation | None = None) -> int:
    """What a buffer begins at a multiple of: lines, elements, what is copied at once (`kmodel-v5.md` 14)."""
    if kbuf.space_of(value) is kbuf.Space.KPU:
        return K210.KPU_RAM_ALIGNMENT
    if isinstance(op, kbuf.MemoryCopyOp):
        return _WORD
    if isinstance(op, kbuf.KpuUploadOp) and op.values()["in_shape"][3] % K210.LINE_BYTES == 0:
        return K210.MAIN_RAM_ALIGNMENT
    return kbuf.element_size(value)


def buffer_problems(op: kbuf.InstructionOp) -> Iterator[str]:
    """Operands that are not aligned, that overlap where they must not, or that cannot be written."""
    buffers = op.buffers()
    for name, value in buffers:
        alignment = _alignment(value, op)
        if isinstance(value.owner, kbuf.SubviewOp) or alignment > _alignment(value):
            yield from misaligned(name, value, alignment)
    written = [(name, value) for name, value in buffers if name in op.DESTINATIONS]
    for index, (name, value) in enumerate(written):
        if kbuf.space_of(value) is kbuf.Space.CONST:
            yield f"{name} lies in the constant pool, which would modify the loaded file"
        for other, source in [pair for pair in buffers if pair[0] not in op.DESTINATIONS] + written[:index]:
            in_place = source in op.overwritable and kbuf.offset_of(source) == kbuf.offset_of(value)
            if _overlap(value, source) and not in_place:
                yield f"{name} and {other} share bytes"


def _overlap(left: SSAValue, right: SSAValue) -> bool:
    first, second = kbuf.offset_of(left), kbuf.offset_of(right)
    if first is None or second is None or kbuf.space_of(left) is not kbuf.space_of(right):
        return False
    return max(first, second) < min(first + kbuf.byte_size(left), second + kbuf.byte_size(right))


# --- Single instructions --------------------------------------------------------------------------------------------


def _check_copy(op: kbuf.MemoryCopyOp) -> Iterator[str]:
    size = kbuf.byte_size(op.input)
    if size % _WORD:
        yield f"copies whole words of {_WORD} bytes: the last {size % _WORD} of {size} bytes would be lost"


def _check_slice(op: kbuf.StridedSliceOp) -> Iterator[str]:
    masks = {name: value for name, value in op.values().items() if name.endswith("_mask") and value}
    if masks:
        yield f"no runtime reads masks, but {', '.join(f'{name} is {value}' for name, value in masks.items())}"


def _check_window_sum(op: kbuf.CpuReduceWindow2dOp) -> Iterator[str]:
    if op.op.data is kbuf.ReduceKind.SUM:
        yield "the runtime stops at a sum"


def _check_unadded_bias(op: kbuf.Conv2dTransposeOp) -> Iterator[str]:
    if to_numpy(op.bias).any():
        yield "no runtime adds the bias of a transposed convolution: add it with a kbuf.binary"


def _check_shifts(op: kbuf.InstructionOp) -> Iterator[str]:
    for name, value in op.values().items():
        if name.endswith("_shift") and not 0 <= value <= MAX_SHIFT:
            yield f"{name} is {value}, but must lie in 0..{MAX_SHIFT}"


def _check_unaligned_bias(op: kbuf.CpuQuantizedConv2dOp | kbuf.CpuQuantizedDepthwiseConv2dOp) -> Iterator[str]:
    yield from _check_shifts(op)
    count = to_numpy(op.weights).size
    if count % 4:
        yield f"the bias follows {count} bytes of weights: it would not be aligned to 4"


_NNIL_EFFECTS = (
    {0x00: (0, 0), 0x01: (1, 2), 0x02: (1, 0), 0x80: (3, 1), 0xA0: (1, 0)}
    | dict.fromkeys(range(3, 7), (0, 1))
    | dict.fromkeys(range(32, 42), (1, 1))
    | dict.fromkeys(range(64, 70), (2, 1))
)
"""What each byte code pops and pushes."""
_NNIL_LITERAL, _NNIL_RETURN = 0x06, 0xA0


def _check_nnil(op: kbuf.NnilUnaryMethodOp) -> Iterator[str]:
    code = to_numpy(op.code).tobytes()
    place, depth = 0, 0
    while place < len(code):
        byte = code[place]
        if byte not in _NNIL_EFFECTS:
            yield f"code byte {place} is {byte:#04x}, which is no instruction"
            return
        pops, pushes = _NNIL_EFFECTS[byte]
        depth += pushes - pops
        if depth - pushes < 0 or depth > NNIL_STACK:
            yield f"code byte {place} ({byte:#04x}) leaves the stack of 0..{NNIL_STACK} values"
            return
        if byte == _NNIL_RETURN:
            return
        if byte == _NNIL_LITERAL and (place + 1) % 4:
            yield f"the literal at code byte {place + 1} is not aligned to 4, which firmware before the SDK's fix needs"
        place += 5 if byte == _NNIL_LITERAL else 1
    yield "the code has no return: elements would be left unwritten"


def _check_function(op: kbuf.V5TensorOp) -> Iterator[str]:
    if reason := refusal(op.function.data, op.values()["fields"]):
        yield reason


def sends(op: kbuf.KpuConv2dOp) -> bool:
    """Whether a layer's result goes to main RAM as well."""
    return op.main_output is not None and kbuf.byte_size(op.main_output) > 0


def layer_problems(op: kbuf.KpuConv2dOp, send_data_out: bool) -> Iterator[str]:
    """Registers of a layer that do not follow from its shapes, and an activation table with a gap."""
    registers = op.registers.data
    for name, expected in _expected_registers(registers, send_data_out, to_numpy(op.weights).itemsize).items():
        found = getattr(registers, name)
        if found != expected:
            yield f"register {name} is {found}, but the layer needs {expected}"
    start = int(unpack_activation(to_numpy(op.activation)).start[0])
    if start != LOWEST_START:
        yield f"the activation table starts at {start} instead of {LOWEST_START}"
    loads = ceil((registers.o_ch_num + 1) / (registers.o_ch_num_coef + 1))
    if loads != registers.load_time + 1:
        limit = f", the KPU does {K210.MAX_WEIGHT_LOADS}" if loads > K210.MAX_WEIGHT_LOADS else ""
        yield f"register load_time gives {registers.load_time + 1} loads of weights, but {loads} are needed{limit}"


def _expected_registers(registers: LayerRegisters, send_data_out: bool, bytes_per_weight: int) -> dict[str, int]:
    """Fields that follow from the shapes (`kmodel-v4.md` 9.4)."""
    _, in_height, in_width = registers.input_shape
    channels, height, width = registers.output_shape
    source, result = row_layout(in_width), row_layout(width)
    per_channel = registers.weight_count // channels
    return {
        "int_en": 0,
        "load_para": 1,
        "load_coor": 1,
        "load_act": 1,
        "row_switch_addr": source.lines_per_row,
        "channel_switch_addr": source.lines_per_row * in_height,
        "coef_group": source.channels_per_line,
        "wb_row_switch_addr": result.lines_per_row,
        "wb_channel_switch_addr": result.lines_per_row * height,
        "wb_group": result.channels_per_line,
        "para_size": per_channel * bytes_per_weight * (registers.o_ch_num_coef + 1),
        "send_data_out": int(send_data_out),
        "channel_byte_num": (width * height - 1) % 65536,
        "dma_total_byte": width * height * channels - 1,
    }


_CHECKS: dict[type[kbuf.InstructionOp], Callable[[Any], Iterator[str]]] = {
    kbuf.MemoryCopyOp: _check_copy,
    kbuf.StridedSliceOp: _check_slice,
    kbuf.CpuReduceWindow2dOp: _check_window_sum,
    kbuf.Conv2dTransposeOp: _check_unadded_bias,
    kbuf.QuantizedBinaryOp: _check_shifts,
    kbuf.QuantizedConv2dOp: _check_shifts,
    kbuf.QuantizedMatmulOp: _check_shifts,
    kbuf.CpuQuantizedConv2dOp: _check_unaligned_bias,
    kbuf.CpuQuantizedDepthwiseConv2dOp: _check_unaligned_bias,
    kbuf.NnilUnaryMethodOp: _check_nnil,
    kbuf.V5TensorOp: _check_function,
    kbuf.KpuConv2dOp: lambda op: layer_problems(op, sends(op)),
}
