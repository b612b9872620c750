"""Both ways between kpuir and the released nncase 1.9; skipped, loudly, where there is no CPython 3.10 to run it."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

import kpuir
from kpuir.conversion import convert
from kpuir.dialects import kbuf
from kpuir.interpreters.kbuf import Machine
from kpuir.ir.printing import module_text
from kpuir.kmodel import v5
from kpuir.runtime import parse_module
from kpuir.target.stackvm import BINARY, NEWEST, REDUCE, UNARY, signatures
from kpuir.translate import check_loadable, read_kmodel, write_kmodel
from tests.conformance.conftest import Peer
from tests.conformance.graphs import Array, Graph, fixed, of_kinds, random_graph
from tests.conformance.operators import models
from tests.shared import shared_file

COUNT = int(os.environ.get("KPUIR_CONFORMANCE", "24"))
"""How many random graphs are compiled; the whole suite has 200."""
MODELS = (
    "pretrainedResnet.tflite",
    "kws_ref_model_float32.tflite",
    "vww_96_float.tflite",
    "ad01_fp32.tflite",
    "version-slim-320_simplified.onnx",
)


NEVER_SEEN = {"random_normal", "random_uniform", "roi_align", "sigmoid", "tflite_detection_postprocess"}
"""Functions that no test here sees: `sigmoid` is not what their compiler makes of one, the others are not executed."""


NOT_MADE = {("unary", "square")}
"""Kinds of functions that none of our graphs here is compiled to: squares are products."""


def save(path: Path, arrays: list[Array]) -> None:
    np.savez(path, *arrays)


def load(path: Path) -> list[Array]:
    with np.load(path) as found:
        return [found[f"arr_{index}"] for index in range(len(found.files))]


def prepare(folder: Path, name: str, data: bytes, machine: Machine, sample: Sequence[Array] = ()) -> list[Array]:
    """Put a kmodel and two inputs into a folder; return these: random ones, or a sample and its elements reversed."""
    (folder / f"{name}.kmodel").write_bytes(data)
    rng = np.random.default_rng(0)
    kinds = v5.read(data).modules[0].functions[0].inputs
    arrays = [np.stack([one, np.flip(one)]).astype(one.dtype if one.dtype != bool else np.uint8) for one in sample] or [
        rng.integers(0, 256, (2, *kind.shape), np.uint8)
        if dtype == np.uint8
        else rng.normal(size=(2, *kind.shape)).astype(np.float32)
        for kind, dtype in zip(kinds, machine.input_dtypes, strict=True)
    ]
    save(folder / f"{name}.inputs.npz", arrays)
    return arrays


def check(folder: Path, name: str, machine: Machine, inputs: list[Array]) -> None:
    """Compare what the simulator gave with the interpreter: bytes exactly, floats to 1e-5."""
    error = folder / f"{name}.error.txt"
    assert not error.exists(), error.read_text()
    found = load(folder / f"{name}.outputs.npz")
    for sample in range(len(inputs[0])):
        for ours, theirs in zip(machine.run([array[sample] for array in inputs]), found, strict=True):
            expected = theirs[sample].reshape(ours.shape)
            if ours.dtype != np.float32:
                np.testing.assert_array_equal(ours, expected, err_msg=name)
            else:
                bound = 1e-5 * float(np.nanmax(np.abs(expected)))
                np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=bound, err_msg=name)


def test_their_kmodels(peer: Peer, tmp_path: Path) -> None:
    """Byte-identical through the IR, and run as in their simulator."""
    for name, graph in fixed().items():
        onnx.save(graph.model(), str(tmp_path / f"{name}.onnx"))
        save(tmp_path / f"{name}.calibration.npz", [graph.samples(4)])
    operators = models()
    for name, model in operators.items():
        (tmp_path / f"{name}{model.suffix}").write_bytes(model.data)
        if model.calibrated:
            save(tmp_path / f"{name}.calibration.npz", [one[None] for one in model.inputs])
    peer("compile", tmp_path)
    machines: dict[str, tuple[Machine, list[Array]]] = {}
    for name in (*fixed(), *operators):
        error = tmp_path / f"{name}.error.txt"
        assert not error.exists(), f"{name}: {error.read_text()}"
        data = (tmp_path / f"{name}.kmodel").read_bytes()
        module = parse_module(module_text(read_kmodel(data)).encode(), "module.mlir")
        assert write_kmodel(module, "v5") == data, name
        machine = Machine(module, check=True)
        assert machine.warnings == (), name
        sample = operators[name].inputs if name in operators else ()
        machines[name] = machine, prepare(tmp_path, name, data, machine, sample)
    peer("run", tmp_path)
    for name, (machine, inputs) in machines.items():
        check(tmp_path, name, machine, inputs)
    used = {op.function.data for machine, _ in machines.values() for op in tensor_functions(machine)}
    assert signatures(NEWEST).keys() - used == NEVER_SEEN


def tensor_functions(machine: Machine) -> list[kbuf.V5TensorOp]:
    return [op for op in machine.memory.module.walk() if isinstance(op, kbuf.V5TensorOp)]


def compiled(folder: Path, name: str, graph: Graph) -> tuple[Machine, list[Array]]:
    path = folder / f"{name}.onnx"
    onnx.save(graph.model(), str(path))
    model = kpuir.compile(path, kmodel="v5", dataset=[{"x": sample} for sample in graph.samples(4)])
    machine = Machine(model.module, check=True)
    assert machine.warnings == ()
    return machine, prepare(folder, name, model.kmodel_bytes, machine)


def test_our_kmodels(peer: Peer, tmp_path: Path) -> None:
    graphs = {**fixed(), **of_kinds(), **{f"random{seed}": random_graph(seed) for seed in range(COUNT)}}
    machines = {name: compiled(tmp_path, name, graph) for name, graph in graphs.items()}
    peer("run", tmp_path)
    for name, (machine, inputs) in machines.items():
        check(tmp_path, name, machine, inputs)
    operations = [op for machine, _ in machines.values() for op in tensor_functions(machine)]
    functions = {op.function.data for op in operations}
    assert functions >= {"binary", "copy", "dequantize", "pad", "quantize", "reduce", "softmax", "unary"}
    names = {"binary": BINARY, "unary": UNARY, "reduce": REDUCE}
    kinds = {
        (op.function.data, names[op.function.data][op.values()["fields"]["op"]])
        for op in operations
        if op.function.data in names
    }
    wanted = {"binary": kbuf.BinaryKind, "unary": kbuf.UnaryKind, "reduce": kbuf.ReduceKind}
    assert {(name, one.value) for name, every in wanted.items() for one in every} - kinds == NOT_MADE


@pytest.mark.parametrize("name", MODELS)
def test_our_kmodels_of_real_models(peer: Peer, tmp_path: Path, name: str) -> None:
    path = shared_file(f"models/{name}")
    rng = np.random.default_rng(0)
    ports = kpuir.load(path).inputs
    dataset = [{port.name: rng.normal(size=port.shape).astype(np.float32) for port in ports} for _ in range(3)]
    model = kpuir.compile(path, kmodel="v5", dataset=dataset)
    machine = Machine(model.module)
    inputs = prepare(tmp_path, "model", model.kmodel_bytes, machine)
    peer("run", tmp_path)
    check(tmp_path, "model", machine, inputs)


def test_converted_kmodels(peer: Peer, tmp_path: Path) -> None:
    """kmodels of v3 and v4 as v5 in the simulator; their compiler's kmodels as v4, in our interpreter."""
    machines: dict[str, tuple[Machine, list[Array]]] = {}
    for name in ("face-detect-v3", "slim-320"):
        data = convert(shared_file(f"models/{name}.kmodel").read_bytes(), "v5").kmodel_bytes
        machine = Machine(read_kmodel(data), check=True)
        machines[name] = machine, prepare(tmp_path, name, data, machine)
    graphs = {**fixed(), **{f"random{seed}": random_graph(seed) for seed in range(COUNT // 3)}}
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name, graph in graphs.items():
        onnx.save(graph.model(), str(theirs / f"{name}.onnx"))
        save(theirs / f"{name}.calibration.npz", [graph.samples(4)])
    peer("compile", theirs)
    for name in graphs:
        data = (theirs / f"{name}.kmodel").read_bytes()
        converted = convert(data, "v4")
        assert check_loadable(converted.module) == [], name
        machine = Machine(read_kmodel(converted.kmodel_bytes), check=True)
        machines[f"theirs/{name}"] = machine, prepare(theirs, name, data, Machine(read_kmodel(data)))
    peer("run", tmp_path)
    peer("run", theirs)
    for name, (machine, inputs) in machines.items():
        check(tmp_path, name, machine, inputs)
        assert machine.warnings == (), name
