"""The whole process of `kpu-compile` against the whole process of nncase 1.9's compiler on the same models and samples.

    KPUIR_PEER_PYTHON=.../python python benchmarks/bench_compile_time.py [--peer .../nncase19.py] [MODEL ...]

The peer needs a Python with nncase 1.9 (KPUIR_PEER_PYTHON) and the harness script that compiles a model in it. Both
compilers calibrate on the same random samples, in turns; every time is the best of its runs. Seconds are of the wall
clock, the seconds of processor time beside them say more on a machine that has other work. Without the peer only our
times are printed. The target is the larger of 2.5 s and twice the peer's time.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpuir.dialects import ktensor
from kpuir.importers import import_model
from kpuir.ir.functions import entry_function

LEAST_TARGET = 2.5
PEER_FACTOR = 2
MODELS = (
    "pretrainedResnet.tflite",
    "kws_ref_model_float32.tflite",
    "vww_96_float.tflite",
    "ad01_fp32.tflite",
    "version-slim-320_simplified.onnx",
    "version-slim-320_without_postprocessing.onnx",
    "version-slim-320_without_postprocessing.tflite",
)


class Times(NamedTuple):
    wall: float
    processor: float


def timed(command: list[str]) -> Times | None:
    """The times of a process and its children; None where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return None if done.returncode else Times(wall, processor)


def best(times: list[Times | None]) -> Times | None:
    known = [one for one in times if one is not None]
    return Times(min(one.wall for one in known), min(one.processor for one in known)) if known else None


def write_samples(model: Path, count: int, path: Path) -> None:
    """Random samples, uniform in -1..1, of the shape of the model's (only) input."""
    arguments = entry_function(import_model(model)).body.block.args
    if len(arguments) != 1:
        sys.exit(f"{model.name} has {len(arguments)} inputs; this benchmark knows models of one")
    shape = ktensor.shape_of(arguments[0])
    np.save(path, np.random.default_rng(0).uniform(-1, 1, (count, *shape[1:])).astype(np.float32))


def measure(
    model: Path, peer: list[str] | None, samples: int, runs: int, folder: Path
) -> tuple[Times | None, Times | None]:
    calibration, output = folder / "calibration.npy", folder / "model.kmodel"
    write_samples(model, samples, calibration)
    program = Path(sys.executable).with_name("kpu-compile")
    our_command = [str(program), str(model), "--dataset", str(calibration), "-o", str(output), "--json"]
    ours, theirs = list[Times | None](), list[Times | None]()
    for _ in range(runs):
        ours.append(timed(our_command))
        if peer is not None:
            theirs.append(timed([*peer, "compile", str(model), "--calib", str(calibration), "--out", str(output)]))
    return best(ours), best(theirs)


def row(name: str, ours: Times | None, theirs: Times | None) -> str:
    cells = [f"{one.wall:6.2f} ({one.processor:5.2f})" if one else f"{'fails':>14}" for one in (ours, theirs)]
    ratio = f"{ours.wall / theirs.wall:6.2f}" if ours and theirs else f"{'-':>6}"
    target = max(LEAST_TARGET, PEER_FACTOR * theirs.wall if theirs else 0.0)
    reached = "yes" if ours and ours.wall <= target else "no"
    return f"{name:<48}{cells[0]}  {cells[1]}  {ratio}  {target:6.2f}  {reached}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("KPUIR_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL", help="of one input (seven of SHARED/models)")
    parser.add_argument("--shared", type=Path, default=default, help="where models/ and peers/ are")
    parser.add_argument("--peer", type=Path, help="the harness script around nncase 1.9")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    chosen = arguments.models or [arguments.shared / "models" / name for name in MODELS]
    script = arguments.peer or arguments.shared / "peers/nncase19.py"
    python = os.environ.get("KPUIR_PEER_PYTHON")
    peer = [python, str(script)] if python and script.exists() else None
    if peer is None:
        print("nncase is not measured: set KPUIR_PEER_PYTHON and give the harness with --peer")
    print(f"{'seconds (of processor time)':<48}{'kpuir':>14}  {'nncase':>14}  {'ratio':>6}  {'target':>6}  reached")
    for model in chosen:
        if not model.exists():
            print(f"{model.name:<48}skipped: not in {model.parent}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = measure(model, peer, arguments.samples, arguments.runs, Path(folder))
        print(row(model.name, ours, theirs if peer is not None else None), flush=True)


if __name__ == "__main__":
    main()
