"""What the command lines share: how errors become messages and exit statuses, and how files are written.

Exit status: 0 fine, 1 the model or input is rejected, 2 usage, 3 does not fit the chip, 4 a check failed,
70 internal error (a reproducer is written).
"""

import argparse
import gc
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kpuir.errors import InvalidInputError, KpuirError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTERNAL_ERROR = 70
_LONGEST_LINE = 400
_COLLECT_AFTER = 500_000
"""Python's collector looks at everything imported again and again: with its own 700, a quarter of a compilation."""
_CONSTANT = re.compile(r'dense(?:_resource)?<"0x[0-9A-Fa-f]{64,}">')


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors have the form of all our errors."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing the whole usage."""
        usage_error(message, self.prog)


def usage_error(message: str, program: str) -> NoReturn:
    """Raise the error of a wrong command line, pointing at `--help`."""
    raise UsageError(message, hint=f"see {program} --help")


def make_parser(program: str, description: str) -> Parser:
    """A parser with the options every command line has."""
    parser = Parser(prog=program, description=description, allow_abbrev=False)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action=_Version)
    return parser


class _Version(argparse.Action):
    """Prints the version; finding it out takes a while, so only when asked."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        print(version_text(parser.prog))
        parser.exit()


def version_text(program: str) -> str:
    """The line that `--version` prints."""
    from importlib.metadata import version

    return f"{program} {version('kpuir')}"


def guard(program: str, arguments: Sequence[str] | None, run: Callable[[list[str]], int | None]) -> int:
    """Run a command line and return its exit status; every exception becomes a message on stderr."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    thresholds = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *thresholds[1:])
    try:
        return run(argv) or 0
    except SystemExit as stop:  # argparse after --help, xDSL after --shrink
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer goes nowhere
        return 1
    except Exception as error:
        _drop_notes(error)
        if "--debug" in argv:
            import traceback

            traceback.print_exc()
        return report(error, program, argv)
    finally:
        gc.set_threshold(*thresholds)


def _drop_notes(error: BaseException) -> None:
    """Remove what xDSL adds to exceptions of patterns: the whole module, weights and all."""
    seen: BaseException | None = error
    while seen is not None:
        if hasattr(seen, "__notes__"):
            del seen.__notes__
        seen = seen.__cause__ or seen.__context__


def report(error: Exception, program: str, argv: Sequence[str]) -> int:
    """Print `error` on stderr in our form and return the exit status it stands for."""
    if isinstance(error, KpuirError):
        print(f"error: {shorten(str(error))}", file=sys.stderr)
        return error.exit_status
    if message := _ir_message(error):
        print(f"error: {shorten(message)}", file=sys.stderr)
        return InvalidInputError.exit_status
    if isinstance(error, OSError) and error.filename is not None:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return InvalidInputError.exit_status
    return _report_internal(error, program, argv)


def _ir_message(error: Exception) -> str | None:
    """The message of an error in IR text: xDSL's own exceptions, None for any other."""
    from xdsl.utils.exceptions import DiagnosticException, ParseError, UnregisteredConstructException

    if isinstance(error, ParseError):
        return f"{error.span.get_location()}: {error.msg}\n{error}"
    if isinstance(error, DiagnosticException | UnregisteredConstructException):
        hint = getattr(error, "hint", None)
        return f"{error}\nhint: {hint}" if hint else str(error)
    return None


def _report_internal(error: Exception, program: str, argv: Sequence[str]) -> int:
    stage = getattr(error, "stage", None)
    cause = error.__cause__ if stage and isinstance(error.__cause__, Exception) else error
    where = f"{stage}: " if stage else ""
    print(f"error: {where}internal error: {type(cause).__name__}: {shorten(str(cause))}", file=sys.stderr)
    path = _write_reproducer(getattr(error, "reproducer", None), cause, program, argv)
    print(f"hint: please report it with {path}; --debug shows the traceback", file=sys.stderr)
    return INTERNAL_ERROR


