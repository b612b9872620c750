"""What a kmodel v3 runtime would accept but get wrong, crash on or stop at (`kmodel-v3.md` sections 8 and 11)."""

from collections.abc import Iterator, Sequence

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from kpuir.dialects import kbuf
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.target.k210 import K210, dma_rule
from kpuir.target.runtimes import RUNTIMES
from kpuir.translate.loadable import buffer_problems, layer_problems, misaligned, pool_problems

_LONGEST_SHIFT = 62
_WORDS = (kbuf.v3.QuantizedAddOp, kbuf.KpuConv2dOp)
"""What writes to main memory in whole words of 8 bytes, and beyond the end of other sizes."""


def check_loadable(module: ModuleOp) -> list[str]:
    """Everything about an allocated kbuf module that a v3 runtime would trip over, each as `layer: what and why`."""
    ops = list(entry_function(module).body.block.ops)
    found = [f"{layer_name(op)}: {op.name}: {problem}" for op in ops for problem in _problems(op)]
    return [*pool_problems(module), *_order_problems(ops), *found]


def _order_problems(ops: Sequence[Operation]) -> Iterator[str]:
    """The first layer takes the input, the last one ends the run."""
    inputs = [op for op in ops if isinstance(op, kbuf.InputOp)]
    layers = [op for op in ops if isinstance(op, kbuf.InstructionOp)]
    if len(inputs) != RUNTIMES["v3"].most_inputs:
        yield f"module: {len(inputs)} inputs, a kmodel v3 has one"
    if not layers:
        yield "module: no layers, the runtime reads the first one"
        return
    first, last = layers[0], layers[-1]
    if not isinstance(first, kbuf.KpuConv2dOp | kbuf.v3.FullyConnectedOp):
        yield f"{layer_name(first)}: {first.name}: the first layer must be a convolution or a matrix product"
    elif inputs and kbuf.offset_of(first.input) != kbuf.offset_of(inputs[0].buffer):
        yield f"{layer_name(first)}: {first.name}: the first layer does not read the input"
    if isinstance(last, kbuf.KpuConv2dOp) and last.main_output is None:
        yield f"{layer_name(last)}: {last.name}: the last layer does not send its result, the runtime would go on"


def _problems(op: Operation) -> Iterator[str]:
    if isinstance(op, kbuf.ConstantOp):
        yield "a kmodel v3 has no constants"
    if isinstance(op, kbuf.AllocOp):
        yield from misaligned("buffer", op.result)
    if isinstance(op, kbuf.OutputOp) and kbuf.space_of(op.buffer) is not kbuf.Space.MAIN:
        yield "an output in KPU RAM, the runtime gives main memory"
    if not isinstance(op, kbuf.InstructionOp):
        return
    yield from buffer_problems(op)
    if isinstance(op, _WORDS):
        yield from _overrun(op)
    if isinstance(op, kbuf.KpuConv2dOp):
        yield from layer_problems(op, False)  # the runtime sets the register where the layer's flag says so
        verdict = dma_rule(*op.registers.data.output_shape[1:])
        if op.main_output is not None and not verdict.ok:
            yield verdict.reason
    if isinstance(op, kbuf.v3.QuantizedAddOp):
        for name, value in op.values().items():
            if name.endswith("_shift") and not 0 <= value <= _LONGEST_SHIFT:
                yield f"{name} is {value}, but must lie in 0..{_LONGEST_SHIFT}"
    if isinstance(op, kbuf.v3.AveragePool2dOp) and op.values()["activation"]:
        yield "no runtime applies the activation of an average pool"
    if isinstance(op, kbuf.v3.FullyConnectedOp) and op.values()["activation"] not in (0, 1, 2):
        yield f"activation is {op.values()['activation']}, there are 0 (none), 1 (relu) and 2 (relu6)"


def _overrun(op: kbuf.InstructionOp) -> Iterator[str]:
    """Up to 7 bytes behind a result are overwritten: they must be nobody's, so a part of a buffer ends at its end."""
    for value in op.destinations:
        if kbuf.space_of(value) is not kbuf.Space.MAIN:
            continue
        size, whole = kbuf.byte_size(value), kbuf.byte_size(kbuf.root_of(value))
        start = kbuf.offset_of(value) or 0
        if start % K210.MAIN_RAM_ALIGNMENT:
            yield f"writes to byte {start}, which is no multiple of {K210.MAIN_RAM_ALIGNMENT}"
        if size % K210.MAIN_RAM_ALIGNMENT and kbuf.offset_in_root(value) + size < whole:
            yield f"{-size % K210.MAIN_RAM_ALIGNMENT} bytes behind its result are overwritten, which others use"
