"""Which layers run on the KPU, which on the CPU and why, and what that costs."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from kpuir.analysis.cost import UPLOADS, Place
from kpuir.analysis.flow import Role, Step, flow
from kpuir.analysis.reasons import FREE, hint_of, reason_of
from kpuir.dialects import kbuf, kpu
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name


@dataclass(frozen=True)
class Placement:
    """One operation: its layer in the source model, its name (`ktensor.softmax`), where it runs, why not on the KPU.

    `milliseconds` (estimated, at 400 MHz) are its own. `detour` is what it costs that the CPU does it: its own time,
    and that of every transfer and conversion between bytes and floats it forces. One that several operations need
    counts for the first of them that reads, or the last that writes, so that the detours of a module, its KPU layers
    and what only its inputs and outputs need add up to the whole time. Both are known at the kbuf level only, else 0.
    A transfer's or conversion's `reason` is the operation, input or output it is for.
    """

    layer: str
    operation: str
    place: Place
    reason: str = ""
    hint: str = ""
    milliseconds: float = 0.0
    detour: float = 0.0


@dataclass(frozen=True)
class Coverage:
    """How often each kind of thing runs; `cpu_ops` counts operations by name without the dialect (`softmax`)."""

    kpu_layers: int = 0
    cpu_ops: dict[str, int] = field(default_factory=dict[str, int])
    uploads: int = 0
    downloads: int = 0


_KPU_OPS = (kpu.Conv2dOp, kpu.LayerOp)
_UPLOADS = (kpu.UploadOp, *UPLOADS)
_MOST_NAMED = 2
"""So many operations are named as the reason of one transfer."""


def placement(module: ModuleOp) -> list[Placement]:
    """Where each operation of `@main` runs, in order; constants, reshapes and buffers are nobody's work."""
    ops = entry_function(module).body.block.ops
    if any(op.dialect_name() == "kbuf" for op in ops):
        return instruction_placement(module)
    return [found for op in ops if (found := _place(op)) is not None]


def coverage(module: ModuleOp) -> Coverage:
    """How much of `@main` runs where. A download is one where the runtime copies a layer's result to main RAM too."""
    ops = list(entry_function(module).body.block.ops)
    places = placement(module)
    cpu = Counter(short_name(p.operation) for p in places if p.place is Place.CPU)
    return Coverage(
        kpu_layers=sum(p.place is Place.KPU for p in places),
        cpu_ops=dict(sorted(cpu.items())),
        uploads=sum(isinstance(op, _UPLOADS) for op in ops),
        downloads=sum(isinstance(op, kpu.DownloadOp) or _downloads(op) for op in ops),
    )


def milliseconds_by_place(placements: Iterable[Placement]) -> dict[Place, float]:
    """How the estimated time of an inference is split."""
    totals = dict.fromkeys(Place, 0.0)
    for one in placements:
        totals[one.place] += one.milliseconds
    return totals


def short_name(operation: str) -> str:
    """The name without its dialect, version and kind: `unary` of `kbuf.unary<exp>`, `add` of `kbuf.v3_add`.

    Of v5 the tensor function, `softmax` of `kbuf.v5_tensor<softmax>`.
    """
    name, _, kind = operation.partition(".")[2].partition("<")
    return kind.rstrip(">") if name == "v5_tensor" else name.removeprefix("v3_")


def _downloads(op: Operation) -> bool:
    """Whether a layer's result is copied to main RAM as well."""
    if not isinstance(op, kbuf.KpuConv2dOp) or op.main_output is None:
        return False
    return kbuf.byte_size(op.main_output) > 0


# --- Levels before kbuf ---


