"""The page a report directory begins with: the summary, the coverage table, the memory maps."""

from collections.abc import Mapping, Sequence
from html import escape

from kpuir.analysis.coverage import Placement
from kpuir.reports.coverage import html_page, html_rows


def index_page(
    title: str,
    summary: Sequence[str],
    placements: Sequence[Placement],
    files: Mapping[str, str | bytes],
    layers: str = "",
) -> str:
    """One page about a compilation that links to the other `files` of its directory and shows the pictures.

    `layers` is the table of layer errors, HTML already.
    """
    links = ", ".join(f'<a href="{escape(name)}">{escape(name)}</a>' for name in sorted(files))
    pictures = [f'<p><img src="{escape(name)}" alt="{escape(name)}"></p>' for name in files if name.endswith(".svg")]
    return html_page(
        title,
        f"<pre>{escape(chr(10).join(summary))}</pre>",
        "<h2>Coverage</h2>",
        html_rows(placements),
        *(("<h2>Layer errors</h2>", layers) if layers else ()),
        "<h2>Memory</h2>",
        *pictures,
        f"<h2>Files</h2>\n<p>{links}</p>",
    )
