"""kpu-run: run a kmodel, a module or a source model on samples, and compare it with a reference."""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kpuir.errors import CheckFailedError, InvalidInputError, UsageError
from kpuir.tools.common import (
    Parser,
    check_folder,
    check_output,
    guard,
    make_parser,
    number_list,
    positive_int,
    print_json,
    require_file,
    save_npz,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kpuir.analysis.layer_errors import LayerError
    from kpuir.comparison import Difference
    from kpuir.dataset import Sample
    from kpuir.runtime import LoadedModel, Port

PROGRAM = "kpu-run"
_MOST_COMPARED = 16
"""The samples on which layers are compared with the reference."""


class Result(NamedTuple):
    """What running all samples gave: per sample the arrays by name, the kmodel's own arrays, and the seconds."""

    outputs: "list[dict[str, NDArray[Any]]]"
    raw_inputs: "list[list[NDArray[Any]]]"
    raw_outputs: "list[list[NDArray[Any]]]"
    seconds: list[float]


def make_arguments() -> Parser:
    """The options of kpu-run."""
    parser = make_parser(PROGRAM, "Run a kmodel, a module or a source model on samples, bit for bit as the chip would.")
    add = parser.add_argument
    add("model", metavar="MODEL", help="a .kmodel (with the .json beside it), .mlir, .onnx or .tflite file")
    add("--inputs", required=True, metavar="PATH", help="a .npz, a .npy or a folder of images")
    add("--outputs", metavar="OUT.npz", help="write the outputs of all samples, one array per output")
    add("--reference", metavar="MODEL", help="compare with this model (.onnx, .tflite), computed in float")
    add("--vectors", metavar="DIR", help="write the bytes of every sample: s000_in0.bin, s000_out0.bin, ...")
    add("--check", action="store_true", help="fail on reads of bytes never written, writes out of range and overlaps")
    add("--samples", type=positive_int, metavar="N", help="run only N samples, spread evenly")
    add("--mean", type=number_list, metavar="X[,Y,Z]", help="of images: the mean of 0..1 pixels the model wants")
    add("--std", type=number_list, metavar="X[,Y,Z]", help="of images: the deviation of 0..1 pixels the model wants")
    add("--json", action="store_true", help="print one JSON object on stdout")
    return parser


def run_samples(model: "LoadedModel", samples: "Sequence[Sample]") -> Result:
    """Run every sample; an only one twice, because the first run compiles the interpreter's kernels."""
    result = Result([], [], [], [])
    for sample in samples:
        inputs = model.to_kmodel(sample)
        start = time.perf_counter()
        raw = model.run_raw(inputs)
        result.seconds.append(time.perf_counter() - start)
        result.raw_inputs.append(inputs)
        result.raw_outputs.append(raw)
        result.outputs.append(model.from_kmodel(raw))
    if len(samples) == 1:
        start = time.perf_counter()
        model.run_raw(result.raw_inputs[0])
        result.seconds.append(time.perf_counter() - start)
    return result


def seconds_per_inference(seconds: Sequence[float]) -> float:
    """The mean without the first run, which compiles kernels."""
    return sum(seconds[1:]) / (len(seconds) - 1)


def compare(
    model: "LoadedModel",
    samples: "Sequence[Sample]",
    result: Result,
    reference: "LoadedModel",
    arguments: argparse.Namespace,
) -> "tuple[list[Difference], dict[str, str]]":
    """The differences in the order of the reference's outputs, and which of ours each of them is."""

    from kpuir.comparison import difference, match_outputs

    pairs = match_outputs(
        {port.name: math.prod(port.shape) for port in model.outputs},
        {port.name: math.prod(port.shape) for port in reference.outputs},
    )
    expected = [reference.run(reference_sample(model, reference, sample, arguments)) for sample in samples]
    differences = [
        difference(name, [one[ours] for one in result.outputs], [one[name] for one in expected])
        for name, ours in pairs.items()
    ]
    return differences, pairs


def _load_reference(arguments: argparse.Namespace) -> "LoadedModel":
    """The reference, of the sizes and up to the outputs that the kmodel was compiled with."""
    from kpuir.importers import SUFFIXES
    from kpuir.runtime import load, read_sidecar

    path = require_file(arguments.reference)
    sidecar = read_sidecar(Path(arguments.model)) if arguments.model.lower().endswith(".kmodel") else None
    source = sidecar.get("source") if sidecar is not None else None
    if path.suffix.lower() not in SUFFIXES or not isinstance(source, dict):
        return load(path)
    try:
        shapes = {str(name): [int(size) for size in sizes] for name, sizes in source.get("input_shapes", {}).items()}
        outputs = [str(name) for name in source.get("outputs", ())]
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidInputError(f"its source is broken: {error}", location=arguments.model) from error
    return load(path, input_shapes=shapes, outputs=outputs)


def reference_sample(
    model: "LoadedModel", reference: "LoadedModel", sample: "Sample", arguments: argparse.Namespace
) -> "Sample":
    """The arrays the reference gets for a sample: the same, by name or else in order."""
    if len(model.inputs) != len(reference.inputs):
        raise InvalidInputError(
            f"the model has {len(model.inputs)} inputs, the reference {len(reference.inputs)}",
            location=arguments.reference,
        )
    names = {port.name for port in model.inputs}
    by_name = all(port.name in names for port in reference.inputs)
    pairs = [
        (port, port.name if by_name else own.name) for port, own in zip(reference.inputs, model.inputs, strict=True)
    ]
    owners = {port.name: port for port in model.inputs}
    return {port.name: _reference_array(sample[own], owners[own], port, arguments) for port, own in pairs}


def _reference_array(array: "NDArray[Any]", own: "Port", port: "Port", arguments: argparse.Namespace) -> "NDArray[Any]":
    """An array of ours as the reference takes it: bytes that nothing else is known of are pixels."""

    from kpuir.dataset import dimensions
    from kpuir.runtime import reorder

    ordered = array if array.shape == port.shape else reorder(array, own.layout, port.layout)
    if ordered.size != math.prod(port.shape):
        raise InvalidInputError(
            f"input '{own.name}' is {dimensions(own.shape)}, the reference's '{port.name}' is {dimensions(port.shape)}"
        )
    ordered = ordered.reshape(port.shape)
    if own.dtype != "uint8" or port.spec.takes_pixels(arguments.mean, arguments.std):
        return ordered.astype(port.dtype, copy=False)
    return normalize_pixels(ordered, port.layout, arguments.mean, arguments.std)


def normalize_pixels(
    pixels: "NDArray[Any]", layout: str, mean: Sequence[float] | None, std: Sequence[float] | None
) -> "NDArray[Any]":
    """Bytes as the float pixels a model wants: scaled to 0..1, then `(x - mean) / std` per channel."""
    import numpy as np

    shape = (1, -1, 1, 1) if layout == "NCHW" and pixels.ndim == 4 else (-1,)
    shift = np.reshape(mean if mean is not None else (0.0,), shape)
    scale = np.reshape(std if std is not None else (1.0,), shape)
    return ((pixels / 255.0 - shift) / scale).astype(np.float32)


def write_vectors(directory: str, result: Result) -> None:
    """Write the bytes that go in and come out of the kmodel for each sample."""
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (inputs, outputs) in enumerate(zip(result.raw_inputs, result.raw_outputs, strict=True)):
            for kind, arrays in (("in", inputs), ("out", outputs)):
                for index, array in enumerate(arrays):
                    (folder / f"s{number:03d}_{kind}{index}.bin").write_bytes(array.tobytes())
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}", location=directory, hint="give another --vectors") from None


