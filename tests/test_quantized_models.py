"""Quantized models keep their own scales and need no dataset. LiteRT and ONNX Runtime are the references."""

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
import pytest
from numpy.typing import NDArray

import kpuir
from kpuir.errors import InvalidInputError
from kpuir.importers.onnx import import_onnx
from kpuir.importers.tflite import import_tflite
from tests.importers.litert import run_litert
from tests.importers.nets import net, node
from tests.importers.tflite_builder import Operator, Tensor, build, constant
from tests.shared import shared_file

Array = NDArray[Any]
SAME = 0

STEP = 0.025
"""The scale of most activations: numbers of deviation 1 fill the codes."""


class Builder:
    """A quantized TFLite model, layer by layer."""

    def __init__(self, dtype: str, shape: Sequence[int], seed: int = 0) -> None:
        self.dtype = dtype
        self.low = np.iinfo(dtype).min
        self.rng = np.random.default_rng(seed)
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.input = self.tensor(shape, STEP, 120)

    def tensor(self, shape: Sequence[int], scale: float, zero_point: int) -> int:
        """An activation; the zero point is that of its bytes."""
        name = f"t{len(self.tensors)}"
        stored = [zero_point + self.low]
        self.tensors.append(Tensor(shape, self.dtype, name, scale=[scale], zero_point=stored))
        return len(self.tensors) - 1

    def weight(self, shape: Sequence[int], axis: int, fan_in: int) -> tuple[int, list[float]]:
        """A weight: int8 with a scale per channel, or uint8 with one scale and an odd zero point."""
        count = shape[axis]
        mean = 1 / (73 * fan_in**0.5)
        if self.dtype == "int8":
            data, zeros = self.rng.integers(-127, 128, shape).astype(np.int8), [0] * count
            scales = (mean * self.rng.uniform(0.5, 1.5, count)).tolist()
        else:
            data, zeros, scales = self.rng.integers(0, 256, shape).astype(np.uint8), [111], [mean]
        self.tensors.append(constant(data, f"w{len(self.tensors)}", scale=scales, zero_point=zeros, axis=axis))
        return len(self.tensors) - 1, scales

    def layer(self, kind: str, source: int, shape: Sequence[int], weight: Sequence[int], **options: Any) -> int:
        """A layer with weights, a bias and a ReLU if its zero point is 0."""
        axis = 3 if kind == "DEPTHWISE_CONV_2D" else 0
        fan_in = int(np.prod(weight[1:])) if axis == 0 else int(np.prod(weight[:3]))
        index, scales = self.weight(weight, axis, fan_in)
        bias = self.rng.integers(-3000, 3000, weight[axis]).astype(np.int32)
        per_channel = [self.tensors[source].scale[0] * scale for scale in scales]
        self.tensors.append(constant(bias, f"b{index}", scale=per_channel, zero_point=[0] * len(scales)))
        relu = options.pop("relu", False)
        result = self.tensor(shape, options.pop("scale", STEP), 0 if relu else 117)
        table = {"CONV_2D": "Conv2DOptions", "FULLY_CONNECTED": "FullyConnectedOptions"}.get(kind)
        self.operators.append(
            Operator(
                kind,
                [source, index, index + 1],
                [result],
                table or "DepthwiseConv2DOptions",
                {**options, "FusedActivationFunction": int(relu)},
            )
        )
        return result

    def op(self, kind: str, sources: Sequence[int], shape: Sequence[int], table: str = "", **options: Any) -> int:
        """An operator without weights; `like` takes the quantization of another tensor."""
        like = options.pop("like", None)
        scale, zero_point = options.pop("scale", STEP), options.pop("zero_point", 100)
        result = self.tensor(shape, scale, zero_point)
        if like is not None:
            same = self.tensors[like]
            self.tensors[result] = Tensor(shape, self.dtype, f"t{result}", scale=same.scale, zero_point=same.zero_point)
        self.operators.append(Operator(kind, sources, [result], table, options))
        return result

    def model(self, *outputs: int) -> bytes:
        """The bytes of the file."""
        return build(self.tensors, self.operators, [self.input], outputs)


