"""Inputs that 8 bits do not hold well enough are several bytes a number: the kmodel comes closer to the model."""

import numpy as np
import onnx
import onnxruntime

import kpuir
from kpuir.compiler import CompiledModel
from kpuir.importers.onnx import import_onnx
from tests.networks import Net


def features(rng: np.random.Generator, count: int) -> np.ndarray:
    """Numbers that vary little, one column far from 0, as the first of a cepstrum is: [count, 1, 20, 12]."""
    x = rng.normal(0, 1, (count, 1, 20, 12))
    x[..., 0] -= 60
    return x.astype(np.float32)


def model() -> onnx.ModelProto:
    """A convolution that looks at differences of rows, and another one."""
    net = Net(3, x=(1, 1, 20, 12))
    weight = net.rng.normal(0, 1, (8, 1, 3, 3))
    weight -= weight.mean(axis=2, keepdims=True)
    y = net.op("Relu", net.op("Conv", "x", net.constant(weight)))
    return net.model(net.op("Relu", net.conv(y, 8, 4)))


def compiled(samples: np.ndarray, **options: object) -> CompiledModel:
    dataset = [{"x": sample[None]} for sample in samples]
    return kpuir.compile(import_onnx(model().SerializeToString()), dataset=dataset, **options)  # pyright: ignore[reportArgumentType]


def error(found: CompiledModel, samples: np.ndarray) -> float:
    """The mean square of what is computed wrong, relative to ONNX Runtime's results."""
    session = onnxruntime.InferenceSession(model().SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = np.stack([np.asarray(session.run(None, {"x": sample[None]})[0]) for sample in samples])
    loaded = found.loaded(check=True)
    ours = np.stack([next(iter(loaded.run({"x": sample[None]}).values())) for sample in samples])
    assert loaded.warnings == []
    return float(np.square(ours - wanted).mean() / np.square(wanted).mean())


def test_results_come_closer_and_one_upload_takes_all_parts() -> None:
    rng = np.random.default_rng(0)
    samples, others = features(rng, 12), features(rng, 8)
    split, whole = compiled(samples), compiled(samples, input_type="uint8")
    assert (split.sidecar["inputs"][0]["type"], whole.sidecar["inputs"][0]["type"]) == ("float32", "uint8")
    assert split.report.cpu_ops.keys() <= {"quantize", "dequantize"}
    assert split.report.cpu_ops["quantize"] > 1
    assert split.report.uploads == 1
    assert any(one.reason.startswith("rounded to 8 bits it would change the results by") for one in split.coverage)
    assert error(split, others) < 0.5 * error(whole, others)


def test_inputs_that_8_bits_hold_stay_bytes() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 1, 20, 12)).astype(np.float32)
    assert compiled(pixels).sidecar["inputs"][0]["type"] == "uint8"
    even = np.random.default_rng(2).uniform(-1, 1, (6, 1, 20, 12)).astype(np.float32)
    assert compiled(even).sidecar["inputs"][0]["type"] == "uint8"


def test_the_same_kmodel_twice() -> None:
    samples = features(np.random.default_rng(4), 5)
    assert compiled(samples).kmodel_bytes == compiled(samples).kmodel_bytes


def test_inputs_that_the_cpu_reads_stay_float_unless_they_are_pixels() -> None:
    """A difference of large numbers is next to nothing: rounding what it is made of would be the whole error."""
    net = Net(6, x=(1, 3, 8, 8))
    centred = net.op("Sub", "x", net.op("ReduceMean", "x", axes=[1, 2, 3], keepdims=1))
    source = net.model(net.conv(centred, 3, 8)).SerializeToString()
    rng = np.random.default_rng(6)
    samples = [(rng.normal(size=(1, 3, 8, 8)) + 100 * index).astype(np.float32) for index in range(8)]
    found = kpuir.compile(import_onnx(source), dataset=[{"x": sample} for sample in samples])
    assert found.sidecar["inputs"][0]["type"] == "float32"
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    wanted = np.asarray(session.run(None, {"x": samples[7]})[0]).ravel()
    ours = next(iter(found.run({"x": samples[7]}).values())).ravel()
    assert wanted @ ours > 0.999 * np.linalg.norm(wanted) * np.linalg.norm(ours)
    pixels = [{"x": rng.integers(0, 256, (1, 3, 8, 8)).astype(np.float32)} for _ in range(4)]
    assert kpuir.compile(import_onnx(source), dataset=pixels).sidecar["inputs"][0]["type"] == "uint8"
