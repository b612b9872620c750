"""Both ways between kpuir and the released nncase 1.9; skipped, loudly, where there is no CPython 3.10 to run it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from xdsl.dialects.builtin import ModuleOp, f32
from xdsl.ir import Attribute
from xdsl.irdl import VerificationContext
from xdsl.utils.exceptions import VerifyException

import kpuir
from kpuir.conversion import convert
from kpuir.dialects import kbuf
from kpuir.dialects.kbuf.base import Choice, property_kinds
from kpuir.dialects.ktensor import ActivationKind
from kpuir.importers import import_model
from kpuir.interpreters.kbuf import Machine
from kpuir.ir.printing import module_text
from kpuir.kmodel import v5
from kpuir.kmodel.layer import unpack_activation
from kpuir.passes.kbuf_legalize_v5 import FORMS
from kpuir.runtime import parse_module, tensor_ports
from kpuir.target.k210 import PoolKind
from kpuir.target.stackvm import NEWEST, signatures
from kpuir.translate import check_loadable, read_kmodel, write_kmodel
from tests.conformance.conftest import Peer
from tests.conformance.graphs import Array, Graph, fixed, of_kinds, random_graph
from tests.conformance.modules import activations, instructions, with_layers
from tests.conformance.operators import models
from tests.shared import shared_file

COUNT = int(os.environ.get("KPUIR_CONFORMANCE", "4"))
"""How many random graphs are compiled; the whole suite has 200."""
MODELS = (
    "pretrainedResnet.tflite",
    "kws_ref_model_float32.tflite",
    "vww_96_float.tflite",
    "ad01_fp32.tflite",
    "version-slim-320_simplified.onnx",
)
DIGITS = Path(__file__).parents[2] / "examples/digits"


NEVER_SEEN = {"random_normal", "random_uniform", "sigmoid", "tflite_detection_postprocess"}
"""Functions that no test here sees: `sigmoid` is not what their compiler makes of one, random numbers are not executed,
and detections are compared with what the simulator gave in `tests/interpreters/test_v5_functions.py`."""


def save(path: Path, arrays: Sequence[Array]) -> None:
    np.savez(path, *arrays)


def load(path: Path) -> list[Array]:
    with np.load(path) as found:
        return [found[f"arr_{index}"] for index in range(len(found.files))]


@dataclass(frozen=True)
class Case:
    """A kmodel in our interpreter, and inputs for it, the samples on the first axis."""

    machine: Machine
    inputs: Sequence[Array]


def case(path: Path, data: bytes, machine: Machine, inputs: Sequence[Array] | int = 2) -> Case:
    """Put a kmodel with inputs, or so many random ones, where their simulator finds it."""
    path.with_suffix(".kmodel").write_bytes(data)
    rng = np.random.default_rng(0)
    kinds = v5.read(data).modules[0].functions[0].inputs
    if isinstance(inputs, int):
        inputs = [
            rng.integers(0, 256, (inputs, *kind.shape), np.uint8)
            if dtype == np.uint8
            else rng.normal(size=(inputs, *kind.shape)).astype(np.float32)
            for kind, dtype in zip(kinds, machine.input_dtypes, strict=True)
        ]
    save(path.with_suffix(".inputs.npz"), inputs)
    return Case(machine, inputs)


def both(path: Path, module: ModuleOp, inputs: Sequence[Array] | int = 2) -> dict[Path, Case]:
    """A module as a kmodel, and if the KPU has layers in it the same with what each of them gives as an output."""
    opened = {path.with_name(f"{path.name}_layers"): with_layers(module)} if kpu_layers(module) else {}
    cases: dict[Path, Case] = {}
    for name, one in {path: module, **opened}.items():
        machine = Machine(one, check=True)
        assert machine.warnings == (), name
        cases[name] = case(name, write_kmodel(one), machine, inputs)
    return cases


def kpu_layers(module: ModuleOp) -> list[kbuf.KpuConv2dOp]:
    return [op for op in module.walk() if isinstance(op, kbuf.KpuConv2dOp)]


def check(cases: Mapping[Path, Case]) -> None:
    """Compare what the simulator gave with the interpreter: bytes and integers exactly, floats to 1e-5.

    That is of the element, or of the largest one where it is smaller: see docs/conformance.md.
    """
    for path, one in cases.items():
        error = path.with_suffix(".error.txt")
        assert not error.exists(), f"{path.name}: {error.read_text()}"
        found = load(path.with_suffix(".outputs.npz"))
        for sample in range(len(one.inputs[0])):
            for ours, theirs in zip(one.machine.run([array[sample] for array in one.inputs]), found, strict=True):
                expected = theirs[sample].reshape(ours.shape)
                if ours.dtype != np.float32:
                    np.testing.assert_array_equal(ours, expected, err_msg=path.name)
                else:
                    bound = 1e-5 * float(np.nanmax(np.abs(expected)))
                    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=bound, err_msg=path.name)


def test_their_kmodels(peer: Peer, tmp_path: Path) -> None:
    """Byte-identical through the IR, and run as in their simulator."""
    graphs = {**fixed(), **{f"random{seed}": random_graph(seed) for seed in range(COUNT)}}
    for name, graph in graphs.items():
        onnx.save(graph.model(), str(tmp_path / f"{name}.onnx"))
        save(tmp_path / f"{name}.calibration.npz", [graph.samples(4)])
    operators = models()
    for name, model in operators.items():
        (tmp_path / f"{name}{model.suffix}").write_bytes(model.data)
        if model.calibrated:
            save(tmp_path / f"{name}.calibration.npz", [one[None] for one in model.inputs])
    peer("compile", tmp_path)
    cases: dict[Path, Case] = {}
    used: set[str] = set()
    for name in (*graphs, *operators):
        error = tmp_path / f"{name}.error.txt"
        assert not error.exists(), f"{name}: {error.read_text()}"
        data = (tmp_path / f"{name}.kmodel").read_bytes()
        module = read_kmodel(data)
        functions = {op.function.data for op in tensor_functions(module)}
        if not used >= functions:  # a first one of each goes through the text too
            module = parse_module(module_text(module).encode(), "module.mlir")
        used |= functions
        assert write_kmodel(module, "v5") == data, name
        sample = [flipped(one) for one in operators[name].inputs] if name in operators else 2
        cases |= both(tmp_path / name, module, sample)
    peer("run", tmp_path)
    check(cases)
    assert signatures(NEWEST).keys() - used == NEVER_SEEN


def flipped(array: Array) -> Array:
    """A sample, and another with its elements reversed; the simulator takes bytes for bools."""
    return np.stack([array, np.flip(array)]).astype(np.uint8 if array.dtype == bool else array.dtype)


def tensor_functions(module: ModuleOp) -> list[kbuf.V5TensorOp]:
    return [op for op in module.walk() if isinstance(op, kbuf.V5TensorOp)]


Form = tuple[Any, ...]
"""An instruction of the CPU, the type of its elements, and what else there is to choose."""


def forms() -> set[Form]:
    """All that `kbuf-legalize-v5` makes functions of kmodel v5 of."""
    found: set[Form] = set()
    for kind in FORMS:
        elements = {element for element in (f32, kbuf.UI8) if takes(kind, element)}
        choices = [list(one.kind.enum_type) for one in property_kinds(kind).values() if isinstance(one, Choice)]
        found |= set(product([kind.name], elements, *choices))
    return found


def takes(kind: type[kbuf.InstructionOp], element: Attribute) -> bool:
    """Whether an instruction's first operand may have such elements."""
    _, definition = kind.get_irdl_definition().operands[0]
    try:
        definition.constr.verify([kbuf.buffer_type((4,), element, kbuf.Space.MAIN)], VerificationContext())
    except VerifyException:
        return False
    return True


