"""One warm inference of a slim-320 kmodel in our machine against nncase 1.9's simulator on its own kmodel of the model.

    KPUIR_PEER_PYTHON=.../python python benchmarks/bench_interpreter.py [--peer .../nncase19.py] [--shared DIR]

The peer needs a Python with nncase 1.9 (KPUIR_PEER_PYTHON) and the harness script that compiles and runs a model in
it. Both are measured in this run, interleaved, on the same photograph-sized input, by the wall clock; without the peer
only our time is printed. Every time is the median (and the best) of its runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpuir.interpreters.kbuf import Machine
from kpuir.translate import read_kmodel

TARGET = 8


def our_times(kmodel: Path, pixels: NDArray[np.uint8], runs: int) -> list[float]:
    machine = Machine(read_kmodel(kmodel.read_bytes()))
    for _ in range(3):
        machine.run([pixels])
    times: list[float] = []
    for _ in range(runs):
        start = time.perf_counter()
        machine.run([pixels])
        times.append(time.perf_counter() - start)
    return times


def call_peer(script: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [os.environ["KPUIR_PEER_PYTHON"], str(script), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"the peer failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compile_in_peer(script: Path, onnx: Path, folder: Path) -> Path:
    kmodel = folder / "peer.kmodel"
    call_peer(script, "compile", str(onnx), "--calib", "random:2", "--out", str(kmodel))
    return kmodel


def peer_times(script: Path, kmodel: Path, pixels: NDArray[np.uint8], runs: int, folder: Path) -> list[float]:
    np.save(folder / "x.npy", (pixels.astype(np.float32) - 127) / 128)
    options = ["--inputs", str(folder / "x.npy"), "--repeat", str(runs), "--out", str(folder / "y")]
    result = call_peer(script, "run", str(kmodel), *options)
    return [result["median_s"], result["min_s"]]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("KPUIR_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    parser.add_argument("--shared", type=Path, default=default, help="where models/ is")
    parser.add_argument("--kmodel", type=Path, help="another v4 kmodel of slim-320, with a uint8 input")
    parser.add_argument("--peer", type=Path, help="the harness script around nncase 1.9")
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    kmodel = arguments.kmodel or arguments.shared / "models/slim-320.kmodel"
    peer = arguments.peer or arguments.shared / "peers/nncase19.py"
    if not kmodel.exists():
        print(f"skipped: {kmodel.name} is not in {arguments.shared.name}/models")
        return
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 240, 320)).astype(np.uint8)
    if "KPUIR_PEER_PYTHON" not in os.environ or not peer.exists():
        ours = our_times(kmodel, pixels, arguments.runs)
        print(f"kpuir   {milliseconds(statistics.median(ours))} median, {milliseconds(min(ours))} best")
        print("nncase  not measured: set KPUIR_PEER_PYTHON and give the harness with --peer")
        return
    ours, medians, bests = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx = arguments.shared / "models/version-slim-320_simplified.onnx"
        theirs = compile_in_peer(peer, onnx, folder)
        for _ in range(3):
            ours += our_times(kmodel, pixels, arguments.runs)
            median, best = peer_times(peer, theirs, pixels, max(arguments.runs // 4, 3), folder)
            medians.append(median)
            bests.append(best)
    our_median, their_median = statistics.median(ours), statistics.median(medians)
    print(f"kpuir   {milliseconds(our_median)} median, {milliseconds(min(ours))} best")
    print(f"nncase  {milliseconds(their_median)} median, {milliseconds(min(bests))} best")
    print(f"ratio   1/{their_median / our_median:.1f} by medians, 1/{min(bests) / min(ours):.1f} by best")
    print(f"target  1/{TARGET}")


if __name__ == "__main__":
    main()
