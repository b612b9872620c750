"""kpu-translate: cross between IR and other formats."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from kpuir.errors import UsageError
from kpuir.target.stackvm import RELEASES
from kpuir.tools.common import (
    Parser,
    add_model_options,
    check_description,
    check_output,
    guard,
    make_parser,
    read_file,
    write_file,
)
from kpuir.versions import VERSIONS

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

PROGRAM = "kpu-translate"


def make_arguments() -> Parser:
    """The options of kpu-translate."""
    parser = make_parser(PROGRAM, "Translate between models, IR and kmodels.")
    what = parser.add_mutually_exclusive_group(required=True)
    for name, (_, text) in ACTIONS.items():
        if name not in _OF_VERSIONS:
            flag = f"--{name.replace('_', '-')}"
            what.add_argument(flag, dest="action", action="store_const", const=name, help=text)
    for name in _OF_VERSIONS:
        what.add_argument(f"--{name.replace('_', '-')}", choices=VERSIONS, help=ACTIONS[name][1])
    parser.add_argument(
        "--runtime",
        choices=RELEASES,
        metavar="RELEASE",
        help="of --convert v5: the runtime's release (the newest, 1.9)",
    )
    parser.add_argument(
        "--address",
        type=flash_address,
        metavar="A",
        help="of --export-kfpkg: where the kmodel goes in flash (0x300000)",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="the input; '-' is stdin")
    add_model_options(parser)
    parser.add_argument("-o", "--output", metavar="OUT", default="-", help="the output; '-', the default, is stdout")
    return parser


def flash_address(text: str) -> int:
    """The type of --address: a number in any notation of C."""
    try:
        return int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no number such as 0x300000") from None


def import_onnx(arguments: argparse.Namespace) -> str:
    """The module of an ONNX model, as text with locations."""
    from kpuir.importers.onnx import import_onnx as load

    source = _path_or_bytes(arguments.file)
    return _text(load(source, input_shapes=dict(arguments.input_shape), outputs=arguments.outputs))


def import_tflite(arguments: argparse.Namespace) -> str:
    """The module of a TFLite model, as text with locations."""
    from kpuir.importers.tflite import import_tflite as load

    shapes = dict(arguments.input_shape)
    return _text(load(_path_or_bytes(arguments.file), input_shapes=shapes, outputs=arguments.outputs))


def import_kmodel(arguments: argparse.Namespace) -> str:
    """The module of a kmodel, as text."""
    from kpuir.runtime import kmodel_module

    return _text(kmodel_module(read_file(arguments.file), arguments.file))


def export_kmodel(arguments: argparse.Namespace) -> bytes:
    """The bytes of the kmodel a module at the `kbuf` level is."""
    return _kmodel_bytes(arguments, arguments.export_kmodel)


def convert(arguments: argparse.Namespace) -> bytes | dict[Path, bytes]:
    """The bytes of a kmodel as one of another version; with them the .json, if there is one beside the file."""
    import json

    from kpuir.conversion import convert as converted
    from kpuir.runtime import naming, read_sidecar, sidecar_of

    between_files = arguments.file != "-" and arguments.output != "-"
    data, output = read_file(arguments.file), Path(arguments.output)
    sidecar = read_sidecar(Path(arguments.file)) if between_files else None
    description = output.with_suffix(".json")
    if sidecar is not None:
        check_description(output)
        check_output(str(description), str(Path(arguments.file).with_suffix(".json")))
    elif arguments.output != "-" and sidecar_of(output) is not None:
        raise UsageError(
            "it describes another kmodel, and would be taken for this one's",
            location=str(description),
            hint="remove it, or give another path with -o",
        )
    with naming(arguments.file):
        model = converted(data, arguments.convert, runtime=arguments.runtime, sidecar=sidecar)
    if model.sidecar is None:
        return model.kmodel_bytes
    return {output: model.kmodel_bytes, description: json.dumps(model.sidecar, indent=1).encode()}


def export_dot(arguments: argparse.Namespace) -> str:
    """A Graphviz graph of a module, model or kmodel."""
    from kpuir.translate.dot import dot

    return dot(_any_module(arguments.file))


def export_c_array(arguments: argparse.Namespace) -> str:
    """A kmodel, or the module it is, as C source."""
    from kpuir.translate.c_array import c_array

    name = PurePath(arguments.file)
    data = _kmodel_bytes(arguments)
    return c_array(data, "kmodel" if arguments.file == "-" else f"{name.stem}_kmodel")


def export_kfpkg(arguments: argparse.Namespace) -> bytes:
    """A kmodel, or the module it is, as a package for the flashing tool."""
    from kpuir.translate.kfpkg import DEFAULT_ADDRESS, kfpkg

    data = _kmodel_bytes(arguments)
    name = "model.kmodel" if arguments.file == "-" else f"{PurePath(arguments.file).stem}.kmodel"
    try:
        return kfpkg(data, name, DEFAULT_ADDRESS if arguments.address is None else arguments.address)
    except ValueError as error:
        raise UsageError(str(error)) from None


def info(arguments: argparse.Namespace) -> str:
    """What is inside of a kmodel, or of a module or model."""
    found = _content(arguments.file)
    return _kmodel_info(found, arguments.file) if isinstance(found, bytes) else _module_info(found, arguments.file)


def supported_ops(arguments: argparse.Namespace) -> str:
    """Every op of ONNX and TFLite that can be imported, with what it becomes."""
    from kpuir.importers.summary import summary_text

    if arguments.file is not None:
        raise UsageError("--supported-ops takes no FILE", hint="import a model to learn which of its ops are missing")
    return summary_text()


ACTIONS: dict[str, tuple[Callable[[argparse.Namespace], str | bytes | dict[Path, bytes]], str]] = {
    "import_onnx": (import_onnx, "an ONNX model as a module"),
    "import_tflite": (import_tflite, "a TFLite model as a module"),
    "import_kmodel": (import_kmodel, "a kmodel as a module"),
    "export_kmodel": (export_kmodel, "a module at the kbuf level as a kmodel"),
    "convert": (convert, "a kmodel as one of another version"),
    "export_c_array": (export_c_array, "a kmodel as C source"),
    "export_kfpkg": (export_kfpkg, "a kmodel as a package for the flashing tool"),
    "export_dot": (export_dot, "a module, model or kmodel as a Graphviz graph"),
    "info": (info, "what is inside of a kmodel, module or model"),
    "supported_ops": (supported_ops, "the ops that can be imported (no FILE)"),
}
"""What each option does, and its help."""
_OF_VERSIONS = ("export_kmodel", "convert")
"""Those that a version is given to."""


def _path_or_bytes(file: str) -> str | bytes:
    return read_file(file) if file == "-" else file


def _text(module: "ModuleOp") -> str:
    from kpuir.ir.printing import module_text

    return module_text(module)


def _kmodel_bytes(arguments: argparse.Namespace, version: str | None = None) -> bytes:
    """The bytes of the kmodel a module is, or of a kmodel file, which must be readable; of a version written again."""
    from kpuir.runtime import kmodel_module
    from kpuir.translate import write_kmodel

    found = _content(arguments.file)
    if not isinstance(found, bytes):
        return write_kmodel(found, version)
    module = kmodel_module(found, arguments.file)
    return found if version is None else write_kmodel(module, version)


def _content(file: str) -> "ModuleOp | bytes":
    """The bytes of a kmodel, by suffix or by how it starts, or the module of a model by its suffix, or of IR text."""
    from kpuir.importers import SUFFIXES, import_model

    suffix = PurePath(file).suffix.lower()
    if suffix in SUFFIXES:
        return import_model(file)
    from kpuir.kmodel import is_kmodel
    from kpuir.runtime import parse_module

    data = read_file(file)
    return data if suffix == ".kmodel" or is_kmodel(data) else parse_module(data, file)


def _any_module(file: str) -> "ModuleOp":
    """The module of a kmodel, a model or IR text."""
    from kpuir.runtime import kmodel_module

    found = _content(file)
    return kmodel_module(found, file) if isinstance(found, bytes) else found


def _kmodel_info(data: bytes, file: str) -> str:
    """What is in a kmodel, the firmware that loads it, and what a runtime trips over.

    What the file alone shows is told of files that cannot become a module as well, with the reason why not.
    """
    from kpuir.analysis.demands import demands
    from kpuir.errors import InvalidInputError
    from kpuir.kmodel.info import describe, text_of
    from kpuir.runtime import naming
    from kpuir.target.firmware import FIRMWARES, Demands, fit_line
    from kpuir.translate import check_loadable, read_kmodel

    with naming(file):
        description = describe(data)
    try:
        module = read_kmodel(data)
        asked, problems = demands(module, len(data)), check_loadable(module)
    except InvalidInputError as error:
        why = f": {error.location}: {error.message}" if error.location else f": {error.message}"
        version, names = description.version[:2], [line.mnemonic for line in description.instructions]
        asked = Demands(version, names, ((),) * len(description.inputs), (), len(data) + description.main_bytes)
        shown = bool(description.faults) or not description.known
        problems = [*description.faults, f"kpuir cannot run or convert it{'' if shown else why}"]
    return text_of(description, file, [fit_line(one, asked) for one in FIRMWARES.values()], problems)


def _module_info(module: "ModuleOp", file: str) -> str:
    """Inputs, outputs and the number of operations of each kind."""
    from collections import Counter

    from kpuir.dataset import dimensions
    from kpuir.runtime import module_ports

    inputs, outputs = module_ports(module)
    counts = Counter(op.name for op in module.walk() if op.dialect_name() not in ("builtin", "func"))
    lines = [
        f"{PurePath(file).name}: {counts.total()} operations",
        *(f"input {port.name}: {dimensions(port.shape)} {port.layout} {port.dtype}" for port in inputs),
        *(f"output {port.name}: {dimensions(port.shape)} {port.layout} {port.dtype}" for port in outputs),
        *(f"{count:5}  {name}" for name, count in counts.most_common()),
    ]
    return "\n".join(lines) + "\n"


def _run(argv: list[str]) -> None:
    arguments = make_arguments().parse_args(argv)
    action = arguments.action or ("convert" if arguments.convert else "export_kmodel")
    if arguments.file is None and action != "supported_ops":
        raise UsageError("the FILE is missing", hint=f"see {PROGRAM} --help; '-' is stdin")
    if (arguments.input_shape or arguments.outputs) and action not in ("import_onnx", "import_tflite"):
        raise UsageError("--input-shape and --outputs are for --import-onnx and --import-tflite")
    if arguments.runtime is not None and arguments.convert != "v5":
        raise UsageError("--runtime is for --convert v5")
    if arguments.address is not None and action != "export_kfpkg":
        raise UsageError("--address is for --export-kfpkg")
    if arguments.output != "-":
        check_output(arguments.output, arguments.file)
    output = ACTIONS[action][0](arguments)
    if isinstance(output, dict):
        from kpuir.compiler import write_atomically

        write_atomically(output)
        return
    if isinstance(output, bytes) and arguments.output == "-" and sys.stdout.isatty():
        raise UsageError("a kmodel is not for a terminal", hint="give a file with -o")
    write_file(arguments.output, output)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit status."""
    return guard(PROGRAM, argv, _run)


if __name__ == "__main__":
    sys.exit(main())
