"""Write the pages of docs/reference/ from the code: dialects, passes, supported ops.

    python tools/generate_docs.py           # write them
    python tools/generate_docs.py --check   # only say whether they are what the code says

The text is that of the docstrings; nothing is written twice.
"""

import dataclasses
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path

from xdsl.ir import Dialect
from xdsl.irdl import (
    AttrOrPropDef,
    AttrSizedOperandSegments,
    OptionalDef,
    OptOperandDef,
    OptResultDef,
    VarOperandDef,
    VarResultDef,
)
from xdsl.passes import ModulePass, get_pass_option_infos

from kpuir.analysis.constructs import CONSTRUCTS
from kpuir.importers.summary import onnx_ops, tflite_ops, tflite_refusals
from kpuir.kmodel.v4 import INSTRUCTIONS, KpuConv2d
from kpuir.named_pipelines import PIPELINES
from kpuir.target import k210
from kpuir.universe import KPUIR_UNIVERSE

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
NOTE = "<!-- Written by tools/generate_docs.py from the code. Do not edit. -->"


def pages() -> dict[str, str]:
    """The text of each page by file name."""
    return {"dialects.md": dialects_page(), "passes.md": passes_page(), "supported-ops.md": supported_ops_page()}


def page(title: str, *parts: str) -> str:
    return "\n\n".join([NOTE, f"# {title}", *(part.strip("\n") for part in parts if part)]) + "\n"


def docstring(thing: object) -> str:
    return inspect.cleandoc(getattr(thing, "__doc__", None) or "")


def code(text: object) -> str:
    return f"`{text}`"


# --- Dialects ---


def dialects_page() -> str:
    dialects = [factory() for factory in KPUIR_UNIVERSE.all_dialects.values()]
    return page("Dialects", *(section for dialect in dialects for section in dialect_sections(dialect)))


def dialect_sections(dialect: Dialect) -> list[str]:
    module = inspect.getmodule(next(iter(dialect.operations)))
    package = sys.modules[f"kpuir.dialects.{dialect.name}"]
    parts = [f"## {dialect.name}", docstring(package or module)]
    parts += [
        f"### {operation.name}\n\n{docstring(operation)}\n\n{operation_table(operation)}"
        for operation in dialect.operations
    ]
    parts.append(f"### Types and attributes of {dialect.name}")
    parts += [f"`{attribute.name}`: {docstring(attribute)}" for attribute in dialect.attributes]
    return parts


def operation_table(operation: type) -> str:
    definition = operation.get_irdl_definition()
    rows = [
        *((name, "operand", occurrence(one), "") for name, one in definition.operands),
        *((name, "property", occurrence(one), default_text(one)) for name, one in visible(definition.properties)),
        *((name, "result", occurrence(one), "") for name, one in definition.results),
    ]
    if not rows:
        return ""
    lines = [f"| {code(name)} | {kind} | {many} | {default} |" for name, kind, many, default in rows]
    return "\n".join(["| name | is | how many | default |", "|---|---|---|---|", *lines])


def visible(properties: dict[str, AttrOrPropDef]) -> Iterable[tuple[str, AttrOrPropDef]]:
    hidden = {AttrSizedOperandSegments.attribute_name}
    return ((name, one) for name, one in properties.items() if name not in hidden)


def occurrence(definition: object) -> str:
    if isinstance(definition, OptOperandDef | OptResultDef | OptionalDef):
        return "0 or 1"
    return "any number" if isinstance(definition, VarOperandDef | VarResultDef) else "1"


def default_text(definition: AttrOrPropDef) -> str:
    value = definition.default_value
    return "" if value is None else code(value)


# --- Passes ---


def passes_page() -> str:
    listed = [f"### {name}\n\n{pipeline_text(entries)}" for name, entries in PIPELINES.items()]
    passes = [pass_section(name, factory()) for name, factory in sorted(KPUIR_UNIVERSE.all_passes.items())]
    intro = (
        "Every pass works on a module and is run by `kpu-opt -p` or by the compiler. "
        "xDSL's own (`canonicalize`, `cse`, `dce` ...) work on our dialects as well: see `kpu-opt --list-passes`.\n\n"
        "The named pipelines come first. `kpu-opt -p 'kpu-default{until=kpu-quantize}'` runs a part of one: `from` and "
        "`until` name a pass of it, both are included. Any other option goes to each of its passes that has it."
    )
    return page("Passes", intro, "## Pipelines", *listed, "## All passes", *passes)


def pipeline_text(entries: Iterable[str]) -> str:
    return "\n".join(f"{number}. `{entry}`" for number, entry in enumerate(entries, start=1))


def pass_section(name: str, kind: type[ModulePass]) -> str:
    text = docstring(inspect.getmodule(kind)) or docstring(kind)
    return f"### {name}\n\n{text}\n\n{options_table(kind)}"


def options_table(kind: type[ModulePass]) -> str:
    if not dataclasses.fields(kind):
        return ""
    lines = [option_row(kind, option.name, option.expected_type) for option in get_pass_option_infos(kind)]
    return "\n".join(["| option | type | default |", "|---|---|---|", *lines])


