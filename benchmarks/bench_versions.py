"""The same network as kmodel v3, v4 and v5, all three from one module at the `kbuf` level.

    PYTHONPATH=. python benchmarks/bench_versions.py [MODEL ...]

Each model (the example and those of the shared folder by default) is compiled once, with inputs of uint8, and its
instructions of v4 are made into those of the other versions. A row of a table for each, with three numbers: bytes of
the file, passes of the KPU, instructions of the CPU, bytes of main RAM that the runtime allocates (v5: with inputs and
outputs), and how far outputs are from those of v4, relative to the largest; `no` where a version cannot have it.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import kpuir
from kpuir.conversion import convert
from kpuir.errors import InvalidInputError
from kpuir.interpreters.kbuf import Machine
from kpuir.kmodel.info import describe
from kpuir.translate import read_kmodel
from kpuir.versions import VERSIONS
from tests.shared import SHARED

EXAMPLE = Path(__file__).parents[1] / "examples/digits/digits.onnx"
SAMPLES = 4


class Figures(NamedTuple):
    """Of one version of a model."""

    file_bytes: int
    kpu: int
    cpu: int
    main_bytes: int
    difference: float


def measure(path: Path) -> dict[str, Figures | str]:
    """The figures of a model in each version, or why that version cannot have it; samples are random."""
    rng = np.random.default_rng(0)
    ports = kpuir.load(path).inputs
    dataset = [{port.name: rng.normal(size=port.shape).astype(np.float32) for port in ports} for _ in range(SAMPLES)]
    compiled = kpuir.compile(path, dataset=dataset, input_type="uint8")
    inputs = compiled.loaded().to_kmodel(dataset[0])
    expected = _run(compiled.kmodel_bytes, inputs)
    found: dict[str, Figures | str] = {}
    for version in VERSIONS:
        try:
            data = convert(compiled.kmodel_bytes, version).kmodel_bytes
        except InvalidInputError as error:
            found[version] = str(error).splitlines()[0]
            continue
        pairs = zip(_run(data, inputs), expected, strict=True)
        difference = max(
            float(np.abs(ours.ravel() - theirs.ravel()).max() / np.abs(theirs).max()) for ours, theirs in pairs
        )
        info = describe(data)
        kpu = sum(line.where == "KPU" for line in info.instructions)
        found[version] = Figures(len(data), kpu, len(info.instructions) - kpu, info.main_bytes, difference)
    return found


def _run(data: bytes, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
    return [one.astype(np.float64) for one in Machine(read_kmodel(data)).run(inputs)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    models = parser.parse_args().models
    shared = sorted((SHARED / "models").glob("*"))
    models = models or [EXAMPLE, *(path for path in shared if path.suffix in (".onnx", ".tflite"))]
    print("| model | file | KPU | CPU | main RAM | difference |\n|---|---|---|---|---|---|")
    for path in models:
        found = measure(path)
        columns = zip(*(_cells(found[version]) for version in VERSIONS), strict=True)
        print(f"| {path.name} | {' | '.join(', '.join(column) for column in columns)} |", flush=True)


def _cells(figures: Figures | str) -> list[str]:
    if isinstance(figures, str):
        return ["no"] * len(Figures._fields)
    return [f"{one:.0e}" if isinstance(one, float) else f"{one}" for one in figures]


if __name__ == "__main__":
    main()
