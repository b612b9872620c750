"""kpu-opt: xdsl-opt with our dialects, named pipelines, dumps, and models as input."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from io import StringIO
from pathlib import Path
from typing import IO, Any, cast

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute
from xdsl.passes import ModulePass, PassPipeline
from xdsl.utils.arg_spec import parse_pipeline, parse_spec
from xdsl.utils.exceptions import ArgSpecParseError
from xdsl.utils.target import Target
from xdsl.xdsl_opt_main import xDSLOptMain

from kpuir.errors import InvalidInputError, UsageError
from kpuir.pipelines import Stage, available_passes, dump, parse_passes, register_dialects, run_passes
from kpuir.tools.common import check_output, guard, require_file, usage_error, write_file

PROGRAM = "kpu-opt"
_PRINT_AFTER = "--print-ir-after"
_PLAIN = "mlir"
_COVERAGE = "kpu-coverage"


def named_pipelines() -> Mapping[str, tuple[str, ...]]:
    """The pipelines that have a name, each a sequence of pipeline texts."""
    from kpuir.named_pipelines import PIPELINES

    return PIPELINES


class _Output(StringIO):
    """Collects the output until it is complete: a file is written whole or not at all."""

    text = ""

    def close(self) -> None:
        """Keep the text."""
        self.text = self.getvalue()
        super().close()


class _Printed(argparse.Action):
    """An option that prints what its `const` returns and ends the program."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        print(self.const())
        parser.exit()


def list_passes() -> str:
    """Every pass by name; ours with the first line of their description."""
    from kpuir.universe import KPUIR_UNIVERSE

    ours = {name: _summary(factory()) for name, factory in KPUIR_UNIVERSE.all_passes.items()}
    width = max(map(len, ours), default=0)
    lines = [f"{name:<{width}}  {summary}" for name, summary in sorted(ours.items())]
    return "\n".join([*lines, *sorted(set(available_passes()) - set(ours))])


def _summary(kind: type[ModulePass]) -> str:
    return next(iter((kind.__doc__ or "").strip().splitlines()), "")


def list_pipelines() -> str:
    """Every named pipeline and its passes, one per line."""
    return "\n".join(f"{name}\n    " + ",\n    ".join(entries) for name, entries in named_pipelines().items())