def option_row(kind: type[ModulePass], name: str, expected: str) -> str:
    cells = code(name.replace("_", "-")), code(expected).replace("|", "&#124;"), option_default(kind, name)
    return f"| {' | '.join(cells)} |"


def option_default(kind: type[ModulePass], name: str) -> str:
    if not hasattr(kind, name):
        return "must be given"
    value = getattr(kind, name)
    return "" if value in (None, "") else code(str(value).lower() if isinstance(value, bool) else value)


# --- What is supported ---


def supported_ops_page() -> str:
    intro = (
        "What can be imported, what of it the KPU runs, and what kmodels can hold. An op that is not here is refused, "
        "with its layer's name and, where there is one, a way to do without; all refusals of a model come at once."
    )
    rules = [one for name, one in vars(k210).items() if name.endswith("_rule") and inspect.isfunction(one)]
    lines = [f"- {docstring(rule).splitlines()[0]}" for rule in rules]
    hardware = (
        "A convolution, or a matrix product as a 1x1 convolution, runs on the KPU if all of this is true, or can be "
        "made true by the passes. `kpu-compile` says of each layer that stays on the CPU which rule it breaks."
    )
    instructions = ", ".join(code(kind.mnemonic) for kind in INSTRUCTIONS.values() if kind is not KpuConv2d)
    return page(
        "Supported ops",
        intro,
        "## The KPU",
        hardware,
        "\n".join(lines),
        "## What runs on the KPU",
        "How it gets there, the passes that do it, and their limits. Where there are two ways, the faster one by "
        "estimate is taken; options of the passes force one.",
        constructs_table(),
        "## Instructions of kmodel v4",
        f"A KPU layer is one `{KpuConv2d.mnemonic}`. Everything else runs on the CPU, as one or several of these:",
        f"{instructions}.",
        onnx_section(),
        tflite_section(),
    )


def constructs_table() -> str:
    lines = [
        f"| {one.name} | {one.form} | {', '.join(map(pass_link, one.passes))} | {' '.join(one.limit_texts)} |"
        for one in CONSTRUCTS
    ]
    return "\n".join(["| construct | on the KPU | passes | limits |", "|---|---|---|---|", *lines])


def pass_link(name: str) -> str:
    return f"[`{name}`](passes.md#{name})"


def onnx_section() -> str:
    intro = (
        "Versions are those in which ONNX changed the op, from opset 7 on; the last one counts up to the newest opset "
        "that the installed onnx package knows. Attributes are all honoured, or the node is refused with its reason. "
        "Other ops that ONNX defines as functions are replaced by their bodies; `Constant`, `ConstantOfShape`, "
        "`Shape`, `Size` and `Range` are evaluated when a model is imported, and an `If` of a constant condition is "
        "the branch that it takes. Ops of `com.microsoft` are those of ONNX Runtime's quantizer. Integers and bools "
        "are whole numbers, 0 and 1, in float32. Parameters (shapes, axes, scales) must be constant, and so must all "
        "shapes be."
    )
    lines = [
        f"| {code(one.name)} | {', '.join(map(str, one.versions))} | {', '.join(map(code, one.attributes))} "
        f"| {one.place} | {one.text.replace('|', '&#124;')} |"
        for one in onnx_ops()
    ]
    head = ["| op | versions | attributes | runs on | what it becomes, limits |", "|---|---|---|---|---|"]
    return "\n".join(["## ONNX\n", intro, "", *head, *lines])


def tflite_section() -> str:
    intro = (
        "All versions of an operator are read: what a version adds are types and options. Tensors may be float32, "
        "float16, int8 and uint8 (rounded to the codes the model gives them), int16 (limited to its range, not "
        "rounded), or whole numbers: integers and bools are these, 0 and 1, in float32. Weights may be float16, int4, "
        "int8 (also of float layers) or uint8, with one scale or one for each channel, and stored sparse. Options are "
        "all honoured, or the layer is refused with its reason; those that only tell a runtime how to compute are left "
        "out here. Parameters (shapes, axes, pads) must be constant, and so must all shapes be. Custom operators are "
        "refused but for those listed, whose options are read to the last byte."
    )
    lines = [
        f"| {code(one.name)} | {', '.join(map(code, one.options))} | {one.place} | {one.text.replace('|', '&#124;')} |"
        for one in tflite_ops()
    ]
    head = ["| op | options | runs on | what it becomes, limits |", "|---|---|---|---|"]
    refused: dict[str, list[str]] = {}
    for name, reason in sorted(tflite_refusals().items()):
        refused.setdefault(reason, []).append(code(name))
    reasons = ["", "Not imported:", "", "| ops | why |", "|---|---|"]
    reasons += [f"| {', '.join(names)} | {reason} |" for reason, names in refused.items()]
    return "\n".join(["## TFLite\n", intro, "", *head, *lines, *reasons])


def stale() -> list[str]:
    """The names of the pages that are not what the code says."""
    return [name for name, text in pages().items() if not is_current(REFERENCE / name, text)]


def is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main() -> int:
    if "--check" in sys.argv[1:]:
        found = stale()
        if found:
            print(f"run tools/generate_docs.py: {', '.join(found)} of docs/reference/ changed", file=sys.stderr)
        return int(bool(found))
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
