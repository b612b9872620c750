"""Memory maps: which buffer lies where and when, as a text table, as JSON and as a picture."""

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from kpuir.analysis.memory import CAPACITIES, RAM_NAMES, BufferUse, MemoryUse
from kpuir.dialects.kbuf import Space

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 960, 480, 90, 40, 40, 20
_LABEL_WIDTH, _LABEL_HEIGHT = 60, 12
"""The least size in pixels of a rectangle that gets its name written into it."""


def text_map(use: MemoryUse) -> str:
    """A table of each RAM in use: offset, size and life of every buffer by address, and how full the RAM is."""
    return "\n".join(line for space in CAPACITIES if _of(use, space) for line in _table(use, space))


def json_map(use: MemoryUse) -> dict[str, Any]:
    """The same as a JSON object: each RAM's `capacity`, `peak` and `buffers`, in bytes and numbers of instructions."""
    rams = {
        str(space): {
            "capacity": capacity,
            "peak": use.peak(space),
            "buffers": [
                {"name": b.name, "offset": b.offset, "size": b.size, "first": b.first, "last": b.last}
                for b in _of(use, space)
            ],
        }
        for space, capacity in CAPACITIES.items()
    }
    return {"instructions": use.steps, "constants_bytes": use.constant_bytes, **rams}


def svg_map(use: MemoryUse, space: Space) -> str:
    """A picture of one RAM: time to the right, addresses upwards, a rectangle per buffer, a line at the capacity.

    A line marks the peak, and a thick outline what reaches it. Where less than a quarter of the RAM is in use the
    capacity line is at the upper edge, not to scale.
    """
    capacity, peak = CAPACITIES[space], use.peak(space)
    to_scale = peak * 4 >= capacity
    top = max(capacity, peak, 1) if to_scale else max(peak, 1) * 1.1
    right, floor = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    step_width = (right - _LEFT) / max(use.steps, 1)
    byte_height = (floor - _TOP) / top
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{RAM_NAMES[space]}: {peak} of {capacity} bytes</text>',
    ]
    for index, buffer in enumerate(_of(use, space)):
        parts += _rectangle(buffer, index, step_width, byte_height, floor, buffer.offset + buffer.size == peak)
    height = floor - peak * byte_height
    line = floor - (capacity * byte_height if to_scale else floor - _TOP)
    label = f"capacity {capacity}" if to_scale else f"capacity {capacity}, not to scale"
    parts += [
        f'<line x1="{_LEFT}" y1="{line:.1f}" x2="{right}" y2="{line:.1f}" stroke="#c00" stroke-dasharray="6 3"/>',
        f'<text x="{right}" y="{line - 4:.1f}" fill="#c00" text-anchor="end">{label}</text>',
        f'<line x1="{_LEFT}" y1="{floor}" x2="{right}" y2="{floor}" stroke="black"/>',
        f'<line x1="{_LEFT}" y1="{_TOP}" x2="{_LEFT}" y2="{floor}" stroke="black"/>',
        f'<text x="{_LEFT - 6}" y="{floor}" text-anchor="end">0</text>',
        f'<line x1="{_LEFT}" y1="{height:.1f}" x2="{right}" y2="{height:.1f}" stroke="#06c"/>',
        f'<text x="{_LEFT - 6}" y="{height + 4:.1f}" fill="#06c" text-anchor="end">peak {peak}</text>',
        f'<text x="{_LEFT}" y="{floor + 16}">0</text>',
        f'<text x="{right}" y="{floor + 16}" text-anchor="end">{use.steps} instructions</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _of(use: MemoryUse, space: Space) -> list[BufferUse]:
    """The buffers of one RAM by address, then by time."""
    found = [buffer for buffer in use.buffers if buffer.space is space and buffer.size]
    return sorted(found, key=lambda buffer: (buffer.offset, buffer.first, buffer.name))


def _table(use: MemoryUse, space: Space) -> list[str]:
    capacity, peak = CAPACITIES[space], use.peak(space)
    rows = [("offset", "size", "steps", "buffer")]
    rows += [(str(b.offset), str(b.size), f"{b.first}-{b.last}", b.name) for b in _of(use, space)]
    head = f"{RAM_NAMES[space]}: {peak} of {capacity} bytes ({100 * peak / capacity:.1f} %)"
    return [head, *_aligned(rows), ""]


def _aligned(rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  " + "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]


def _rectangle(
    buffer: BufferUse, index: int, step_width: float, byte_height: float, floor: int, topmost: bool
) -> list[str]:
    """One buffer; the hue walks around the circle by the golden angle, so that neighbours differ."""
    x, width = _LEFT + buffer.first * step_width, (buffer.last - buffer.first + 1) * step_width
    height = buffer.size * byte_height
    y = floor - buffer.offset * byte_height - height
    name = escape(buffer.name)
    title = f"{name}: {buffer.size} bytes at {buffer.offset}, steps {buffer.first} to {buffer.last}"
    hue = round(index * 137.508) % 360
    parts = [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="hsl({hue} 60% 75%)" '
        f'stroke="#333" stroke-width="{2 if topmost else 0.5}"><title>{title}</title></rect>'
    ]
    if width >= _LABEL_WIDTH and height >= _LABEL_HEIGHT:
        shown = buffer.name[: int(width // 7)]
        parts.append(f'<text x="{x + 3:.1f}" y="{y + height / 2 + 4:.1f}">{escape(shown)}</text>')
    return parts
