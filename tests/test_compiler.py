"""Models of every family, compiled, run in the checking machine and compared with ONNX Runtime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import kpuir
from kpuir import pipelines
from kpuir.analysis.overlaps import find_overlaps
from kpuir.compiler import CompiledModel
from kpuir.errors import DoesNotFitError, InvalidInputError, KpuirError, UnsupportedError
from kpuir.importers.onnx import import_onnx
from kpuir.interpreters.run import run
from kpuir.kmodel import v4
from kpuir.named_pipelines import PIPELINES
from kpuir.runtime import tensor_ports
from kpuir.translate import read_kmodel, write_kmodel
from tests.importers.nets import feeds, runtime
from tests.networks import FLOATS, QUANTIZED, Net, functions
from tests.passes.graphs import random_graph, samples_of
from tools.check_stages import check_stages

Array = NDArray[Any]


def cosine(ours: Array, theirs: Array) -> float:
    a, b = ours.ravel().astype(np.float64), theirs.ravel().astype(np.float64)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))


def saved(path: Path, samples: Sequence[Mapping[str, Array]]) -> Path:
    """The samples as a file."""
    arrays: dict[str, Any] = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
    np.savez(path, **arrays)
    return path


def compiled(model: onnx.ModelProto, path: Path, samples: Sequence[Mapping[str, Array]]) -> CompiledModel:
    """The model, compiled from a file; the result is saved beside it and everything that holds for all is checked."""
    onnx.save(model, path)
    result = kpuir.compile(path, dataset=samples)
    result.save(path.with_suffix(".kmodel"))
    assert find_overlaps(result.module) == []
    assert write_kmodel(read_kmodel(result.kmodel_bytes), "v4") == result.kmodel_bytes
    check_safety(v4.read(result.kmodel_bytes), result.kmodel_bytes)
    return result


def check_safety(model: v4.Model, data: bytes) -> None:
    """Rules of the file itself (kmodel-v4.md 1.3, 2, 17), from its bytes alone."""
    assert v4.write(model) == data
    assert len(data) % 8 == 0
    sizes = {v4.MemoryType.CONST: len(model.constants), v4.MemoryType.MAIN: model.main_bytes, v4.MemoryType.KPU: 2**21}
    assert sizes[v4.MemoryType.CONST] % 8 == sizes[v4.MemoryType.MAIN] % 8 == 0
    fields = [value for node in model.nodes for value in vars(node).values()]
    nested = [value for field in fields if isinstance(field, tuple) for value in field]
    ranges = [value for value in [*fields, *nested, *model.outputs] if isinstance(value, v4.MemoryRange)]
    for memory in [*ranges, *(memory for memory, _ in model.inputs)]:
        assert memory.start % (64 if memory.memory is v4.MemoryType.KPU else 8) == 0
        assert memory.start + memory.size <= sizes[memory.memory]
    assert all(memory.memory is v4.MemoryType.MAIN for memory in model.outputs)


def check_outputs(result: CompiledModel, model: onnx.ModelProto, path: Path, samples: list[dict[str, Array]]) -> float:
    """The lowest mean cosine of an output over the samples; the saved file gives what the compiled model does."""
    machine, loaded = result.loaded(check=True), kpuir.load(path.with_suffix(".kmodel"))
    cosines: list[list[float]] = []
    for sample in samples:
        ours, theirs = machine.run(sample), runtime(model, sample)
        assert [array.shape for array in ours.values()] == [array.shape for array in theirs]
        cosines.append([cosine(a, b) for a, b in zip(ours.values(), theirs, strict=True)])
        for name, array in loaded.run(sample).items():
            np.testing.assert_array_equal(array, ours[name])
    assert machine.warnings == []
    return float(np.mean(cosines, axis=0).min())


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized(name: str, tmp_path: Path) -> None:
    model, path = QUANTIZED[name](), tmp_path / f"{name}.onnx"
    samples = [feeds(model, seed) for seed in range(4)]
    result = compiled(model, path, samples)
    assert result.report.kpu_layers > 0
    assert check_outputs(result, model, path, samples) >= 0.98
    assert kpuir.compile(path, dataset=samples).kmodel_bytes == result.kmodel_bytes


@pytest.mark.parametrize("name", FLOATS)
def test_without_the_kpu(name: str, tmp_path: Path) -> None:
    model, path = FLOATS[name](), tmp_path / f"{name}.onnx"
    samples = [feeds(model, seed) for seed in range(2)]
    result = compiled(model, path, samples)
    assert result.report.kpu_layers == 0
    check_outputs(result, model, path, samples)
    for sample in samples:
        for ours, theirs in zip(result.run(sample).values(), runtime(model, sample), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * max(1.0, float(np.abs(theirs).max())))


@pytest.mark.parametrize("seed", range(30, 36))
def test_random_networks(seed: int, tmp_path: Path) -> None:
    """The machine gives what the quantized kpu level does, and that is close to the float network."""
    rng = np.random.default_rng(seed)
    module = random_graph(rng)
    wanted = module.clone()
    (name,) = (port.name for port in tensor_ports(module)[0])
    samples = [{name: samples_of(module, rng)[0]} for _ in range(4)]
    data = saved(tmp_path / "samples.npz", samples)
    passes = pipelines.parse_passes(f'kpu-default{{until=kpu-select-registers dataset="{data}"}}', lambda: PIPELINES)
    pipelines.run_passes(pipelines.make_context(), module, passes)
    result = kpuir.compile(module, passes="kpu-default{from=ktensor-decompose-arithmetic}")
    assert find_overlaps(result.module) == []
    machine, (port,) = result.loaded(check=True), tensor_ports(module)[0]
    cosines: list[list[float]] = []
    for sample in samples:
        given = [port.to_kmodel(sample[name])]
        ours, level = machine.run_raw(given), run(module, given)
        # Not all equal: the runtime's quantize rounds ties, which bilinear resizes make plenty of, away from zero.
        assert min(cosine(a, b) for a, b in zip(ours, level, strict=True)) >= 0.9995
        cosines.append([cosine(a, b) for a, b in zip(ours, run(wanted, list(sample.values())), strict=True)])
    assert machine.warnings == []
    assert np.mean(cosines, axis=0).min() >= 0.98


@pytest.mark.parametrize("name", ["several", "tiny", "mlp"])
def test_stages_are_text(name: str, tmp_path: Path) -> None:
    """Every stage parses and prints as it was, and kpu-opt's machinery on that text gives the API's next stage."""
    model = QUANTIZED[name]()
    data = saved(tmp_path / "samples.npz", [feeds(model, seed) for seed in range(2)])
    onnx.save(model, tmp_path / "model.onnx")
    assert check_stages(tmp_path / "model.onnx", data) == []


def refused(net: Net, tmp_path: Path, *outputs: str) -> KpuirError:
    model = net.model(*outputs)
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(KpuirError) as error:
        kpuir.compile(tmp_path / "model.onnx", dataset=[feeds(model)])
    return error.value


def test_all_layers_no_instruction_does_are_reported_at_once(tmp_path: Path) -> None:
    net = Net(a=(2, 1, 2, 1, 2, 1), b=(1, 2, 1, 2, 1, 2))
    first = net.op("Add", "a", "b")
    second = net.op("Mul", net.op("Exp", "a"), "b")
    error = refused(net, tmp_path, first, second)
    assert isinstance(error, UnsupportedError)
    assert [layer for layer, _ in error.problems] == [first, second]


def test_a_layer_too_large_for_kpu_ram_is_named_with_both_sizes(tmp_path: Path) -> None:
    """4 rows are the fewest of a layer, and so the smallest band."""
    net = Net(x=(1, 4, 8, 512))
    first = net.conv("x", 4, 600)
    wide = net.conv(first, 600, 600, kernel=1)
    error = refused(net, tmp_path, net.conv(wide, 600, 4, kernel=1))
    assert isinstance(error, DoesNotFitError)
    assert error.location == wide
    assert str(600 * 8 * 512) in error.message
    assert "2097152" in error.message


def test_a_layer_too_large_for_main_ram_is_named_with_both_sizes(tmp_path: Path) -> None:
    net = Net(x=(1, 3, 500, 500))
    error = refused(net, tmp_path, net.conv("x", 3, 16))
    assert isinstance(error, DoesNotFitError)
    assert error.location == "conv0"
    assert str(500 * 500 * 16 * 4) in error.message
    assert "6291456" in error.message


def test_too_many_weights_are_refused_with_both_sizes(tmp_path: Path) -> None:
    net = Net(x=(1, 4000))
    error = refused(net, tmp_path, net.dense("x", 4000, 1700))
    assert isinstance(error, DoesNotFitError)
    assert error.location == "gemm0"
    assert "6291456" in error.message


@pytest.mark.parametrize("channels", [128, 256])
def test_residuals_whose_maps_kpu_ram_does_not_hold_are_added_in_bands(channels: int) -> None:
    """Two maps and their sum of 256x56x56 take 2752512 bytes, those of 128x56x56 half of it."""
    net = Net(image=(1, 16, 56, 56))
    x = net.op("Relu", net.conv("image", 16, channels, 1))
    deep = net.conv(net.op("Relu", net.conv(x, channels, 32, 1)), 32, channels, 1)
    x = net.op("Relu", net.op("Add", x, deep))
    module = import_onnx(net.model(net.conv(x, channels, 4, 1)).SerializeToString())
    sample = {"image": np.random.default_rng(0).random((1, 16, 56, 56)).astype(np.float32)}
    compiled = kpuir.compile(module, dataset=[sample])
    assert "quantized_binary" not in compiled.report.cpu_ops


def test_what_stays_on_the_cpu_needs_no_dataset(tmp_path: Path) -> None:
    path = tmp_path / "functions.onnx"
    onnx.save(functions(), path)
    compiled = kpuir.compile(path)
    assert compiled.report.kpu_layers == 0
    with pytest.raises(InvalidInputError, match="the range of its values is not known"):
        kpuir.compile(path, input_type="uint8")
