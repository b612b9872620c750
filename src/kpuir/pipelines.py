"""Contexts and pass pipelines: parse them (named ones too), run them, say which pass went wrong.

The named pipelines themselves are data in `kpuir.named_pipelines.PIPELINES`; this module knows no pass and no dialect.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.universe import Universe
from xdsl.utils.arg_spec import ArgSpec, parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError, DiagnosticException, VerifyException

from kpuir.errors import KpuirError, UsageError
from kpuir.ir.locations import layer_name
from kpuir.ir.printing import module_text
from kpuir.universe import KPUIR_UNIVERSE

PassFactory = Callable[[], type[ModulePass]]

_PIPELINE_HINT = "write it as 'pass-a{option=1 other=2,3},pass-b'; text other than a word goes into \"quotes\""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A pass that has run: its place in the pipeline (from 1), name, pipeline text and seconds."""

    index: int
    name: str
    spec: str
    seconds: float


class StageError(DiagnosticException):
    """A pass failed on, or left, a module that is not valid. `stage` is None for the input itself."""

    def __init__(self, message: str, *, location: str | None, stage: str | None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.location = location
        self.stage = stage
        self.hint = hint

    def __str__(self) -> str:
        where = f"{self.location}: " if self.location else ""
        when = f" (after {self.stage})" if self.stage else ""
        return f"{where}{self.message}{when}"


class InternalError(Exception):
    """A pass raised what no pass should. `reproducer` is the text of a file that shows it again."""

    def __init__(self, stage: str, cause: Exception, reproducer: str) -> None:
        super().__init__(f"{stage}: {type(cause).__name__}: {cause}")
        self.stage = stage
        self.reproducer = reproducer


def make_context() -> Context:
    """A context that knows every dialect of xDSL, ours and of all installed plug-ins, each loaded when first met."""
    context = Context()
    register_dialects(context)
    return context


def register_dialects(context: Context) -> None:
    """Register the dialects of the multiverse in `context`, and ours where kpuir is not installed as a package."""
    known = set(context.registered_dialect_names)
    everything = {**KPUIR_UNIVERSE.all_dialects, **_multiverse().all_dialects}
    for name, factory in everything.items():
        if name not in known:
            context.register_dialect(name, factory)


def available_passes() -> dict[str, PassFactory]:
    """Every pass of the multiverse by name, not loaded yet, and ours where kpuir is not installed as a package."""
    return {**_multiverse().all_passes, **KPUIR_UNIVERSE.all_passes}


@functools.cache
def _multiverse() -> Universe:
    """What all installed packages add to xDSL; finding that out reads the entry points of each."""
    return Universe.get_multiverse()


def parse_passes(
    text: str,
    pipelines: Callable[[], Mapping[str, Sequence[str]]],
    available: Mapping[str, PassFactory] | None = None,
) -> tuple[ModulePass, ...]:
    """The passes of a pipeline's text, in which a name of `pipelines()` stands for all its passes.

    A named pipeline takes `from=PASS` and `until=PASS` (both included) to run a part of it; any other option goes to
    each of its passes that has it and does not set it: `kpu-default{until=kpu-quantize samples=10}`.
    Raises UsageError for what is not a pipeline, and unknown passes and options.
    """
    passes = available_passes() if available is None else available
    specs = _specs(text)
    known = all(spec.name in passes for spec in specs)
    specs = specs if known else list(_expand(specs, pipelines(), passes))
    return tuple(_instantiate(spec, passes) for spec in specs)


def _specs(text: str) -> list[ArgSpec]:
    try:
        return list(parse_pipeline(text))
    except ArgSpecParseError as error:
        reason = str(error).strip().splitlines()[-1].strip(" ^")
        raise UsageError(
            f"not a pass pipeline: {text!r}: {reason}",
            hint=_PIPELINE_HINT,
        ) from None


def _expand(
    specs: Sequence[ArgSpec], pipelines: Mapping[str, Sequence[str]], available: Mapping[str, PassFactory]
) -> Iterator[ArgSpec]:
    for spec in specs:
        if spec.name in pipelines:
            entries = [_expand(_specs(entry), pipelines, available) for entry in pipelines[spec.name]]
            inner = [one for entry in entries for one in entry]
            yield from _part(spec, inner, available)
            continue
        if spec.name not in available:
            close = _close_names(spec.name, [*pipelines, *available])
            raise UsageError(f"unknown pass '{spec.name}'", hint=f"{close}see --list-passes and --list-pipelines")
        yield spec


def _close_names(name: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=2)
    return f"did you mean {' or '.join(close)}? " if close else ""


def _part(pipeline: ArgSpec, specs: list[ArgSpec], available: Mapping[str, PassFactory]) -> list[ArgSpec]:
    """The passes of a named pipeline that its `from`, `until` and other options leave."""
    options = dict(pipeline.parameters)
    first = _position(pipeline.name, specs, "from", options, default=0)
    last = _position(pipeline.name, specs, "until", options, default=len(specs) - 1)
    normalized = {name.replace("-", "_"): value for name, value in options.items()}
    if not normalized:
        return specs[first : last + 1]
    fields = {spec.name: {field.name for field in dataclasses.fields(available[spec.name]())} for spec in specs}
    unknown = [name for name in normalized if not any(name in names for names in fields.values())]
    if unknown:
        raise UsageError(f"pipeline '{pipeline.name}' has no pass with an option '{unknown[0]}'")
    return [_with_options(spec, normalized, fields[spec.name]) for spec in specs[first : last + 1]]


def _with_options(
    spec: ArgSpec, options: Mapping[str, tuple[str | int | bool | float, ...]], names: set[str]
) -> ArgSpec:
    given = spec.normalize_parameter_names().parameters
    return ArgSpec(spec.name, {**{name: value for name, value in options.items() if name in names}, **given})


def _position(
    pipeline: str,
    specs: list[ArgSpec],
    option: str,
    options: dict[str, tuple[str | int | bool | float, ...]],
    default: int,
) -> int:
    if option not in options:
        return default
    value = options.pop(option)
    names = [spec.name for spec in specs]
    name = str(value[0]) if len(value) == 1 else ""
    if name not in names:
        raise UsageError(f"pipeline '{pipeline}' has no pass '{name}'", hint=f"its passes are {', '.join(names)}")
    return names.index(name) if option == "from" else len(names) - 1 - names[::-1].index(name)


def _instantiate(spec: ArgSpec, available: Mapping[str, PassFactory]) -> ModulePass:
    try:
        return available[spec.name]().from_spec(spec)
    except ValueError as error:
        raise UsageError(f"pass '{spec.name}': {error}") from None


def run_passes(
    context: Context,
    module: ModuleOp,
    passes: Sequence[ModulePass],
    *,
    verify: bool = True,
    before: Callable[[ModulePass], None] | None = None,
    after: Callable[[Stage, ModuleOp], None] | None = None,
) -> tuple[Stage, ...]:
    """Run `passes` on `module` in place; verify the input and what each pass leaves.

    `before` is told of each pass that starts, `after` gets each that has ended and the module (to print or dump it).
    Raises what a pass raises for the user (KpuirError), StageError for a failed pass or a module that does not verify,
    and InternalError, with a reproducer, for any other exception of a pass.
    """
    original = module.clone()
    if verify:
        verify_module(module)
    stages: list[Stage] = []
    for index, one in enumerate(passes, start=1):
        if before is not None:
            before(one)
        start = time.perf_counter()
        _apply(context, module, one, passes[: index - 1], original)
        if verify:
            verify_module(module, one.name)
        stages.append(Stage(index, one.name, str(one), time.perf_counter() - start))
        if after is not None:
            after(stages[-1], module)
    return tuple(stages)


def _apply(context: Context, module: ModuleOp, one: ModulePass, done: Sequence[ModulePass], original: ModuleOp) -> None:
    from xdsl.utils.exceptions import ShrinkException

    try:
        one.apply(context, module)
    except (KpuirError, ShrinkException):
        raise
    except DiagnosticException as error:
        if isinstance(error.__cause__, KpuirError):
            raise error.__cause__ from None
        raise StageError(f"{one.name}: {error}", location=None, stage=None) from error
    except Exception as error:
        raise InternalError(one.name, error, _reproducer(context, original, done, one)) from error


def _reproducer(context: Context, original: ModuleOp, done: Sequence[ModulePass], failing: ModulePass) -> str:
    """The module as it was before the failing pass (or the first input, should that not come again) and a RUN line."""
    before, passes = original.clone(), [failing]
    try:
        for one in done:
            one.apply(context, before)
    except Exception:
        before, passes = original, [*done, failing]
    pipeline = ",".join(str(one) for one in passes)
    return f"// RUN: kpu-opt %s -p '{pipeline}'\n\n{module_text(before)}"


def verify_module(module: ModuleOp, stage: str | None = None) -> None:
    """Verify a module that `stage` left, or that was read. Raises StageError naming the layer."""
    try:
        module.verify()
    except DiagnosticException as error:
        raise StageError(f"Operation does not verify: {error}", location=_first_invalid(module), stage=stage) from error


def _first_invalid(module: ModuleOp) -> str | None:
    """The layer of the first operation that does not verify by itself."""
    return next((layer_name(op) for op in module.walk() if _is_invalid(op)), None)


def _is_invalid(op: Operation) -> bool:
    try:
        op.verify(verify_nested_ops=False)
    except VerifyException:
        return True
    return False


def dump(directory: Path, index: int, name: str, module: ModuleOp) -> None:
    """Write the elided text of `module` to `directory/03-name.mlir`. Raises UsageError where that is not possible."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{index:02d}-{name}.mlir").write_text(module_text(module, elide=True), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{directory}: cannot write the IR: {error.strerror}") from None