def _write_reproducer(module: str | None, cause: Exception, program: str, argv: Sequence[str]) -> str:
    """Write a reproducer into the current directory, or where that fails the temporary one, and return its path."""
    import hashlib
    import shlex
    import traceback

    run = module or f"// RUN: {program} {shlex.join(argv)}\n"
    frames = "".join(traceback.format_exception(cause)).splitlines()
    comment = "\n".join(f"// {shorten(line)}" for line in [version_text(program), *frames])
    text = f"{run}\n{comment}\n"
    name = f"kpuir-reproducer-{hashlib.sha256(text.encode()).hexdigest()[:8]}.mlir"
    for directory in (Path(), Path(tempfile.gettempdir())):
        try:
            (directory / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        return str(directory / name)
    return "the command line (no reproducer could be written)"


def shorten(text: str) -> str:
    """`text` without weights in it and with no line longer than a few hundred characters."""
    text = _CONSTANT.sub("dense<...>", text)
    lines = (line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..." for line in text.splitlines())
    return "\n".join(lines)


def positive_int(text: str) -> int:
    """The type of options that count something."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


positive_int.__name__ = "whole number"  # argparse's word for the type in its message


def seconds(text: str) -> float:
    """The type of options that limit a time: 0 or more."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a time from 0 on")
    return value


def number_list(text: str) -> tuple[float, ...]:
    """The type of options that take one number, or one per channel: `0.485,0.456,0.406`."""
    import math

    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of numbers") from None
    if not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"'{text}' holds a number that is not finite")
    return values


def input_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """The type of an option that gives an input its sizes: `input=1x3x224x224`."""
    name, _, sizes = text.rpartition("=")
    try:
        shape = tuple(int(size) for size in sizes.split("x"))
    except ValueError:
        shape = (0,)
    if not name or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form NAME=1x3x224x224")
    return name, shape


def add_model_options(parser: Parser) -> None:
    """The options of programs that import models: sizes that are left open, and where to end."""
    parser.add_argument(
        "--input-shape",
        type=input_shape,
        metavar="NAME=1x3x224x224",
        action="append",
        default=[],
        help="sizes of an input that leaves them open (may be repeated)",
    )
    parser.add_argument(
        "--outputs",
        type=lambda text: tuple(text.split(",")),
        metavar="NAME[,NAME]",
        default=(),
        help="end a model at these values or layers",
    )


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    import json

    print(json.dumps(content, indent=2, ensure_ascii=False))


def save_npz(path: str, arrays: "Mapping[str, NDArray[Any]]") -> None:
    """Write arrays by name as a .npz, the same bytes for the same arrays. Raises UsageError if it cannot be written."""
    import io
    import zipfile

    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), content.getvalue())
    write_file(path, buffer.getvalue())


def write_file(path: str, data: bytes | str) -> None:
    """Write `data` to `path` under a temporary name, then rename it; '-' is stdout. Raises UsageError if it cannot."""
    content = data.encode() if isinstance(data, str) else data
    if path == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    target = Path(path)
    try:
        if target.exists() and not target.is_file():  # /dev/null and other devices cannot be replaced
            target.write_bytes(content)
            return
        _write_and_rename(target, content)
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}", location=path, hint="give another path with -o") from None


def check_output(path: str, *sources: str | None) -> None:
    """Raise UsageError where writing to `path` would destroy a file that the same command line reads."""
    target = Path(path)
    for source in sources:
        if source is not None and target.exists() and Path(source).exists() and target.samefile(source):
            raise UsageError("would overwrite what is read", location=path, hint="give another path")


def check_description(path: Path) -> None:
    """Raise UsageError for a kmodel that the .json beside it would replace."""
    if path.suffix == ".json":
        raise UsageError("the .json beside the kmodel would overwrite it", location=str(path), hint="use .kmodel")


def check_folder(path: str | None, option: str) -> None:
    """Raise UsageError where `path` is a file, so that nothing is computed in vain."""
    if path is not None and Path(path).exists() and not Path(path).is_dir():
        raise UsageError("cannot write: is a file, not a folder", location=path, hint=f"give another {option}")


def _write_and_rename(target: Path, content: bytes) -> None:
    """The bytes appear under the target's name complete or not at all, with the permissions of a new file."""
    if not target.parent.is_dir():
        raise FileNotFoundError(2, f"there is no directory '{target.parent}'")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def read_file(path: str) -> bytes:
    """The bytes of `path`; '-' is stdin. Raises InvalidInputError, naming the file."""
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInputError(str(error.strerror), location=path) from None


def require_file(path: str) -> Path:
    """`path` as a Path. Raises InvalidInputError where no file is there."""
    found = Path(path)
    if not found.exists():
        raise InvalidInputError("no such file", location=path)
    if found.is_dir():
        raise InvalidInputError("is a directory", location=path)
    return found
