"""The error of 8 bits against the float model: ours, ONNX Runtime's and nncase 1.9's, on the same samples.

    KPUIR_PEER_PYTHON=.../python python benchmarks/bench_accuracy.py [--seeds 4] [MODEL=KIND ...]

Samples and float references (ONNX Runtime, LiteRT) come from `make_cases.py`, kmodels of nncase run in its simulator,
ours in our interpreter; both scripts are looked for in the shared folder's `peers/`. ONNX Runtime quantizes statically
(uint8 activations, int8 weights for each channel, smallest and largest values) what `onnx_peer.py` exports; `float` is
that export before it is quantized: what is left there is the reference's own error (LiteRT quantizes the activations of
models with 8-bit weights). Printed is the mean over samples of 1 - cosine for each output, for each seed (the first is
the one the script takes by itself) and over all, and the ratio of ours to ONNX Runtime's; the target is at most 0.7.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx_peer import Runner, runners

import kpuir

KINDS = {
    "pretrainedResnet.tflite": "255",
    "kws_ref_model_float32.tflite": "mfcc",
    "vww_96_float.tflite": "01",
    "ad01_fp32.tflite": "ad",
    "version-slim-320_simplified.onnx": "128",
    "version-slim-320_without_postprocessing.onnx": "128",
    "version-slim-320_without_postprocessing.tflite": "128",
}


def run(*command: object) -> bool:
    """Run a script quietly; return whether it succeeded."""
    return subprocess.run([str(part) for part in command], capture_output=True, check=False).returncode == 0


def error(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    """1 - cosine, the mean over samples."""
    a, b = (one.reshape(len(one), -1).astype(np.float64) for one in (found, wanted))
    return float(1 - ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).mean())


def references(case: Path) -> list[NDArray[np.floating]]:
    return [np.load(path) for path in sorted(case.glob("ref_*.npy"))]


def our_errors(model: Path, case: Path) -> list[float]:
    loaded = kpuir.compile(model, dataset=case / "calib.npy").loaded()
    port = loaded.inputs[0]
    results = [loaded.run({port.name: sample.reshape(port.shape)}) for sample in np.load(case / "inputs.npy")]
    stacked = [np.stack([result[output.name] for result in results]) for output in loaded.outputs]
    return [error(found, wanted) for found, wanted in zip(stacked, references(case), strict=True)]


def runner_errors(runner: Runner, case: Path) -> list[float]:
    results = [runner(sample) for sample in np.load(case / "inputs.npy")]
    stacked = [np.stack(column) for column in zip(*results, strict=True)]
    return [error(found, wanted) for found, wanted in zip(stacked, references(case), strict=True)]


def peer_errors(python: str, peer: Path, model: Path, case: Path) -> list[float] | None:
    kmodel = case / "peer.kmodel"
    if not run(python, peer, "compile", model, "--calib", case / "calib.npy", "--out", kmodel):
        return None
    if not run(python, peer, "run", kmodel, "--inputs", case / "inputs.npy", "--out", case / "peer"):
        return None
    found = [np.load(path) for path in sorted(case.glob("peer_*.npy"))]
    return [error(a, b) for a, b in zip(found, references(case), strict=True)]


def show(who: str, errors: list[list[float]]) -> None:
    mean = " ".join(f"{value:.2e}" for value in np.mean(errors, axis=0))
    seeds = "   ".join(" ".join(f"{value:.2e}" for value in one) for one in errors)
    print(f"  {who:8}{mean}   by seed: {seeds}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=[f"{model}={kind}" for model, kind in KINDS.items()])
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    cases, peer = arguments.shared / "peers/make_cases.py", arguments.shared / "peers/nncase19.py"
    python = os.environ.get("KPUIR_PEER_PYTHON")
    if not cases.exists():
        print(f"skipped: {cases.name} is not in {arguments.shared.name}/peers")
        return
    for name, kind in (entry.split("=") for entry in arguments.models):
        model = arguments.shared / "models" / name
        found: dict[str, list[list[float]]] = {"kpuir": [], "ORT": [], "float": [], "nncase": []}
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                case = Path(folder)
                chosen = [] if seed == 0 else ["--seed", seed]
                if not run(sys.executable, cases, model, kind, case, *chosen):
                    sys.exit(f"{cases.name} failed on {name}")
                found["kpuir"].append(our_errors(model, case))
                for who, runner in zip(("float", "ORT"), runners(model, np.load(case / "calib.npy")), strict=True):
                    found[who].append(runner_errors(runner, case))
                peers = peer_errors(python, peer, model, case) if python else None
                if peers is not None:
                    found["nncase"].append(peers)
        print(f"{name}: 1 - cosine of each output, mean over seeds")
        for who, errors in found.items():
            if errors:
                show(who, errors)
        if not found["nncase"]:
            print("  nncase  fails on this model" if python else "  nncase  not measured: set KPUIR_PEER_PYTHON")
        ratio = np.mean(found["kpuir"], axis=0) / np.mean(found["ORT"], axis=0)
        print("  kpuir/ORT", " ".join(f"{value:.2f}" for value in ratio), flush=True)


if __name__ == "__main__":
    main()