def stack_outputs(outputs: "Sequence[dict[str, NDArray[Any]]]") -> "dict[str, NDArray[Any]]":
    """One array per output, samples first: a leading 1 of the model's shape is the place of the samples."""
    import numpy as np

    names = outputs[0]
    stack = {name: np.concatenate if first.shape[:1] == (1,) else np.stack for name, first in names.items()}
    return {name: stack[name]([one[name] for one in outputs]) for name in names}


def _run(argv: list[str]) -> None:
    from kpuir.runtime import load

    arguments = make_arguments().parse_args(argv)
    require_file(arguments.model)
    if arguments.outputs:
        check_output(arguments.outputs, arguments.model, arguments.inputs, arguments.reference)
    check_folder(arguments.vectors, "--vectors")
    model = load(arguments.model, check=arguments.check)
    reference = _load_reference(arguments) if arguments.reference else None
    samples = _load_samples(model, arguments)
    result = run_samples(model, samples)
    differences, pairs = ([], {})
    layers, unknown = ([], "")
    if reference is not None:
        differences, pairs = compare(model, samples, result, reference, arguments)
        layers, unknown = layer_errors(model, reference, samples, arguments)
    if arguments.outputs:
        save_npz(arguments.outputs, stack_outputs(result.outputs))
    if arguments.vectors:
        write_vectors(arguments.vectors, result)
    warnings = model.warnings if arguments.check else []
    rows = _rows(result, differences, pairs)
    seconds = seconds_per_inference(result.seconds)
    if arguments.json:
        described = [layer.as_json() for layer in layers]
        print_json({"outputs": rows, "layers": described, "seconds_per_inference": seconds, "warnings": warnings})
    else:
        _print_report(rows, len(samples), seconds, warnings)
        _print_layers(layers, unknown)
    if warnings:
        raise CheckFailedError(f"{len(warnings)} warnings, the first: {warnings[0]}", location=arguments.model)


