"""The output target `kpu-coverage`: the coverage table of a module instead of its text."""

from dataclasses import dataclass
from typing import IO, Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.target import Target

from kpuir.analysis.coverage import placement


@dataclass(frozen=True)
class KpuCoverageTarget(Target):
    """Write which layer runs where, why, and what that costs; times are known for modules at the kbuf level only.

    `format`: plain text, text for the terminal that stdout is, a page, or one JSON object.
    """

    name = "kpu-coverage"

    format: Literal["text", "terminal", "html", "json"] = "text"

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        """Write the table of `module`."""
        import json

        from kpuir.reports import coverage

        placements = placement(module)
        match self.format:
            case "text":
                output.write(coverage.text_table(placements))
            case "terminal":
                output.write(coverage.terminal_table(placements))
            case "html":
                output.write(coverage.html_table(placements))
            case "json":
                output.write(json.dumps(coverage.json_table(placements), indent=2, ensure_ascii=False) + "\n")
