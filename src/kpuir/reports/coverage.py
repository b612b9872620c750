"""Coverage tables: which layer runs where, why not on the KPU, what that costs, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from itertools import groupby
from typing import Any

from kpuir.analysis.coverage import Place, Placement, milliseconds_by_place, short_name

_HEAD = ("layer", "op", "where", "ms", "detour", "why")
_LONGEST_NAME = 40
_NOTE = (
    "ms: estimated, at 400 MHz. detour: what it costs that the CPU does it: its own time and that of the transfers and "
    "conversions it forces; one that several need counts once."
)
_STYLE = (
    "body{font-family:sans-serif;margin:2em}table{border-collapse:collapse;font-size:90%}"
    "td,th{padding:.25em .6em;text-align:left;vertical-align:top;border-bottom:1px solid #ddd}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}tr.CPU{background:#fdecea}tr.transfer{background:#fff7e0}"
    "tr.KPU{background:#eef8ee}small{color:#555}img{max-width:100%}"
)


def merged(placements: Iterable[Placement]) -> list[Placement]:
    """The placements with what the CPU does for one layer, one instruction after another, as one."""
    runs = groupby(placements, key=lambda one: (one.layer, one.place, one.reason, one.hint))
    return [row for (_, place, *_), run in runs for row in (_joined(list(run)) if place is Place.CPU else run)]


def _joined(run: Sequence[Placement]) -> list[Placement]:
    names = list(dict.fromkeys(one.operation.partition(".")[2] for one in run))
    dialect = run[0].operation.partition(".")[0]
    total = sum(one.milliseconds for one in run)
    return [
        replace(
            run[0],
            operation=f"{dialect}.{' '.join(names)}",
            milliseconds=total,
            detour=sum(one.detour for one in run),
        )
    ]


def total_line(placements: Sequence[Placement]) -> str:
    """The time of an inference, and how it is split."""
    split = milliseconds_by_place(placements)
    uploads, downloads = crossings(placements)
    return (
        f"{sum(split.values()):.3f} ms at 400 MHz: "
        f"{split[Place.KPU]:.3f} on the KPU, {split[Place.CPU]:.3f} on the CPU, "
        f"{split[Place.TRANSFER]:.3f} in {uploads} uploads and {downloads} downloads"
    )


def crossings(placements: Iterable[Placement]) -> tuple[int, int]:
    """The number of uploads and of downloads."""
    names = [short_name(one.operation) for one in placements if one.place is Place.TRANSFER]
    downloads = sum("download" in name for name in names)
    return len(names) - downloads, downloads


def text_table(placements: Sequence[Placement]) -> str:
    """Plain text: a line for each layer, a hint below what the CPU does, the totals last."""
    rows = [_HEAD, *(_cells(one) for one in merged(placements))]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    hints = ["", *(one.hint for one in merged(placements))]
    lines: list[str] = []
    for row, hint in zip(rows, hints, strict=True):
        left = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(row[3:5], widths[3:], strict=True)]
        lines.append("  ".join([*left, *right, row[5]]).rstrip())
        if hint:
            lines.append(f"{' ' * (sum(widths) + 10)}hint: {hint}")
    return "\n".join([*lines, "", total_line(placements), _NOTE]) + "\n"


def _cells(one: Placement) -> tuple[str, str, str, str, str, str]:
    name = one.layer if len(one.layer) <= _LONGEST_NAME else f"{one.layer[: _LONGEST_NAME - 3]}..."
    detour = f"{one.detour:.3f}" if one.detour else ""
    return name, one.operation.partition(".")[2], one.place.value, f"{one.milliseconds:.3f}", detour, one.reason


def terminal_table(placements: Sequence[Placement]) -> str:
    """The table for a terminal of the width and colours that stdout has."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in _HEAD:
        table.add_column(name, justify="right" if name in ("ms", "detour") else "left", overflow="fold")
    styles = {Place.KPU: "green", Place.CPU: "red", Place.TRANSFER: "yellow"}
    for one in merged(placements):
        why = Text(one.reason)
        if one.hint:
            why.append(f"\nhint: {one.hint}", style="dim")
        cells = [Text(cell) for cell in _cells(one)[:5]]
        cells[2].stylize(styles[one.place])
        table.add_row(*cells, why)
    console = Console()
    with console.capture() as captured:
        console.print(table)
    return f"{captured.get()}\n{total_line(placements)}\n{_NOTE}\n"


def json_table(placements: Sequence[Placement]) -> dict[str, Any]:
    """The same as plain values: `layers`, an object for each instruction, and `totals`."""
    split = milliseconds_by_place(placements)
    uploads, downloads = crossings(placements)
    return {
        "layers": [
            {
                "layer": one.layer,
                "op": one.operation.partition(".")[2],
                "where": one.place.value,
                "reason": one.reason or None,
                "hint": one.hint or None,
                "estimated_ms": round(one.milliseconds, 6),
                "detour_ms": round(one.detour, 6) if one.place is Place.CPU else None,
            }
            for one in placements
        ],
        "totals": {
            "estimated_ms": round(sum(split.values()), 6),
            "kpu_ms": round(split[Place.KPU], 6),
            "cpu_ms": round(split[Place.CPU], 6),
            "transfer_ms": round(split[Place.TRANSFER], 6),
            "kpu_layers": sum(one.place is Place.KPU for one in placements),
            "cpu_ops": sum(one.place is Place.CPU for one in placements),
            "uploads": uploads,
            "downloads": downloads,
        },
    }


def html_table(placements: Sequence[Placement]) -> str:
    """A page with the table."""
    return html_page("Coverage", html_rows(placements))


def html_rows(placements: Sequence[Placement]) -> str:
    """The table itself and its totals, to stand in a page."""
    head = "".join(f"<th>{name}</th>" for name in _HEAD)
    rows = "\n".join(_html_row(one) for one in merged(placements))
    total, note = escape(total_line(placements)), escape(_NOTE)
    return f"<p>{total}</p>\n<table>\n<tr>{head}</tr>\n{rows}\n</table>\n<p><small>{note}</small></p>"


def _html_row(one: Placement) -> str:
    cells = _cells(one)
    layer = f"<td>{escape(one.layer)}</td>"
    plain = "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:3])
    numbers = "".join(f'<td class="n">{cell}</td>' for cell in cells[3:5])
    hint = f"<br><small>{escape(one.hint)}</small>" if one.hint else ""
    return f'<tr class="{one.place.value}">{layer}{plain}{numbers}<td>{escape(one.reason)}{hint}</td></tr>'


def html_page(title: str, *parts: str) -> str:
    """A complete page of some parts that are HTML already."""
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