def _place(op: Operation) -> Placement | None:
    layer = layer_name(op)
    if isinstance(op, _KPU_OPS):
        return Placement(layer, op.name, Place.KPU)
    if isinstance(op, (*_UPLOADS, kpu.DownloadOp)):
        return Placement(layer, op.name, Place.TRANSFER)
    if isinstance(op, FREE) or op.dialect_name() not in ("ktensor", "kpu"):
        return None
    if any(isinstance(value.type, kpu.FeatureMapType) for value in op.results):  # a border that layers make
        return Placement(layer, op.name, Place.KPU)
    return Placement(layer, op.name, Place.CPU, reason_of(op), hint_of(op))


# --- Instructions ---


def instruction_placement(module: ModuleOp) -> list[Placement]:
    """Where each instruction runs, with what it costs and who is the reason for each transfer and conversion."""
    steps = flow(module)
    detours: defaultdict[Step, float] = defaultdict(float)
    for step in steps:
        responsible = _responsible(step)
        if responsible is not None and step.cost is not None:
            detours[responsible] += step.cost.milliseconds
    return [_placed(step, detours[step]) for step in steps if step.cost is not None]


def _placed(step: Step, detour: float) -> Placement:
    assert step.cost is not None
    cost = step.cost
    reason = _purpose(step) if step.role is Role.WAY else reason_of(step.op) if step.role is Role.CPU else ""
    hint = hint_of(step.op) if step.role is Role.CPU else ""
    return Placement(cost.layer, _name(step), cost.place, reason, hint, cost.milliseconds, detour)


def _name(step: Step) -> str:
    """The instruction, with the function it computes: `kbuf.unary<exp>`."""
    assert step.cost is not None
    kind = step.op.values().get("op") if isinstance(step.op, kbuf.InstructionOp) else None
    return step.cost.operation if kind is None else f"{step.cost.operation}<{kind}>"


def _responsible(step: Step) -> Step | None:
    """The work on the CPU because of which a step takes time: itself, or what a way is for."""
    if step.role is Role.CPU:
        return step
    if step.role is not Role.WAY:
        return None
    if _leads_down(step):
        return next((target for target in step.targets() if target.role is Role.CPU), None)
    return next((source for source in reversed(step.sources()) if source.role is Role.CPU), None)


def _leads_down(step: Step) -> bool:
    """Whether a way leads from the KPU's side to the CPU's, rather than up."""
    if isinstance(step.op, kbuf.V5TensorOp):
        return step.op.function.data != "quantize"
    return not isinstance(step.op, (*UPLOADS, kbuf.QuantizeOp, kbuf.v3.QuantizeOp))


def _purpose(step: Step) -> str:
    """For what a way is there, and why that is not on the KPU; what lowering noted, if it did."""
    noted = reason_of(step.op)
    if noted:
        return noted
    ends = step.targets() if _leads_down(step) else step.sources()
    works = [end for end in ends if end.role is Role.CPU]
    if not _leads_down(step):
        works += [target for end in ends if end.role is Role.INPUT for target in _readers(end)]
    named = [_work(work) for work in works[:_MOST_NAMED]]
    rest = [f"{len(works) - _MOST_NAMED} more"] if len(works) > _MOST_NAMED else []
    ports = [_port(end.op) for end in ends if end.role in (Role.INPUT, Role.OUTPUT)]
    return "; ".join([*ports, *named, *rest]) or "between layers that read the map in other shapes"


def _readers(port: Step) -> list[Step]:
    """The work on the CPU that reads an input."""
    return [target for target in port.targets() if target.role is Role.CPU]


def _work(step: Step) -> str:
    assert step.cost is not None
    reason = reason_of(step.op)
    name = f"{_name(step).partition('.')[2]} ({step.cost.layer}) is on the CPU"
    return f"{name}: {reason}" if reason else name


def _port(op: Operation) -> str:
    """An input or output."""
    assert isinstance(op, kbuf.InputOp | kbuf.OutputOp)
    name = f" '{op.port_name.data}'" if op.port_name is not None else f" {op.index.value.data}"
    if isinstance(op, kbuf.InputOp):
        return f"input{name} comes in main RAM"
    return f"output{name} is read from main RAM"