@pytest.fixture
def legalized(monkeypatch: pytest.MonkeyPatch) -> set[Form]:
    """The forms of what is compiled while this is in use."""
    found: set[Form] = set()

    def recording(form: Callable[[Any, Any, Any], None]) -> Callable[[Any, Any, Any], None]:
        def record(emitter: Any, op: kbuf.InstructionOp, fields: Any) -> None:
            kinds, buffer = property_kinds(type(op)), cast("kbuf.BufferType", op.buffers()[0][1].type)
            choices = [getattr(fields, name) for name, one in kinds.items() if isinstance(one, Choice)]
            found.add((op.name, buffer.element_type, *choices))
            form(emitter, op, fields)

        return record

    for kind, form in FORMS.items():
        monkeypatch.setitem(FORMS, kind, recording(form))
    return found


def compiled(path: Path, graph: Graph) -> ModuleOp:
    onnx.save(graph.model(), str(path))
    samples = [{"x": sample} for sample in graph.samples(1)]
    return kpuir.compile(path, kmodel="v5", dataset=samples, float_layers=graph.in_float).module


def test_our_kmodels(peer: Peer, tmp_path: Path, legalized: set[Form]) -> None:
    """Every instruction of the CPU and every pool of the KPU, and random graphs; each layer of the KPU by itself."""
    graphs = {**fixed(), **of_kinds(), **{f"random{seed}": random_graph(seed) for seed in range(COUNT)}}
    modules = {name: compiled(tmp_path / f"{name}.onnx", graph) for name, graph in graphs.items()}
    modules["instructions"] = instructions()
    cases = {path: one for name, module in modules.items() for path, one in both(tmp_path / name, module).items()}
    peer("run", tmp_path)
    check(cases)
    assert legalized == forms()
    registers = [op.registers.data for module in modules.values() for op in kpu_layers(module)]
    assert {PoolKind.of_code(one.pool_type) for one in registers} == set(PoolKind)
    assert {(one.kernel_size, one.depthwise) for one in registers} == set(product((1, 3), (False, True)))


