"""Which layers run on the KPU, which on the CPU and why, at every level of the IR."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation

from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name


class Place(StrEnum):
    """Where an operation runs; a transfer is a copy between the two RAMs."""

    KPU = "KPU"
    CPU = "CPU"
    TRANSFER = "transfer"


@dataclass(frozen=True)
class Placement:
    """One operation: its layer in the source model, its name (`ktensor.softmax`), where it runs, why not on the KPU."""

    layer: str
    operation: str
    place: Place
    reason: str = ""


@dataclass(frozen=True)
class Coverage:
    """How often each kind of thing runs; `cpu_ops` counts operations by name without the dialect (`softmax`)."""

    kpu_layers: int = 0
    cpu_ops: dict[str, int] = field(default_factory=dict[str, int])
    uploads: int = 0
    downloads: int = 0


_KPU_OPS = (kpu.Conv2dOp, kpu.LayerOp, kbuf.KpuConv2dOp)
_UPLOADS = (kpu.UploadOp, kbuf.KpuUploadOp)
_FREE = (ktensor.ConstantOp, ktensor.ReshapeOp)
_ADDED: dict[type[Operation], str] = {
    kpu.PadOp: "the KPU pads one pixel of a 3x3 convolution, nothing else",
    kpu.CropOp: "the KPU keeps all rows and columns of a result",
    kpu.StridedSliceOp: "the KPU picks every 2nd or 4th pixel, and not after every layer",
    kpu.SpaceToBatchOp: "the KPU has no dilated kernels",
    kpu.BatchToSpaceOp: "the KPU has no dilated kernels",
}


def placement(module: ModuleOp) -> list[Placement]:
    """Where each operation of `@main` runs, in order; constants, reshapes and buffers are nobody's work."""
    return [found for op in entry_function(module).body.block.ops if (found := _place(op)) is not None]


def coverage(module: ModuleOp) -> Coverage:
    """How much of `@main` runs where. A download is one where the runtime copies a layer's result to main RAM too."""
    ops = list(entry_function(module).body.block.ops)
    places = placement(module)
    cpu = Counter(p.operation.partition(".")[2] for p in places if p.place is Place.CPU)
    return Coverage(
        kpu_layers=sum(p.place is Place.KPU for p in places),
        cpu_ops=dict(sorted(cpu.items())),
        uploads=sum(isinstance(op, _UPLOADS) for op in ops),
        downloads=sum(isinstance(op, kpu.DownloadOp) or _downloads(op) for op in ops),
    )


def _downloads(op: Operation) -> bool:
    """Whether a layer's result is copied to main RAM as well."""
    if not isinstance(op, kbuf.KpuConv2dOp) or op.main_output is None:
        return False
    return kbuf.byte_size(op.main_output) > 0


def _place(op: Operation) -> Placement | None:
    layer = layer_name(op)
    if isinstance(op, _KPU_OPS):
        return Placement(layer, op.name, Place.KPU)
    if isinstance(op, (*_UPLOADS, kpu.DownloadOp)):
        return Placement(layer, op.name, Place.TRANSFER)
    if isinstance(op, _FREE) or op.dialect_name() not in ("ktensor", "kpu", "kbuf"):
        return None
    if op.dialect_name() == "kbuf" and not isinstance(op, kbuf.InstructionOp):
        return None
    given = op.attributes.get(kpu.REASON)
    reason = given.data if isinstance(given, StringAttr) else _ADDED.get(type(op), "")
    return Placement(layer, op.name, Place.CPU, reason)
