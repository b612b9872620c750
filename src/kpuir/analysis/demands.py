"""What a module asks of a firmware: what `kpuir.target.firmware` looks at."""

from collections.abc import Sequence

from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr
from xdsl.ir import Operation

from kpuir.dialects import kbuf
from kpuir.ir.functions import entry_function
from kpuir.target.firmware import Demands
from kpuir.target.stackvm import NEWEST, RELEASES, releases_of

_OF_CALLER = (kbuf.Space.INPUT, kbuf.Space.OUTPUT)


def demands(module: ModuleOp, kmodel_bytes: int) -> Demands:
    """What a firmware has to do for an allocated module that is a file of so many bytes.

    The runtime of v3 copies the weights of a matrix product while it computes it (`kmodel-v3.md` 4); with v5 inputs and
    outputs are allocated as well (`kmodel-v5.md` 14).
    """
    ops = list(entry_function(module).body.block.ops)
    version, main = module.attributes["kbuf.version"], module.attributes["kbuf.main_bytes"]
    assert isinstance(version, StringAttr)
    assert isinstance(main, IntegerAttr)
    ports = [op.result for op in ops if isinstance(op, kbuf.AllocOp) and kbuf.space_of(op.result) in _OF_CALLER]
    products = [op for op in ops if isinstance(op, kbuf.v3.FullyConnectedOp)]
    copied = max((sum(op.values()[name].nbytes for name in ("weights", "bias")) for op in products), default=0)
    return Demands(
        version=version.data,
        instructions=[mnemonic(op, version.data) for op in ops if isinstance(op, kbuf.InstructionOp)],
        input_shapes=[tuple(op.shape.get_values()) for op in ops if isinstance(op, kbuf.InputOp)],
        output_types=[
            "uint8" if kbuf.element_size(op.buffer) == 1 else "float32" for op in ops if isinstance(op, kbuf.OutputOp)
        ],
        releases=_releases(module, ops) if version.data == "v5" else RELEASES,
        memory=kmodel_bytes + main.value.data + copied + sum(map(kbuf.byte_size, ports)),
    )


def _releases(module: ModuleOp, ops: Sequence[Operation]) -> list[str]:
    """The releases that take the functions of a module as the file has them."""
    own = module.attributes.get("kbuf.release", StringAttr(NEWEST))
    assert isinstance(own, StringAttr)
    calls = [op.values() for op in ops if isinstance(op, kbuf.V5TensorOp) and "kbuf.function" not in op.attributes]
    return releases_of(((call["function"], call["fields"]) for call in calls), own.data)


def mnemonic(op: kbuf.InstructionOp, version: str) -> str:
    """What a version of the kmodel calls an instruction."""
    if isinstance(op, kbuf.V5TensorOp):
        return op.function.data
    if version == "v3" and isinstance(op, kbuf.KpuConv2dOp):
        return "k210_conv"
    return op.name.removeprefix("kbuf.").removeprefix("v3_")