def test_activations(peer: Peer, tmp_path: Path) -> None:
    """Every function that a layer of the KPU can have in its table, decreasing ones as well."""
    rounding = [ActivationKind.FAKE_QUANTIZE]  # makes quantized models of float ones
    cases: dict[Path, Case] = {}
    falls = False
    for kinds in ([kind for kind in ActivationKind if kind not in rounding], rounding):
        source = activations(kinds)
        name = tensor_ports(source)[0][0].name
        samples = np.random.default_rng(1).normal(size=(4, 1, 3, 8, 8)).astype(np.float32)
        module = kpuir.compile(source, kmodel="v5", dataset=[{name: sample} for sample in samples]).module
        assert {op.function.data for op in tensor_functions(module)} == {"quantize", "dequantize"}
        assert len(kpu_layers(module)) == len(kinds)
        falls |= any((unpack_activation(op.values()["activation"]).mul < 0).any() for op in kpu_layers(module))
        cases |= both(tmp_path / f"{len(kinds)}_functions", module)
    peer("run", tmp_path)
    check(cases)
    assert falls


def theirs(
    peer: Peer, path: Path, model: Path, calibration: Array, inputs: Sequence[Array] | int = 1
) -> dict[Path, Case]:
    """The kmodel that their compiler makes of a model with one input."""
    data = model.read_bytes()
    if model.suffix == ".onnx":
        data = onnx.shape_inference.infer_shapes(onnx.load_from_string(data)).SerializeToString()
    path.with_suffix(model.suffix).write_bytes(data)
    save(path.with_suffix(".calibration.npz"), [calibration])
    peer("compile", path.parent)
    kmodel = path.with_suffix(".kmodel").read_bytes()
    module = read_kmodel(kmodel)
    assert write_kmodel(module, "v5") == kmodel
    return both(path, module, inputs)


def test_the_example(peer: Peer, tmp_path: Path) -> None:
    path = DIGITS / "digits.onnx"
    with np.load(DIGITS / "test.npz") as test:
        images: Array = test["image"][:20, np.newaxis].astype(np.float32)
    model = kpuir.compile(path, kmodel="v5", dataset=DIGITS / "calibration")
    octets = np.concatenate([model.loaded().to_kmodel({"image": image}) for image in images])
    cases = theirs(peer, tmp_path / "theirs", path, images, [images])
    cases |= both(tmp_path / "ours", model.module, [octets])
    peer("run", tmp_path)
    check(cases)


@pytest.mark.parametrize("name", MODELS)
def test_real_models(peer: Peer, tmp_path: Path, name: str) -> None:
    path = shared_file(f"models/{name}")
    source = import_model(path)
    [port], _ = tensor_ports(source)
    sample = np.random.default_rng(0).normal(size=port.shape).astype(np.float32)
    cases = theirs(peer, tmp_path / "theirs", path, sample[np.newaxis])
    cases |= both(tmp_path / "ours", kpuir.compile(source, kmodel="v5", dataset=[{port.name: sample}]).module, 1)
    peer("run", tmp_path)
    check(cases)


def test_converted_kmodels(peer: Peer, tmp_path: Path) -> None:
    """kmodels of v3 and v4 as v5 in the simulator; their compiler's kmodels as v4, in our interpreter.

    v4 rounds a number to a byte before it adds the zero point, v5 after that: one in the middle of two bytes may become
    the other one. These samples have none.
    """
    cases: dict[Path, Case] = {}
    for name in ("face-detect-v3", "slim-320"):
        module = with_layers(convert(shared_file(f"models/{name}.kmodel").read_bytes(), "v5").module)
        cases[tmp_path / name] = case(tmp_path / name, write_kmodel(module), Machine(module, check=True), 1)
    graphs = {**fixed(), **{f"random{seed}": random_graph(seed) for seed in range(4)}}
    for name, graph in graphs.items():
        onnx.save(graph.model(), str(tmp_path / f"{name}.onnx"))
        save(tmp_path / f"{name}.calibration.npz", [graph.samples(4)])
    peer("compile", tmp_path)
    for name in graphs:
        data = (tmp_path / f"{name}.kmodel").read_bytes()
        converted = convert(data, "v4")
        assert check_loadable(converted.module) == [], name
        machine = Machine(read_kmodel(converted.kmodel_bytes), check=True)
        cases[tmp_path / name] = case(tmp_path / name, data, machine)
    peer("run", tmp_path)
    check(cases)
    assert all(one.machine.warnings == () for one in cases.values())
