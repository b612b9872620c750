"""kpu-compile: a trained model to a kmodel."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpuir.compiler import CALIBRATIONS, EFFORTS, INPUT_TYPES, LAYOUTS
from kpuir.errors import UsageError
from kpuir.target.firmware import FIRMWARES, fit_line
from kpuir.target.stackvm import RELEASES
from kpuir.tools.common import (
    Parser,
    add_model_options,
    check_description,
    check_folder,
    check_output,
    guard,
    make_parser,
    number_list,
    positive_int,
    print_json,
    require_file,
    seconds,
)

if TYPE_CHECKING:
    from kpuir.compiler import CompiledModel

PROGRAM = "kpu-compile"
_SHOWN_SECONDS = 0.001

Progress = Callable[[str, int, int], None]


def make_arguments() -> Parser:
    """The options of kpu-compile."""
    parser = make_parser(PROGRAM, "Compile an ONNX or TFLite model to a kmodel for the K210.")
    add = parser.add_argument
    add("model", metavar="MODEL", help="a .onnx or .tflite file")
    add("-o", "--output", metavar="OUT.kmodel", help="the kmodel; OUT.json is written beside it (MODEL's name here)")
    add("--kmodel", choices=("v3", "v4", "v5"), help="the version of the format (v4, or what the firmware prefers)")
    add("--firmware", metavar="NAME", help=f"the firmware the kmodel is for: {', '.join(FIRMWARES)}")
    add("--runtime", choices=RELEASES, help="the release of the v5 runtime that is to execute it (the newest)")
    add("--weights-bits", type=int, choices=(8, 16), default=8, help="bits of the KPU's weights; 16 takes v3 (8)")
    add("--dataset", metavar="PATH", help="what to calibrate with: a folder of images, a .npy or a .npz")
    add("--samples", type=positive_int, metavar="N", help="use only N samples of it, spread evenly")
    add("--calibration", choices=CALIBRATIONS, default="auto", help="how ranges are chosen (auto)")
    add("--calibration-effort", choices=EFFORTS, default="normal", help="how long to search (normal)")
    add("--load-ranges", metavar="FILE", action="append", default=[], help="what was seen before (may be repeated)")
    add("--save-ranges", metavar="FILE", help="write what was seen, to be loaded again")
    add("--mean", type=number_list, metavar="X[,Y,Z]", help="of images: the mean of 0..1 pixels the model wants")
    add("--std", type=number_list, metavar="X[,Y,Z]", help="of images: the deviation of 0..1 pixels the model wants")
    add("--input-type", choices=INPUT_TYPES, help="the kmodel's inputs (uint8 where 8 bits are enough)")
    add("--input-layout", choices=LAYOUTS, help="the kmodel's inputs (NCHW, what the camera delivers)")
    add("--output-layout", choices=LAYOUTS, help="the kmodel's outputs (the model's own)")
    add("--passes", metavar="PIPELINE", help="run this instead of kpu-default (see kpu-opt --list-pipelines)")
    add_model_options(parser)
    add("--dump-ir", metavar="DIR", help="write the IR, constants elided, of every stage to a file of DIR")
    add(
        "--float", metavar="LAYER", action="append", default=[], help="keep this layer (or pattern) on the CPU in float"
    )
    add(
        "--min-cosine", type=float, metavar="X", help="keep layers in float until outputs are this close to the model's"
    )
    add(
        "--allocation-seconds",
        type=seconds,
        metavar="S",
        help="about how long to search for places in each RAM (10; counted in steps, the same on every machine)",
    )
    add("--suggest-input-size", action="store_true", help="if it does not fit, find the largest input that does")
    add("--require-kpu", action="store_true", help="fail if a convolution or matrix product is left on the CPU")
    add("--report", metavar="DIR", help="write reports: an index.html, coverage, memory maps, summary")
    add("--json", action="store_true", help="print one JSON object on stdout")
    return parser


@contextmanager
def progress_bar() -> Generator[Progress | None]:
    """Something to tell how far stages are, drawn on stderr; None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("import", total=None)
        yield lambda stage, done, total: bar.update(task, description=stage, completed=done, total=total)


def output_path(arguments: argparse.Namespace) -> Path:
    """Where the kmodel goes. Raises UsageError, before anything is computed, where it or reports cannot be written."""
    path = Path(arguments.output or f"{Path(arguments.model).stem}.kmodel")
    if arguments.output == "-":
        raise UsageError("a kmodel and the .json beside it do not fit into stdout", hint="give a file with -o")
    check_folder(arguments.report, "--report")
    check_folder(arguments.dump_ir, "--dump-ir")
    if path.is_dir():
        raise UsageError("cannot write: is a directory", location=str(path), hint="give a file with -o")
    if not path.parent.is_dir():
        raise UsageError("cannot write: there is no such directory", location=str(path), hint="make it, or give -o")
    check_description(path)
    inputs = (arguments.model, arguments.dataset, *arguments.load_ranges)
    check_output(str(path), *inputs)
    check_output(str(path.with_suffix(".json")), *inputs)
    if arguments.save_ranges is not None:
        if Path(arguments.save_ranges) in (path, path.with_suffix(".json")):
            raise UsageError("both the kmodel's and --save-ranges", location=arguments.save_ranges, hint="give another")
        if not Path(arguments.save_ranges).parent.is_dir():
            raise UsageError("cannot write: there is no such directory", location=arguments.save_ranges)
        check_output(arguments.save_ranges, *inputs)
    return path


