"""Compiles a model of the zoo, runs its kmodel and tells how far that is from ONNX Runtime."""

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx
import onnxruntime

import kpuir
from kpuir.analysis.overlaps import find_overlaps
from kpuir.comparison import cosine
from kpuir.compiler import CompiledModel
from kpuir.importers.onnx import import_onnx
from tests.zoo.builder import Array, smooth

WEIGHTED = {
    *("conv2d", "conv2d_transpose", "matmul", "cpu_conv2d", "cpu_depthwise_conv2d", "cpu_quantized_conv2d"),
    *("cpu_quantized_depthwise_conv2d", "quantized_conv2d", "quantized_matmul"),
}
"""Instructions of the CPU that the KPU should have done."""


@dataclass(frozen=True)
class Measured:
    """A compiled model: what it takes, and its output against the float model's.

    `left` names the convolutions and matrix products on the CPU, with the reason; `problems` what the checks of its
    addresses and of its run found. `between` is the mean cosine of the float outputs of one sample and the next: how
    alike they would be if the kmodel did not look at its input.
    """

    compiled: CompiledModel
    seconds: float
    left: list[str]
    problems: list[str]
    cosines: list[float]
    between: float

    @property
    def mean(self) -> float:
        """The mean of the cosines."""
        return float(np.mean(self.cosines))


def measure(model: onnx.ModelProto, calibration: int = 8, tests: int = 16) -> Measured:
    """Compile and run a model of one image. Raises DoesNotFitError and whatever else compiling does."""
    shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    start = time.perf_counter()
    samples = [{"image": smooth(shape, seed)} for seed in range(calibration)]
    compiled = kpuir.compile(import_onnx(model.SerializeToString()), dataset=samples)
    seconds = time.perf_counter() - start
    loaded = compiled.loaded(check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    images = [smooth(shape, 100 + seed) for seed in range(tests)]
    wanted: list[Array] = [np.asarray(session.run(None, {"image": image})[0]) for image in images]
    found = [next(iter(loaded.run({"image": image}).values())) for image in images]
    return Measured(
        compiled,
        seconds,
        left=[
            f"{one.layer}: {one.operation}: {one.reason}"
            for one in compiled.coverage
            if one.place.value.lower() == "cpu" and one.operation.partition(".")[2].partition("<")[0] in WEIGHTED
        ],
        problems=[*find_overlaps(compiled.module), *loaded.warnings],
        cosines=[cosine(ours, theirs) for ours, theirs in zip(found, wanted, strict=True)],
        between=float(np.mean([cosine(a, b) for a, b in pairwise(wanted)])),
    )