class KpuOptMain(xDSLOptMain):
    """xDSL's driver, with kpuir's passes, pipelines and reports of errors."""

    version_format = "kpu-opt built from xdsl version {xdsl_version}"

    def register_all_dialects(self) -> None:
        """Every dialect of the multiverse, and ours where kpuir is not installed as a package."""
        register_dialects(self.ctx)

    def register_all_passes(self) -> None:
        """Every pass of the multiverse, and ours where kpuir is not installed as a package."""
        self.available_passes.update(available_passes())

    def register_all_targets(self) -> None:
        """Every target of the multiverse, and ours where kpuir is not installed as a package."""
        from kpuir.universe import KPUIR_UNIVERSE

        super().register_all_targets()
        self.available_targets.update(KPUIR_UNIVERSE.all_targets)

    def register_all_frontends(self) -> None:
        """Besides .mlir: models and kmodels."""
        super().register_all_frontends()
        self.available_frontends["onnx"] = self._import_onnx
        self.available_frontends["tflite"] = self._import_tflite
        self.available_frontends["kmodel"] = self._read_kmodel

    def _import_onnx(self, stream: IO[bytes]) -> ModuleOp:
        from kpuir.importers.onnx import import_onnx

        return import_onnx(self.args.input_file or stream.read())

    def _import_tflite(self, stream: IO[bytes]) -> ModuleOp:
        from kpuir.importers.tflite import import_tflite

        return import_tflite(self.args.input_file or stream.read())

    def _read_kmodel(self, stream: IO[bytes]) -> ModuleOp:
        from kpuir.runtime import kmodel_module

        return kmodel_module(stream.read(), self.get_input_name())

    def register_all_arguments(self, arg_parser: argparse.ArgumentParser) -> None:
        """xdsl-opt's options and ours."""
        arg_parser.prog = PROGRAM
        arg_parser.error = lambda message: usage_error(message, PROGRAM)
        super().register_all_arguments(arg_parser)
        add = arg_parser.add_argument
        add(
            _PRINT_AFTER,
            action="append",
            default=[],
            metavar="PASS",
            help=f"print the IR, constants elided, to stderr after PASS ({_PRINT_AFTER} alone: after every pass)",
        )
        add("--dump-ir", metavar="DIR", help="write the IR, constants elided, after every pass to a file of DIR")
        add("--timing", action="store_true", help="print the seconds of every pass to stderr")
        add("--debug", action="store_true", help="show the traceback of an error")
        add("--list-passes", action=_Printed, nargs=0, const=list_passes, help="list all passes and exit")
        add("--list-pipelines", action=_Printed, nargs=0, const=list_pipelines, help="list named pipelines and exit")

    def setup_pipeline(self) -> None:
        """Parse the pipeline, in which names of pipelines stand for all their passes."""
        passes = parse_passes(self.args.passes, named_pipelines, self.available_passes)
        self.pipeline = PassPipeline(passes)
        if self.args.target == _PLAIN:
            self.args.target = self._implied_target()
        self._check_target()
        names = {one.name for one in self.pipeline.passes}
        absent = [name for name in self.args.print_ir_after if name and name not in names]
        if absent:
            raise UsageError(f"{_PRINT_AFTER}={absent[0]}: the pipeline has no such pass")

    def _implied_target(self) -> str:
        """The output that a named pipeline is for: one of its own name, if there is; else IR text."""
        names = [spec.name for spec in parse_pipeline(self.args.passes)]
        name = next((name for name in names if name in self.available_targets), _PLAIN)
        for_terminal = name == _COVERAGE and self.args.output_file in (None, "-") and sys.stdout.isatty()
        return f"{name}{{format=terminal}}" if for_terminal else name

    def _check_target(self) -> None:
        """Raise UsageError for options that the target does not have, before anything is computed."""
        spec = parse_spec(self.args.target)
        make = self.available_targets[spec.name]
        try:
            if not signature(make).parameters:
                cast("Callable[[], type[Target]]", make)().from_spec(spec)
        except ValueError as error:
            raise UsageError(f"target '{spec.name}': {error}") from None

    def get_input_stream(self) -> tuple[IO[bytes], str]:
        """The input and its kind; '-' is stdin."""
        if self.args.input_file == "-":
            self.args.input_file = None
        if self.args.input_file is not None:
            require_file(self.args.input_file)
            if self.args.output_file not in (None, "-") and not self.args.input_file.endswith(".mlir"):
                check_output(self.args.output_file, self.args.input_file)
        return super().get_input_stream()

    def prepare_input(self) -> tuple[list[tuple[IO[bytes], int]], str]:
        """The chunks of the input and its kind. Raises InvalidInputError for a kind that no front-end reads."""
        try:
            return super().prepare_input()
        except ValueError as error:
            kinds = ", ".join(f".{kind}" for kind in self.available_frontends)
            raise InvalidInputError(
                str(error), location=self.get_input_name(), hint=f"kpu-opt reads {kinds}; or name the kind with -f"
            ) from None

    def prepare_output(self) -> IO[str]:
        """stdout, or a buffer that `run` writes to the file when all is done."""
        if self.args.output_file in (None, "-"):
            return sys.stdout
        self.output = _Output()
        return self.output

    def run(self) -> None:
        """Read, run the passes, print; the output file appears complete or not at all."""
        super().run()
        if self.args.output_file not in (None, "-"):
            write_file(self.args.output_file, self.output.text)

    def apply_passes(self, prog: ModuleOp) -> None:
        """Run the pipeline, telling of each pass what the options ask for."""
        directory = Path(self.args.dump_ir) if self.args.dump_ir else None
        if directory is not None:
            dump(directory, 0, "input", prog)
        verify = not self.args.disable_verify
        start = time.perf_counter()
        stages = run_passes(self.ctx, prog, self.pipeline.passes, verify=verify, after=self._after_pass(directory))
        if self.args.timing:
            _print_timing(stages, time.perf_counter() - start)

    def _after_pass(self, directory: Path | None) -> Callable[[Stage, ModuleOp], None]:
        names = set(self.args.print_ir_after)
        last = len(self.pipeline.passes)

        def after(stage: Stage, module: ModuleOp) -> None:
            if self.args.time_passes:
                print(f"Pass {stage.name} took {stage.seconds} seconds")
            if self.args.print_between_passes and stage.index < last:
                print(f"IR after {stage.name}:\n{self._text(module, elide=False)}\n\n")
            if names & {"", stage.name}:
                print(f"// -----// IR after {stage.spec} //----- //", file=sys.stderr)
                print(self._text(module, elide=True), file=sys.stderr)
            if directory is not None:
                dump(directory, stage.index, stage.name, module)

        return after

    def _text(self, module: ModuleOp, *, elide: bool) -> str:
        from kpuir.ir.printing import module_text

        return module_text(
            module,
            elide=elide,
            locations=self.args.print_debuginfo,
            generic=self.args.print_op_generic,
            dialects=self.ctx.loaded_dialects,
        )

    def output_resulting_program(self, prog: ModuleOp) -> str:
        """The module as text, never elided, or what another target makes of it."""
        plain = self.args.target == _PLAIN and not self.args.print_no_properties and not self.args.syntax_highlight
        return self._text(prog, elide=False) if plain else super().output_resulting_program(prog)


def _print_timing(stages: Sequence[Stage], total: float) -> None:
    print(f"{'seconds':>9} {'share':>6}  pass", file=sys.stderr)
    for stage in stages:
        print(f"{stage.seconds:9.4f} {stage.seconds / total:6.1%}  {stage.name}", file=sys.stderr)
    print(f"{total:9.4f} {1:6.1%}  total", file=sys.stderr)


def _run(argv: list[str]) -> None:
    checks = Attribute.__post_init__
    try:
        arguments = [f"{one}=" if one == _PRINT_AFTER else one for one in argv]
        KpuOptMain(description="kpuir's modular optimizer driver", args=arguments).run()
    except ArgSpecParseError as error:  # a BaseException, of --target
        raise UsageError(str(error)) from None
    finally:
        Attribute.__post_init__ = checks  # --disable-verify switches it off for the whole process


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit status."""
    return guard(PROGRAM, argv, _run)


if __name__ == "__main__":
    sys.exit(main())
