"""Compile the digit classifier and run its 300 test images as the chip would.

    python examples/digits/demo.py [DIRECTORY]        # or: make demo

Prints what the compiler did, where the buffers lie, and the accuracy of the float model and of the kmodel. With a
DIRECTORY, the kmodel, its .json and pictures of the two RAMs are left there.
"""

import sys
import time
from pathlib import Path

import numpy as np

import kpuir
from kpuir.analysis.memory import memory
from kpuir.dialects.kbuf import Space
from kpuir.reports.memory_map import svg_map, text_map

HERE = Path(__file__).resolve().parent


def accuracy(model, images, labels) -> tuple[float, float]:
    """The share of images a model gets right, and the seconds it takes for one."""
    model.run({"image": images[0]})  # compiles the interpreter's kernels
    start = time.perf_counter()
    scores = [model.run({"image": image})["scores"] for image in images]
    seconds = (time.perf_counter() - start) / len(images)
    return float(np.mean(np.array(scores).reshape(len(images), 10).argmax(1) == labels)), seconds


def main() -> None:
    compiled = kpuir.compile(HERE / "digits.onnx", dataset=HERE / "calibration")
    report = compiled.report
    cpu = ", ".join(f"{count} {name}" for name, count in sorted(report.cpu_ops.items()))
    print(f"{report.kpu_layers} layers on the KPU; on the CPU: {cpu}")
    print(f"kmodel of {report.kmodel_bytes} bytes, estimated {report.estimated_ms:.1f} ms on the chip\n")
    use = memory(compiled.module)
    print(text_map(use))

    with np.load(HERE / "test.npz") as test:
        images, labels = test["image"][:, np.newaxis], test["label"]
    exact, _ = accuracy(kpuir.load(HERE / "digits.onnx"), images, labels)
    ours, seconds = accuracy(compiled.loaded(), images, labels)
    print(f"accuracy on {len(images)} test images: float model {exact:.2%}, kmodel {ours:.2%}")
    print(f"the interpreter took {1000 * seconds:.2f} ms per image")

    if len(sys.argv) > 1:
        directory = Path(sys.argv[1])
        directory.mkdir(parents=True, exist_ok=True)
        compiled.save(directory / "digits.kmodel")
        for space in (Space.KPU, Space.MAIN):
            (directory / f"memory-{space.value}.svg").write_text(svg_map(use, space))
    if exact - ours > 0.005:
        sys.exit("the kmodel is more than half a point worse than the float model")


if __name__ == "__main__":
    main()
