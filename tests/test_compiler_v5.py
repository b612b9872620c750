"""Models compiled to kmodel v5: for each release of the runtime, with the numbers of kmodel v4."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

import kpuir
from kpuir.compiler import CompiledModel
from kpuir.dialects import kbuf
from kpuir.errors import UsageError
from kpuir.importers.onnx import import_onnx
from kpuir.ir.printing import module_text
from kpuir.kmodel import v5
from kpuir.kmodel.info import describe
from kpuir.runtime import from_module, parse_module
from kpuir.target.firmware import FIRMWARES, broken_rules
from kpuir.target.stackvm import RELEASES, signatures
from kpuir.translate import check_loadable, kmodel_v5, read_kmodel, write_kmodel
from tests import networks

DIGITS = Path(__file__).parents[1] / "examples/digits"


def compiled(**options: Any) -> CompiledModel:
    return kpuir.compile(DIGITS / "digits.onnx", dataset=DIGITS / "calibration", samples=8, **options)


@pytest.fixture(scope="module")
def sample() -> dict[str, np.ndarray]:
    with np.load(DIGITS / "test.npz") as data:
        return {"image": data["image"][:1]}


@pytest.mark.parametrize("release", RELEASES)
def test_every_release(release: str, sample: dict[str, np.ndarray], tmp_path: Path) -> None:
    model = compiled(kmodel="v5", runtime=release)
    expected = compiled(kmodel="v4").run(sample)["scores"]
    np.testing.assert_allclose(model.run(sample)["scores"], expected, rtol=1e-5, atol=1e-6)
    file = v5.read(model.kmodel_bytes)
    used = {one.function for one in file.modules[0].functions[0].code if isinstance(one, v5.Operation)}
    assert used <= signatures(release).keys()
    assert ("softmax" in used) == ("softmax" in signatures(release))
    model.save(tmp_path / "x.kmodel")
    loaded = kpuir.load(tmp_path / "x.kmodel", check=True)
    np.testing.assert_array_equal(loaded.run(sample)["scores"], model.run(sample)["scores"])
    assert loaded.warnings == []


def test_a_file_goes_through_the_ir() -> None:
    model = compiled(kmodel="v5")
    text = module_text(read_kmodel(model.kmodel_bytes))
    assert write_kmodel(parse_module(text.encode(), "x.mlir")) == model.kmodel_bytes
    assert model.kmodel_bytes == compiled(kmodel="v5").kmodel_bytes
    info = describe(model.kmodel_bytes)
    assert info.version == "v5, runtime 1.9"
    assert info.inputs == ("1x1x16x16 uint8 256 bytes",)
    assert [line.mnemonic for line in info.instructions if line.where == "KPU"] == ["kpu_conv2d"] * 15
    assert info.warnings == ()


def test_layers_that_send_their_results_themselves(sample: dict[str, np.ndarray]) -> None:
    """No compiler writes such, but runtimes do it: in place of a download."""
    model = v5.read(compiled(kmodel="v5").kmodel_bytes)
    stackvm, k210 = model.modules
    functions: list[v5.Function] = []
    for function in k210.functions:
        *code, layer, download = function.code
        assert isinstance(layer, v5.KpuConv2d)
        assert isinstance(download, v5.KpuDownload)
        registers = replace(layer.registers, send_data_out=1)
        sending = replace(layer, main_output=download.output, registers=registers)
        functions.append(replace(function, code=(*code, sending)))
    data = v5.write(replace(model, modules=(stackvm, replace(k210, functions=tuple(functions)))))
    assert [line.operands for line in describe(data).instructions if ", output+0" in line.operands]
    module = read_kmodel(data)
    assert check_loadable(module) == []
    assert write_kmodel(parse_module(module_text(module).encode(), "x.mlir")) == data
    image = from_module(read_kmodel(data)).inputs[0]
    bytes_in = {image.name: (sample["image"] * 255).astype(np.uint8).reshape(image.shape)}
    expected = from_module(read_kmodel(v5.write(model))).run(bytes_in)
    np.testing.assert_equal(from_module(module).run(bytes_in), expected)


def test_calls_with_many_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers for their shapes run out, so the KPU may be called several times in a row; maps stay in KPU RAM."""
    net = networks.Net(0, image=(1, 1, 8, 8))
    names = ["image"]
    for _ in range(3):
        names.append(net.op("Relu", net.conv(names[-1], 1, 1)))
    module, sample = (
        import_onnx(net.model(*names[1:]).SerializeToString()),
        {"image": np.ones((1, 1, 8, 8), np.float32)},
    )
    whole = kpuir.compile(module, dataset=[sample], kmodel="v5")
    monkeypatch.setattr(kmodel_v5, "_MOST_ARGUMENTS", 3)
    parts = kpuir.compile(module, dataset=[sample], kmodel="v5")
    found = [len(v5.read(one.kmodel_bytes).modules[1].functions) for one in (whole, parts)]
    assert found[0] == 1 < found[1]
    again = from_module(read_kmodel(parts.kmodel_bytes), sidecar=parts.sidecar, check=True)
    for name, array in whole.run(sample).items():
        np.testing.assert_array_equal(again.run(sample)[name], array)


