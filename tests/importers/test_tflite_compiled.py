"""TFLite models through the compiler: what no instruction does, and preprocessing that the model does itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import kpuir
from kpuir.importers.tflite import import_tflite
from tests.importers.litert import run_litert
from tests.importers.tflite_builder import Operator, Tensor, build, constant
from tests.importers.tflite_forms import forms

WEIGHT = np.random.default_rng(0).normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
WINDOW = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1, "FusedActivationFunction": 1}


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        *[("ADD", 12), ("ARG_MAX", 0), ("CAST", 2), ("EMBEDDING_LOOKUP", 0), ("FAKE_QUANT", 0), ("GATHER", 1)],
        *[("POW", 0), ("REDUCE_ANY", 6), ("SCATTER_ND", 0), ("SELECT_V2", 0), ("TOPK_V2", 1), ("GREATER", 0)],
        *[("CONV_3D_TRANSPOSE", 0), ("DILATE", 0), ("REDUCE_WINDOW", 4), ("UNSORTED_SEGMENT_MIN", 0)],
    ],
)
def test_compiled_operator(kind: str, number: int) -> None:
    form = forms()[kind][number]
    module = import_tflite(form.model())
    names = [tensor.name for tensor in form.tensors() if tensor is not None and tensor.data is None]
    samples = [dict(zip(names, form.samples(seed), strict=True)) for seed in range(3)]
    dataset = [{name: np.asarray(array, np.float32) for name, array in sample.items()} for sample in samples]
    compiled = kpuir.compile(module, dataset=dataset)
    tolerance = 0.02 if compiled.report.kpu_layers else 1e-4
    for sample, given in zip(samples, dataset, strict=True):
        wanted = run_litert(form.model(), list(sample.values()))
        for ours, theirs in zip(compiled.run(given).values(), wanted, strict=True):
            size = max(1.0, float(np.abs(theirs.astype(np.float64)).max()))
            np.testing.assert_allclose(ours, theirs.astype(np.float32), rtol=0, atol=tolerance * size)


def preprocessing(dtype: str, steps: list[tuple[str, Any]]) -> bytes:
    """A convolution behind steps in front of it, of a planar image where the first is TRANSPOSE."""
    planar = steps[0][0] == "TRANSPOSE"
    tensors = [Tensor((1, 3, 16, 16) if planar else (1, 16, 16, 3), dtype, "x")]
    operators: list[Operator] = []
    for kind, operand in steps:
        inputs = [len(tensors) - 1]
        if operand is not None:
            tensors.append(constant(operand, f"c{len(tensors)}"))
            inputs = [len(tensors) - 2, len(tensors) - 1]
        tensors.append(Tensor((1, 16, 16, 3), name=f"t{len(tensors)}"))
        casts = {"InDataType": 3, "OutDataType": 0}
        table = {"CAST": "CastOptions", "TRANSPOSE": ""}.get(kind, f"{kind.title()}Options")
        operators.append(Operator(kind, inputs, [len(tensors) - 1], table, casts if kind == "CAST" else {}))
    tensors += [constant(WEIGHT, "w"), constant(np.zeros(8, np.float32), "b"), Tensor((1, 16, 16, 8), name="y")]
    last = len(tensors) - 1
    operators.append(Operator("CONV_2D", [last - 3, last - 2, last - 1], [last], "Conv2DOptions", WINDOW))
    return build(tensors, operators, [0], [last])


def numbers(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("dtype", "steps"),
    [
        ("float32", [("MUL", np.float32(1 / 127.5)), ("SUB", np.float32(1))]),
        ("float32", [("SUB", numbers(123, 117, 104)), ("DIV", numbers(58, 57, 57))]),
        ("float32", [("TRANSPOSE", np.array([0, 2, 3, 1], np.int32)), ("MUL", np.float32(1 / 255))]),
        ("uint8", [("CAST", None), ("SUB", numbers(123, 117, 104)), ("MUL", np.float32(1 / 58))]),
    ],
)
def test_the_bytes_of_a_camera_go_in(dtype: str, steps: list[tuple[str, Any]]) -> None:
    """Preprocessing in the model runs on the KPU, behind an input of bytes as they are."""
    model = preprocessing(dtype, steps)
    module = import_tflite(model)
    shape = (1, 3, 16, 16) if steps[0][0] == "TRANSPOSE" else (1, 16, 16, 3)
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, shape).astype(np.float32) for _ in range(4)]
    compiled = kpuir.compile(module, dataset=[{"x": image} for image in images])
    (port,) = compiled.loaded().inputs
    assert (port.type, port.scale, port.zero_point) == ("uint8", 1.0, 0)
    assert set(compiled.report.cpu_ops) <= {"dequantize", "transpose"}
    ours, (wanted,) = compiled.run({"x": images[0]}), run_litert(model, [images[0].astype(dtype)])
    assert np.abs(next(iter(ours.values())) - wanted).max() < 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8"])
def test_a_focus_layer_runs_on_the_kpu(dtype: str) -> None:
    """Every second pixel, column by column as YOLOv5 has it, as channels."""
    codes: dict[str, Any] = (
        {} if dtype == "float32" else {"scale": [1 / 128], "zero_point": [0 if dtype == "int8" else 128]}
    )
    tensors = [Tensor((1, 16, 16, 3), dtype, "x", **codes), constant(np.array([1, 2, 2, 1], np.int32), "steps")]
    tensors.append(constant(np.array([1, 16, 16, 3], np.int32), "ends"))
    operators: list[Operator] = []
    for row, column in ((0, 0), (1, 0), (0, 1), (1, 1)):
        tensors.append(constant(np.array([0, row, column, 0], np.int32), f"begins{row}{column}"))
        tensors.append(Tensor((1, 8, 8, 3), dtype, f"part{row}{column}", **codes))
        last = len(tensors) - 1
        operators.append(Operator("STRIDED_SLICE", [0, last - 1, 2, 1], [last], "StridedSliceOptions"))
    tensors.append(Tensor((1, 8, 8, 12), dtype, "focus", **codes))
    parts = [one.outputs[0] for one in operators]
    operators.append(Operator("CONCATENATION", parts, [len(tensors) - 1], "ConcatenationOptions", {"Axis": 3}))
    weight = np.random.default_rng(0).integers(-100, 101, (8, 3, 3, 12))
    if dtype == "float32":
        tensors += [constant((weight / 500).astype(np.float32), "w"), constant(np.zeros(8, np.float32), "b")]
        tensors.append(Tensor((1, 8, 8, 8), name="y"))
    else:
        low = 0 if dtype == "int8" else 128
        tensors.append(constant((weight + low).astype(dtype), "w", scale=[0.002], zero_point=[low]))
        tensors.append(constant(np.zeros(8, np.int32), "b", scale=[0.002 / 128], zero_point=[0]))
        tensors.append(Tensor((1, 8, 8, 8), dtype, "y", scale=[0.02], zero_point=[low]))
    last = len(tensors) - 1
    operators.append(Operator("CONV_2D", [last - 3, last - 2, last - 1], [last], "Conv2DOptions", WINDOW))
    model = build(tensors, operators, [0], [last])
    rng = np.random.default_rng(1)
    samples = [{"x": rng.integers(-128, 128, (1, 16, 16, 3)).astype(np.float32) / np.float32(128)} for _ in range(3)]
    compiled = kpuir.compile(import_tflite(model), dataset=samples if dtype == "float32" else None)
    assert set(compiled.report.cpu_ops) <= {"dequantize", "transpose"}
    given = samples[0]["x"]
    if dtype != "float32":
        given = (given * 128 + (0 if dtype == "int8" else 128)).astype(dtype)
    ours, (wanted,) = compiled.run({"x": given}), run_litert(model, [given])
    real = wanted if dtype == "float32" else (wanted.astype(np.float32) - (0 if dtype == "int8" else 128)) * 0.02
    assert np.abs(next(iter(ours.values())) - real).max() < 0.021


def quantized_conv(dtype: str, quantize: bool, dequantize: bool) -> bytes:
    """A quantized convolution, maybe behind the QUANTIZE of a float input and in front of a DEQUANTIZE."""
    low = 0 if dtype == "uint8" else -128
    weight = np.random.default_rng(0).integers(-100, 101, (8, 3, 3, 3)) + (128 + low)
    tensors = [
        Tensor((1, 16, 16, 3), name="x"),
        Tensor((1, 16, 16, 3), dtype, "codes", scale=[1 / 128], zero_point=[low + 128]),
        constant(weight.astype(dtype), "w", scale=[0.01], zero_point=[low + 128]),
        constant(np.arange(8, dtype=np.int32) * 40, "b", scale=[0.01 / 128], zero_point=[0]),
        Tensor((1, 16, 16, 8), dtype, "y", scale=[0.02], zero_point=[low + 100]),
        Tensor((1, 16, 16, 8), name="numbers"),
    ]
    conv = Operator("CONV_2D", [1, 2, 3], [4], "Conv2DOptions", {**WINDOW, "FusedActivationFunction": 0})
    before = [Operator("QUANTIZE", [0], [1])] if quantize else []
    after = [Operator("DEQUANTIZE", [4], [5])] if dequantize else []
    return build(tensors, [*before, conv, *after], [0 if quantize else 1], [5 if dequantize else 4])


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize(("quantize", "dequantize"), [(True, True), (True, False), (False, True), (False, False)])
def test_conversions_at_the_ends(tmp_path: Path, dtype: str, quantize: bool, dequantize: bool) -> None:
    """What goes in are the bytes of a camera either way; what comes out differs from LiteRT at its second rounding."""
    path = tmp_path / "model.tflite"
    path.write_bytes(quantized_conv(dtype, quantize, dequantize))
    compiled = kpuir.compile(path)
    assert set(compiled.report.cpu_ops) <= {"dequantize", "transpose"}
    loaded, low = compiled.loaded(), 0 if dtype == "uint8" else -128
    (port,) = loaded.inputs
    assert (port.type, port.scale, port.zero_point) == ("uint8", 1 / 128, 128)
    codes = np.random.default_rng(1).integers(low, low + 256, (1, 16, 16, 3)).astype(dtype)
    given: Any = (codes.astype(np.float32) - (low + 128)) / np.float32(128) if quantize else codes
    (stored,) = loaded.to_kmodel({port.name: given})
    np.testing.assert_array_equal(stored, (codes.astype(np.int32) - low).transpose(0, 3, 1, 2))
    (ours,), (wanted,) = compiled.run({port.name: given}).values(), run_litert(path.read_bytes(), [given])
    steps = np.abs(ours / np.float32(0.02) - (wanted / np.float32(0.02) if dequantize else wanted - (low + 100.0)))
    assert steps.max() < 1.01
    assert (steps > 0.01).mean() < 0.005


def test_compiled_up_to_an_output(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(quantized_conv("int8", quantize=True, dequantize=True))
    assert [port.name for port in kpuir.compile(path, outputs=("y",)).loaded().outputs] == ["y"]


def test_the_name_of_a_model_does_not_matter(tmp_path: Path) -> None:
    """What is channels-last in the source model goes by the file's content, as importing does."""
    model = preprocessing("float32", [("TRANSPOSE", np.array([0, 2, 3, 1], np.int32))])
    sample = {"x": np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)}
    kmodels: list[bytes] = []
    for name in ("model.tflite", "MODEL.TFLITE", "model"):
        (tmp_path / name).write_bytes(model)
        compiled = kpuir.compile(tmp_path / name, dataset=[sample], input_layout="NHWC", output_layout="NHWC")
        kmodels.append(compiled.kmodel_bytes)
    assert len(set(kmodels)) == 1
