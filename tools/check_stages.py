"""Check that every stage of a model's compilation is text: it parses, prints the same, and can be gone on from.

    python tools/check_stages.py model.onnx --dataset images.npz

Compiles the model, then for each stage: its text parsed and printed is the same text, and the next pass run on the
parsed module, as `kpu-opt` does, gives the text of the API's next stage. The exit status is 1 where anything differs.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import kpuir
from kpuir import pipelines
from kpuir.importers import import_model
from kpuir.ir.printing import module_text
from kpuir.named_pipelines import PIPELINES
from kpuir.runtime import parse_module


def check_stages(model: Path, dataset: Path | None) -> list[str]:
    """What differs, one line each."""
    options = f'{{dataset="{dataset}"}}' if dataset is not None else ""
    passes = pipelines.parse_passes(f"kpu-default{options}", lambda: PIPELINES)
    module = import_model(model)
    texts = [module_text(module)]
    pipelines.run_passes(
        pipelines.make_context(), module, passes, verify=False, after=lambda _, now: texts.append(module_text(now))
    )
    names = ["import", *(one.name for one in passes)]
    problems: list[str] = []
    parsed = {text: parse_module(text.encode(), name) for name, text in zip(names, texts, strict=True)}
    for index, (name, text) in enumerate(zip(names, texts, strict=True)):
        again = module_text(parsed[text])
        if again != text:
            problems.append(f"{index:02d}-{name}: {_difference(text, again)}")
        if index < len(passes):
            following = parsed[text].clone()
            pipelines.run_passes(pipelines.make_context(), following, [passes[index]])
            found = module_text(following)
            if found != texts[index + 1]:
                where = _difference(texts[index + 1], found)
                problems.append(f"{index:02d}-{name}, then {passes[index].name}: {where}")
    if module_text(kpuir.compile(model, dataset=dataset).module) != texts[-1]:
        problems.append("kpuir.compile gives another module")
    return problems


def _difference(wanted: str, found: str) -> str:
    lines = enumerate(zip(wanted.splitlines(), found.splitlines(), strict=False), start=1)
    number, (ours, theirs) = next((pair for pair in lines if pair[1][0] != pair[1][1]), (0, ("", "")))
    return f"line {number} is\n  {theirs[:300]}\ninstead of\n  {ours[:300]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check one model; prints what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="an .onnx or .tflite file")
    parser.add_argument("--dataset", type=Path, help="what to calibrate with")
    given = parser.parse_args(arguments)
    problems = check_stages(given.model, given.dataset)
    print("\n".join(problems) or f"{given.model.name}: every stage is text")
    return int(bool(problems))


if __name__ == "__main__":
    raise SystemExit(main())