def test_what_the_report_says() -> None:
    model = compiled(kmodel="v5")
    places = {one.operation: one.place for one in model.coverage}
    assert places["kbuf.kpu_download"] == "transfer"
    assert places["kbuf.v5_tensor<softmax>"] == "CPU"
    assert model.report.cpu_ops == {"dequantize": 1, "softmax": 1}


def one_node(
    path: Path, node: onnx.NodeProto, weights: np.ndarray, source: list[int], result: list[int | None]
) -> Path:
    """A model of one node from `x` to `y`, with the constant `w`."""
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", source), ("y", result))
    )
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path / "x.onnx")
    return path / "x.onnx"


def test_products_before_1_3(tmp_path: Path) -> None:
    """They become convolutions with constant weights; of two computed matrices there is none."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 3)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    path = one_node(tmp_path, node, weights, [1, 6], [1, 3])
    samples = [{"x": rng.normal(size=(1, 6)).astype(np.float32)} for _ in range(4)]
    options: dict[str, Any] = {"dataset": samples, "kmodel": "v5", "float_layers": ("product",)}
    new, old = (kpuir.compile(path, runtime=release, **options) for release in ("1.9", "1.2"))
    functions = [
        [op.function.data for op in model.module.walk() if isinstance(op, kbuf.V5TensorOp)] for model in (new, old)
    ]
    assert functions == [["matmul"], ["conv2d"]]
    np.testing.assert_allclose(old.run(samples[0])["y"], new.run(samples[0])["y"], rtol=1e-5)


def test_wrong_releases() -> None:
    with pytest.raises(UsageError, match=r"no release '2\.0'"):
        compiled(kmodel="v5", runtime="2.0")
    with pytest.raises(UsageError, match="for kmodel v5 only, not for v4"):
        compiled(runtime="1.9")
    with pytest.raises(UsageError, match=r"sdk-develop comes with runtime 1\.0-beta, not 1\.9"):
        compiled(kmodel="v5", firmware="sdk-develop", runtime="1.9")


def test_a_firmware_says_the_release() -> None:
    model = compiled(kmodel="v5", firmware="sdk-develop")
    assert model.kmodel_bytes == compiled(kmodel="v5", runtime="1.0-beta").kmodel_bytes
    taken = FIRMWARES["sdk-develop"]
    assert broken_rules(taken, model.demands) == []
    assert broken_rules(taken, compiled(kmodel="v5").demands) == [
        "it comes with runtime 1.0-beta, this is for 1.6, 1.7, 1.8, 1.9"
    ]


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2, 2], "dilations": [2, 2]},
        {"strides": [3, 1], "pads": [2, 0, 1, 2], "output_padding": [2, 0]},
        {"strides": [1, 1], "group": 2, "pads": [1, 1, 1, 1]},
        {"strides": [2, 4]},
    ],
)
def test_transposed_convolutions_on_the_cpu(tmp_path: Path, attributes: dict[str, Any]) -> None:
    """Zeros between the pixels, and a convolution; runtimes of v5 have no other way."""
    rng = np.random.default_rng(0)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up", **attributes)
    weights = rng.normal(size=(4, 2, 3, 3)).astype(np.float32)
    path = one_node(tmp_path, node, weights, [1, 4, 5, 6], [1, 2 * attributes.get("group", 1), None, None])
    sample = {"x": rng.normal(size=(1, 4, 5, 6)).astype(np.float32)}
    options: dict[str, Any] = {"dataset": [sample], "kmodel": "v5", "float_layers": ("up",), "input_type": "float32"}
    expected = np.asarray(InferenceSession(str(path)).run(None, sample)[0])
    for release in ("1.0-beta", "1.1", "1.9"):  # before 1.1 nothing can be put between elements but by copies
        found = kpuir.compile(path, runtime=release, **options).run(sample)["y"]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