WINDOW = {"Padding": SAME, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
HALVING = {**WINDOW, "StrideH": 2, "StrideW": 2}


def residual(dtype: str, gated: bool = False) -> bytes:
    """A residual block, a stride, a pool, a concatenation; with a gate, a layer behind a logistic."""
    b = Builder(dtype, (1, 16, 12, 3))
    first = b.layer("CONV_2D", b.input, (1, 16, 12, 8), (8, 3, 3, 3), relu=True, **WINDOW)
    spread = b.layer("DEPTHWISE_CONV_2D", first, (1, 16, 12, 8), (1, 3, 3, 8), DepthMultiplier=1, **WINDOW)
    second = b.layer("CONV_2D", spread, (1, 16, 12, 8), (8, 1, 1, 8), scale=0.03, **WINDOW)
    total = b.op(
        "ADD", [first, second], (1, 16, 12, 8), "AddOptions", scale=0.035, zero_point=0, FusedActivationFunction=1
    )
    pools = {"Padding": SAME, "StrideH": 2, "StrideW": 2, "FilterHeight": 2, "FilterWidth": 2}
    largest = b.op("MAX_POOL_2D", [total], (1, 8, 6, 8), "Pool2DOptions", like=total, **pools)
    strided = b.layer("CONV_2D", total, (1, 8, 6, 8), (8, 3, 3, 8), relu=True, scale=0.035, **HALVING)
    joined = b.op(
        "CONCATENATION", [largest, strided], (1, 8, 6, 16), "ConcatenationOptions", scale=0.035, zero_point=0, Axis=3
    )
    last = b.layer("CONV_2D", joined, (1, 8, 6, 8), (8, 1, 1, 16), **WINDOW)
    if not gated:
        return b.model(last, total)
    gate = b.op("LOGISTIC", [last], (1, 8, 6, 8), scale=1 / 256, zero_point=0)
    return b.model(gate, b.layer("CONV_2D", gate, (1, 8, 6, 4), (4, 3, 3, 8), scale=0.01, **WINDOW))


def classifier(dtype: str) -> bytes:
    """A mean over the map, neurons and a softmax."""
    b = Builder(dtype, (1, 12, 12, 4), seed=1)
    first = b.layer("CONV_2D", b.input, (1, 12, 12, 16), (16, 3, 3, 4), relu=True, **WINDOW)
    b.tensors.append(constant(np.array([1, 2], np.int32), "axes"))
    mean = b.op(
        "MEAN", [first, len(b.tensors) - 1], (1, 16), "ReducerOptions", scale=0.01, zero_point=0, KeepDims=False
    )
    logits = b.layer("FULLY_CONNECTED", mean, (1, 5), (5, 16), scale=0.02)
    return b.model(b.op("SOFTMAX", [logits], (1, 5), "SoftmaxOptions", scale=1 / 256, zero_point=0, Beta=1.0), logits)


def mean_of_maps(dtype: str, kind: str) -> bytes:
    """A mean of 8x8 pixels, by either operator that means it."""
    b = Builder(dtype, (1, 8, 8, 4), seed=1)
    first = b.layer("CONV_2D", b.input, (1, 8, 8, 16), (16, 3, 3, 4), relu=True, **WINDOW)
    if kind == "MEAN":
        b.tensors.append(constant(np.array([1, 2], np.int32), "axes"))
        sources = [first, len(b.tensors) - 1]
        return b.model(b.op(kind, sources, (1, 1, 1, 16), "ReducerOptions", scale=0.011, zero_point=3, KeepDims=True))
    options = {"Padding": 1, "StrideH": 8, "StrideW": 8, "FilterHeight": 8, "FilterWidth": 8}
    return b.model(b.op(kind, [first], (1, 1, 1, 16), "Pool2DOptions", like=first, **options))


def steps_from_litert(model: bytes, dtype: str, samples: int = 3, **options: Any) -> Array:
    """How far the results of a compiled model are from LiteRT's, in steps of each result's own scale."""
    compiled = kpuir.compile(import_tflite(model), **options).loaded()
    rng = np.random.default_rng(2)
    found: list[Array] = []
    for _ in range(samples):
        limits = np.iinfo(dtype)
        codes = rng.integers(limits.min, limits.max, compiled.inputs[0].shape, endpoint=True).astype(dtype)
        ours = compiled.run({compiled.inputs[0].name: codes})
        for port, array in zip(compiled.outputs, run_litert(model, [codes]), strict=True):
            assert port.codes is not None
            found.append((np.abs(ours[port.name] - port.codes.real(array)) / port.codes.scale).ravel())
    return np.concatenate(found)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_a_tflite_classifier_gives_litert_s_own_codes(dtype: str) -> None:
    assert steps_from_litert(classifier(dtype), dtype).max() < 0.01


@pytest.mark.parametrize("version", ["v3", "v4", "v5"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_means_halfway_between_two_codes(dtype: str, version: str) -> None:
    """One in 64 of these; runtimes round them in different ways, LiteRT away from its code 0."""
    assert steps_from_litert(mean_of_maps(dtype, "AVERAGE_POOL_2D"), dtype, 40, kmodel=version).max() < 0.01
    steps = steps_from_litert(mean_of_maps(dtype, "MEAN"), dtype, 10, kmodel=version)
    assert steps.max() < 1.01
    assert steps.mean() < 0.06


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_sums_are_off_by_a_step_now_and_then(dtype: str) -> None:
    """On the KPU the scales of the terms are 8-bit weights; what is computed from a sum is off by a step or two."""
    steps = steps_from_litert(residual(dtype), dtype)
    assert steps.mean() < 0.03
    assert steps.max() < 2.01


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_functions_are_more_precise_than_tables_of_codes(dtype: str) -> None:
    """LiteRT takes the logistic of 256 codes, the KPU's table that of the sums they are rounded from."""
    steps = steps_from_litert(residual(dtype, gated=True), dtype)
    assert steps.mean() < 0.3
    assert steps.max() < 3.01


KINDS = {
    "ad01_int8": "ad",
    "kws_ref_model": "mfcc",
    "pretrainedResnet_quant": "255",
    "vww_96_int8": "01",
}


@pytest.mark.parametrize("name", KINDS)
def test_published_models(name: str) -> None:
    """Within a step of LiteRT's results, or where those are less certain as near as LiteRT's own kernels are."""
    path = str(shared_file(f"models/{name}.tflite"))
    sample = _make_cases().sample
    compiled = kpuir.compile(path).loaded()
    (source,), (result,) = compiled.inputs, compiled.outputs
    assert source.codes is not None
    assert result.codes is not None
    engines = [_litert(path, reference) for reference in (False, True)]
    rng = np.random.default_rng(1)
    errors: list[float] = []
    spread: list[float] = []
    for _ in range(8):
        real = sample(rng, KINDS[name], source.shape, False)
        codes = np.clip(np.rint(real / source.codes.scale) + source.codes.zero_point, -128, 127).astype(np.int8)
        found = compiled.run({source.name: codes})[result.name]
        wanted, other = (result.codes.real(run(codes)) for run in engines)
        assert found.argmax() == wanted.argmax()
        errors.append(float(np.abs(found - wanted).mean()) / result.codes.scale)
        spread.append(float(np.abs(other - wanted).mean()) / result.codes.scale)
    assert np.mean(errors) <= max(1.0, np.mean(spread))


def _make_cases() -> Any:
    spec = importlib.util.spec_from_file_location("make_cases", shared_file("peers/make_cases.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _litert(path: str, reference: bool) -> Callable[[Array], Array]:
    """LiteRT with the kernels it takes by default, or its reference kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    interpreter: Any = Interpreter(path, num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()

    def run(codes: Array) -> Array:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], codes)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


def quantized_onnx(model: onnx.ModelProto, folder: Path, samples: Sequence[Array], **options: Any) -> Path:
    """The model as onnxruntime.quantization.quantize_static leaves it, in QDQ form."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        rest = iter([{model.graph.input[0].name: array} for array in samples])

        def get_next(self) -> dict[str, Array] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            return next(self.rest, None)

    given, made = folder / "float.onnx", folder / "qdq.onnx"
    onnx.save(model, given)
    quantize_static(str(given), str(made), Reader(), quant_format=QuantFormat.QDQ, **options)
    return made


def steps_from_onnx_runtime(path: Path, samples: Sequence[Array]) -> dict[str, float]:
    """The mean distance of each result, in steps of 255 over its range.

    ONNX Runtime computes what the file says, in floats: its integer kernels saturate in 16 bits on some processors.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    compiled = kpuir.compile(path).loaded()
    steps: dict[str, list[float]] = {}
    for x in samples:
        ours = compiled.run({compiled.inputs[0].name: x})
        results = [np.asarray(one) for one in session.run(None, {session.get_inputs()[0].name: x})]
        for output, wanted in zip(session.get_outputs(), results, strict=True):
            step = float(np.ptp(wanted)) / 255
            steps.setdefault(output.name, []).append(float(np.abs(ours[output.name] - wanted).mean()) / step)
    return {name: float(np.mean(values)) for name, values in steps.items()}


FORMATS = {
    "signed weights per channel": {"per_channel": True, "weight_type": "QInt8", "activation_type": "QUInt8"},
    "unsigned weights": {"per_channel": False, "weight_type": "QUInt8", "activation_type": "QUInt8"},
    "signed activations": {"per_channel": True, "weight_type": "QInt8", "activation_type": "QInt8"},
}


def quantization_options(case: str) -> dict[str, Any]:
    """The arguments of quantize_static."""
    from onnxruntime.quantization import QuantType

    given = FORMATS[case]
    return {name: getattr(QuantType, value) if isinstance(value, str) else value for name, value in given.items()}


def small_net() -> onnx.ModelProto:
    """A residual block, a pool and neurons."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> Array:
        return (rng.standard_normal(shape) / np.prod(shape[1:]) ** 0.5).astype(np.float32)

    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1], group=8),
        node("Add", ["c2", "r1"], ["s"]),
        node("MaxPool", ["s"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["m", "w3"], ["c3"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["c3"], ["r3"]),
        node("GlobalAveragePool", ["r3"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "w4"], ["y"], transB=1),
    ]
    constants = {"w1": weight(8, 3, 3, 3), "b1": weight(8), "w2": weight(8, 1, 3, 3), "w3": weight(12, 8, 3, 3)}
    return net(nodes, {"x": (1, 3, 16, 16)}, {**constants, "w4": weight(6, 12)})


@pytest.mark.parametrize("case", FORMATS)
def test_onnx_in_qdq_form(case: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    samples = [rng.standard_normal((1, 3, 16, 16)).astype(np.float32) for _ in range(6)]
    path = quantized_onnx(small_net(), tmp_path, samples[:3], **quantization_options(case))
    steps = steps_from_onnx_runtime(path, samples[3:])
    print(case, steps)
    assert max(steps.values()) <= 1


def test_a_published_onnx_model_in_qdq_form(tmp_path: Path) -> None:
    model = onnx.load(shared_file("models/version-slim-320_simplified.onnx"))
    names = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = 8
    model = onnx.version_converter.convert_version(model, 13)  # for scales per channel
    sample, rng = _make_cases().sample, np.random.default_rng(1)
    samples = [sample(rng, "128", (1, 3, 240, 320), True).astype(np.float32) for _ in range(3)]
    path = quantized_onnx(model, tmp_path, samples[:2], **quantization_options("signed weights per channel"))
    steps = steps_from_onnx_runtime(path, samples[2:])
    print(steps)
    assert max(steps.values()) <= 1


def test_the_side_car_tells_the_model_s_own_codes(tmp_path: Path) -> None:
    compiled = kpuir.compile(import_tflite(classifier("int8")))
    path = tmp_path / "small.kmodel"
    compiled.save(path)
    (source,) = json.loads(path.with_suffix(".json").read_text())["inputs"]
    assert source["codes"] == {"type": "int8", "scale": pytest.approx(STEP), "zero_point": -8}
    assert (source["type"], source["scale"], source["zero_point"]) == ("uint8", pytest.approx(STEP), 120)
    loaded = kpuir.load(path)
    codes = np.random.default_rng(0).integers(-128, 128, loaded.inputs[0].shape).astype(np.int8)
    real = (codes.astype(np.float32) + 8) * np.float32(STEP)
    name, result = loaded.inputs[0].name, loaded.outputs[0].name
    assert np.array_equal(loaded.run({name: codes})[result], loaded.run({name: real})[result])


def test_codes_in_a_dataset(tmp_path: Path) -> None:
    """A dataset may be codes as well, and changes nothing of what the model itself says."""
    module = import_tflite(classifier("int8"))
    codes = np.random.default_rng(0).integers(-128, 128, (3, 1, 12, 12, 4)).astype(np.int8)
    np.save(tmp_path / "codes.npy", codes)
    without = kpuir.compile(module)
    assert kpuir.compile(module, dataset=tmp_path / "codes.npy").kmodel_bytes == without.kmodel_bytes


def test_a_value_without_a_range_is_named() -> None:
    """An input that the model does not round has no range unless a dataset shows one."""
    from onnx import TensorProto

    rng = np.random.default_rng(0)
    nodes = [
        node("Conv", ["x", "w"], ["c"], node_name="plain"),
        node("QuantizeLinear", ["c", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("Conv", ["d", "w"], ["e"]),
        node("QuantizeLinear", ["e", "s", "z"], ["r"]),
        node("DequantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    weight = rng.standard_normal((3, 3, 1, 1)).astype(np.float32)
    model = net(
        nodes, {"x": (1, 3, 8, 8)}, {"w": weight, "s": np.float32(0.1), "z": np.uint8(100)}, element=TensorProto.FLOAT
    )
    module = import_onnx(model.SerializeToString())
    with pytest.raises(InvalidInputError, match="the range of its values is not known") as caught:
        kpuir.compile(module)
    assert caught.value.location == "input x"
    assert "--dataset" in str(caught.value.hint)
    dataset = [{"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32)}]
    assert kpuir.compile(module, dataset=dataset).report.kpu_layers == 2
