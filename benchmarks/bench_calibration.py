"""What passes that run a dataset take with 100 samples of the face detector.

    python benchmarks/bench_calibration.py [--samples 100] [--runs 3]

Samples are made as `make_cases.py` of the shared folder's `peers/` makes them. Printed are the seconds of each pass, of
the wall clock, and of the whole compilation with the start of Python and the imports, the best of all runs, and its
processor time, which says more on a machine that has other work. The target for all passes together is 10 s.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
from bench_compile_time import best, timed

MODEL, SHAPE = "version-slim-320_simplified.onnx", (1, 3, 240, 320)
PASSES = ("ktensor-split-inputs", "kpu-equalize", "kpu-calibrate", "kpu-round-weights")
TARGET = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    cases = arguments.shared / "peers/make_cases.py"
    if not cases.exists():
        print(f"skipped: {cases.name} is not in {arguments.shared.name}/peers")
        return
    spec = importlib.util.spec_from_file_location("make_cases", cases)
    assert spec is not None
    assert spec.loader is not None
    make_cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_cases)
    rng = np.random.default_rng(zlib.crc32(MODEL.encode()))
    samples = [make_cases.sample(rng, "128", SHAPE, True) for _ in range(arguments.samples)]
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder, "samples.npy")
        np.save(dataset, np.stack(samples).astype(np.float32))
        command = [sys.executable, "-m", "kpuir.tools.kpu_compile", str(arguments.shared / "models" / MODEL)]
        command += ["--dataset", str(dataset), "-o", str(Path(folder, "out.kmodel"))]
        whole = best([timed(command) for _ in range(arguments.runs)])
        printed = [
            subprocess.run([*command, "--json"], capture_output=True, check=True).stdout for _ in range(arguments.runs)
        ]
    stages = [json.loads(one)["stages"] for one in printed]
    found = {name: min(one.get(name, 0.0) for one in stages) for name in PASSES}
    for name, seconds in found.items():
        print(f"  {seconds:7.2f} s  {name}")
    print(f"  {sum(found.values()):7.2f} s  all passes on {arguments.samples} samples; the target is {TARGET} s")
    if whole is not None:
        print(f"  {whole.wall:7.2f} s  the whole process, {whole.processor:.2f} s of processor time")


if __name__ == "__main__":
    main()
