"""The lines a compilation ends with: what runs where and why, what is used of each RAM, how large the file is."""

from collections.abc import Sequence

from kpuir.analysis.coverage import Place, Placement, milliseconds_by_place, short_name
from kpuir.analysis.memory import CAPACITIES, RAM_NAMES, MemoryUse


def summary_lines(
    placements: Sequence[Placement],
    use: MemoryUse,
    kmodel_bytes: int,
) -> list[str]:
    """Plain text, a line each; the last is the estimated time of one inference and where it is spent.

    CPU operations with one reason share a line that names their layers.
    """
    on_kpu = sum(placement.place is Place.KPU for placement in placements)
    on_cpu = [placement for placement in placements if placement.place is Place.CPU]
    lines = [f"{_count(on_kpu, 'layer')} on the KPU, {_count(len(on_cpu), 'operation')} on the CPU"]
    lines += cpu_lines(on_cpu)
    for space, capacity in CAPACITIES.items():
        peak = use.peak(space)
        lines.append(f"{RAM_NAMES[space]}: {peak} of {capacity} bytes ({100 * peak / capacity:.1f} %)")
    lines.append(f"constants: {use.constant_bytes} bytes")
    lines.append(f"kmodel: {kmodel_bytes} bytes")
    return [*lines, time_line(placements)]


def time_line(placements: Sequence[Placement]) -> str:
    """The estimated time of one inference, split by place."""
    split = milliseconds_by_place(placements)
    parts = ", ".join(f"{split[place]:.1f} {where}" for place, where in _WHERE.items())
    return f"estimated time: {sum(split.values()):.1f} ms at 400 MHz ({parts})"


_WHERE = {Place.KPU: "on the KPU", Place.CPU: "on the CPU", Place.TRANSFER: "in transfers"}


def cpu_lines(placements: Sequence[Placement]) -> list[str]:
    """What stays on the CPU: per operation and reason a line with the layers, at most four of them by name."""
    groups: dict[tuple[str, str], list[str]] = {}
    for placement in placements:
        if placement.place is Place.CPU:
            name = short_name(placement.operation)
            groups.setdefault((name, placement.reason), []).append(placement.layer)
    return [_cpu_line(name, reason, layers) for (name, reason), layers in groups.items()]


def _cpu_line(name: str, reason: str, layers: list[str]) -> str:
    shown = ", ".join(layers[:_SHOWN])
    rest = f" and {len(layers) - _SHOWN} more" if len(layers) > _SHOWN else ""
    times = f" x{len(layers)}" if len(layers) > 1 else ""
    why = f": {reason}" if reason else ""
    return f"  {name}{times} ({shown}{rest}){why}"


_SHOWN = 4


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
