"""The table of layer errors: what quantization does to each layer, and where it first goes wrong."""

from collections.abc import Sequence
from html import escape

from kpuir.analysis.layer_errors import LOW_SNR, SHARP_DROP, LayerError, first_break

_HEAD = ("layer", "op", "float range", "chosen range", "clip %", "sat %", "own dB", "acc dB", "dead")
_LONGEST_NAME, _LONGEST_OP = 33, 10
_NOTE = (
    "clip: values outside of the chosen range. sat: bytes at the end of the range, more than a step from their value.\n"
    "own: signal-to-noise ratio of this layer alone, with exact inputs, on the samples it was compiled with.\n"
    "acc: with the noise of all layers before it.\n"
    "dead: channels that have one byte everywhere, though their values differ."
)


def text_table(errors: Sequence[LayerError]) -> str:
    """Plain text of at most 120 columns: a line for each layer, where it first breaks, what the columns mean."""
    rows = [_HEAD, *(_cells(error) for error in errors)]
    full = [row for row in rows if len(row) == len(_HEAD)]
    widths = [max(len(row[column]) for row in full) for column in range(len(_HEAD))]
    widths[:2] = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines: list[str] = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=False)]
        lines.append("  ".join(left + (right if len(row) == len(_HEAD) else list(row[2:]))).rstrip())
    return "\n".join([*lines, "", *break_lines(errors), _NOTE]) + "\n"


def break_lines(errors: Sequence[LayerError]) -> list[str]:
    """The first layer that breaks, why, and what to do; or that none does."""
    found = first_break(errors)
    if found is None:
        return [f"no layer's accumulated SNR is below {LOW_SNR:g} dB or drops by {SHARP_DROP:g} dB"]
    return [str(found), f"hint: {found.hint}"]


def html_rows(errors: Sequence[LayerError]) -> str:
    """The table, to stand in a page."""
    found = first_break(errors)
    head = "".join(f"<th>{name}</th>" for name in _HEAD)
    rows: list[str] = []
    for error in errors:
        cells = _cells(error)
        numbers = "".join(f'<td class="n">{escape(cell)}</td>' for cell in cells[2:])
        if error.note:
            numbers = f'<td colspan="{len(_HEAD) - 2}">{escape(error.note)}</td>'
        kind = ' class="CPU"' if found is not None and found.error is error else ""
        rows.append(f"<tr{kind}><td>{escape(error.layer)}</td><td>{escape(cells[1])}</td>{numbers}</tr>")
    said = "<br>".join(escape(line) for line in break_lines(errors))
    body = "\n".join(rows)
    return f"<p>{said}</p>\n<table>\n<tr>{head}</tr>\n{body}\n</table>\n<p><small>{escape(_NOTE)}</small></p>"


def _cells(error: LayerError) -> tuple[str, ...]:
    name = error.layer if len(error.layer) <= _LONGEST_NAME else f"...{error.layer[3 - _LONGEST_NAME :]}"
    if error.note:
        return name, error.operation[:_LONGEST_OP], error.note
    return (
        name,
        error.operation[:_LONGEST_OP],
        _range(error.float_range),
        "float" if error.chosen_range is None else _range(error.chosen_range),
        f"{100 * error.clipped:.2f}",
        f"{100 * error.saturated:.2f}",
        "" if error.own_snr is None else f"{error.own_snr:.1f}",
        f"{error.snr:.1f}",
        f"{error.dead_channels}/{error.channels}",
    )


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.3g}..{ends[1]:.3g}"