def compile_model(arguments: argparse.Namespace) -> "CompiledModel":
    """Compile what the command line asks for."""
    from kpuir.compiler import compile

    with progress_bar() as progress:
        return compile(
            arguments.model,
            dataset=arguments.dataset,
            kmodel=arguments.kmodel,
            firmware=arguments.firmware,
            runtime=arguments.runtime,
            weights_bits=arguments.weights_bits,
            samples=arguments.samples,
            calibration=arguments.calibration,
            calibration_effort=arguments.calibration_effort,
            load_ranges=arguments.load_ranges,
            save_ranges=arguments.save_ranges,
            mean=arguments.mean,
            std=arguments.std,
            input_type=arguments.input_type,
            input_layout=arguments.input_layout,
            output_layout=arguments.output_layout,
            passes=arguments.passes,
            require_kpu=arguments.require_kpu,
            float_layers=arguments.float,
            min_cosine=arguments.min_cosine,
            input_shapes=dict(arguments.input_shape),
            outputs=arguments.outputs,
            allocation_seconds=arguments.allocation_seconds,
            suggest_input_size=arguments.suggest_input_size,
            dump_ir=arguments.dump_ir,
            progress=progress,
        )


def figures(compiled: "CompiledModel", path: Path) -> dict[str, Any]:
    """The JSON object of `--json`."""
    layers = [layer.as_json() for layer in compiled.layers]
    mixed = None if compiled.mixed is None else dataclasses.asdict(compiled.mixed)
    return {"kmodel": str(path), **dataclasses.asdict(compiled.report), "layers": layers, "mixed_precision": mixed}


def summary(compiled: "CompiledModel", firmwares: Sequence[str] = ()) -> list[str]:
    """What a compilation gave, in lines for people: what runs where and why, memory, size, time, and for whom it is."""
    from kpuir.analysis.memory import memory
    from kpuir.reports.layers import break_lines
    from kpuir.reports.summary import summary_lines

    lines = summary_lines(compiled.coverage, memory(compiled.module), compiled.report.kmodel_bytes)
    lines += break_lines(compiled.layers) if compiled.layers else []
    lines += compiled.mixed.lines() if compiled.mixed is not None else []
    return lines + [fit_line(FIRMWARES[name], compiled.demands) for name in firmwares]


def stage_lines(stages: dict[str, float]) -> list[str]:
    """The seconds of each stage; those of less than a millisecond together."""
    shown = {name: taken for name, taken in stages.items() if taken >= _SHOWN_SECONDS}
    total = sum(stages.values())
    rest = total - sum(shown.values())
    lines = [f"{taken:8.3f} s  {name}" for name, taken in shown.items()]
    return [*lines, f"{rest:8.3f} s  {len(stages) - len(shown)} shorter stages", f"{total:8.3f} s  total"]


def report_files(compiled: "CompiledModel", title: str) -> dict[str, str]:
    """The text of each report by file name; the same compilation gives the same text."""
    import json

    from kpuir.analysis.memory import memory
    from kpuir.dialects.kbuf import Space
    from kpuir.reports.coverage import html_table, json_table, text_table
    from kpuir.reports.index import index_page
    from kpuir.reports.layers import html_rows
    from kpuir.reports.layers import text_table as layer_table
    from kpuir.reports.memory_map import json_map, svg_map, text_map

    use, placements, lines = memory(compiled.module), compiled.coverage, summary(compiled, list(FIRMWARES))
    files = {
        "summary.txt": "\n".join(lines) + "\n",
        "coverage.txt": text_table(placements),
        "coverage.html": html_table(placements),
        "coverage.json": json.dumps(json_table(placements), indent=2, ensure_ascii=False) + "\n",
        "memory.txt": text_map(use) + "\n",
        "memory.json": json.dumps(json_map(use), indent=2, ensure_ascii=False) + "\n",
        "memory-kpu.svg": svg_map(use, Space.KPU),
        "memory-main.svg": svg_map(use, Space.MAIN),
    }
    rows = ""
    if compiled.layers:
        described = [layer.as_json() for layer in compiled.layers]
        files["layers.txt"] = layer_table(compiled.layers)
        files["layers.json"] = json.dumps({"layers": described}, indent=2, ensure_ascii=False) + "\n"
        rows = html_rows(compiled.layers)
    return {"index.html": index_page(title, lines, placements, files, rows), **files}


def make_folder(directory: str) -> Path:
    """The folder of the reports, made if it is not there. Raises UsageError where it cannot be."""
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}", location=directory, hint="give another --report") from None
    return folder


def save(compiled: "CompiledModel", path: Path, directory: str | None) -> None:
    """Write the kmodel, the .json beside it and all reports, or none of them; then the reports of plug-ins."""
    from kpuir.plugins import table
    from kpuir.reports import ReportWriter

    if directory is None:
        compiled.save(path)
        return
    folder = make_folder(directory)
    reports = {folder / name: text.encode() for name, text in report_files(compiled, path.stem).items()}
    compiled.save(path, reports)
    writers: dict[str, ReportWriter] = table("reports")
    for write in writers.values():
        write(compiled, folder)


def _run(argv: list[str]) -> None:
    arguments = make_arguments().parse_args(argv)
    require_file(arguments.model)
    path = output_path(arguments)
    compiled = compile_model(arguments)
    save(compiled, path, arguments.report)
    if arguments.json:
        print_json(figures(compiled, path))
    else:
        asked = [arguments.firmware] if arguments.firmware else []
        lines = [*stage_lines(compiled.report.stages), *summary(compiled, asked), f"wrote {path}"]
        print("\n".join(lines), file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit status."""
    return guard(PROGRAM, argv, _run)


if __name__ == "__main__":
    sys.exit(main())