def layer_errors(
    model: "LoadedModel", reference: "LoadedModel", samples: "Sequence[Sample]", arguments: argparse.Namespace
) -> "tuple[list[LayerError], str]":
    """The errors of the layers of a kmodel, or why there are none."""
    from kpuir.runtime import read_sidecar
    from kpuir.tools.reference_layers import compare_layers, why_not

    path = Path(arguments.model)
    sidecar = read_sidecar(path) if path.suffix.lower() == ".kmodel" else None
    unknown = why_not(sidecar, Path(arguments.reference))
    if sidecar is None or unknown:
        return [], unknown
    chosen = [(sample, reference_sample(model, reference, sample, arguments)) for sample in samples[:_MOST_COMPARED]]
    return compare_layers(model, reference, sidecar, chosen), ""


def _print_layers(layers: "Sequence[LayerError]", unknown: str) -> None:
    if layers:
        from kpuir.reports.layers import text_table

        print(f"\n{text_table(layers)}", end="")
    elif unknown:
        print(unknown, file=sys.stderr)


def _load_samples(model: "LoadedModel", arguments: argparse.Namespace) -> "list[Sample]":
    from kpuir.dataset import load_dataset

    specs = [port.spec for port in model.inputs]
    mean = arguments.mean if arguments.mean is not None else model.inputs[0].mean
    std = arguments.std if arguments.std is not None else model.inputs[0].std
    return load_dataset(arguments.inputs, specs, samples=arguments.samples, mean=mean, std=std)


def _rows(result: Result, differences: "Sequence[Difference]", pairs: dict[str, str]) -> list[dict[str, Any]]:
    """A JSON object per output; in the reference's order, and with its figures, where there is one."""
    first = result.outputs[0]
    by_name = {pairs[one.name]: one for one in differences}
    order = [pairs[one.name] for one in differences] or list(first)
    rows: list[dict[str, Any]] = []
    for name in order:
        row: dict[str, Any] = {"name": name, "shape": list(first[name].shape), "dtype": str(first[name].dtype)}
        if name in by_name:
            figures = by_name[name]
            row |= {
                "cosine_mean": _finite(figures.cosine_mean),
                "cosine_min": _finite(figures.cosine_min),
                "max_abs_error": _finite(figures.max_abs_error),
            }
        rows.append(row)
    return rows


def _finite(value: float) -> float | None:
    """JSON has no NaN: a figure of outputs that are not numbers is null."""
    return value if math.isfinite(value) else None


def _text(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.6f}"


def _print_report(rows: Sequence[dict[str, Any]], samples: int, seconds: float, warnings: Sequence[str]) -> None:
    for row in rows:
        shape = "x".join(map(str, row["shape"]))
        line = f"{row['name']}: {shape} {row['dtype']}"
        if "cosine_mean" in row:
            line += (
                f"  cosine mean {_text(row['cosine_mean'])} min {_text(row['cosine_min'])}"
                f"  max abs error {_text(row['max_abs_error'])}"
            )
        print(line)
    print(f"{samples} sample{'s' if samples > 1 else ''}, {seconds:.4f} s per inference", file=sys.stderr)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit status."""
    return guard(PROGRAM, argv, _run)


if __name__ == "__main__":
    sys.exit(main())
