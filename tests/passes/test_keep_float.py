"""Layers that are asked to stay in float: they do, whatever they are, and the results are closer for it."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import kpuir
from kpuir.analysis.coverage import Place
from kpuir.compiler import CompiledModel
from kpuir.dialects import kpu
from kpuir.errors import UsageError
from tests.networks import Net


def network() -> Net:
    """Convolutions, a sum, a mean, a transposed convolution and a product."""
    net = Net(image=(1, 3, 16, 16))
    a = net.op("Relu", net.conv("image", 3, 8))
    b = net.op("Relu", net.conv(a, 8, 8))
    total = net.op("Relu", net.op("Add", a, b))
    mean = net.op("AveragePool", total, kernel_shape=[3, 3], strides=[3, 3])
    weight = net.weight(8, 4, 2, 2)
    up = net.op("ConvTranspose", mean, weight, strides=[2, 2])
    net.dense(net.op("Flatten", net.op("Relu", up)), 4 * 10 * 10, 10)
    return net


FEEDS = [{"image": image[None].astype(np.float32)} for image in np.random.default_rng(0).random((4, 3, 16, 16))]


def compiled(folder: Path, *layers: str, **options: bool) -> CompiledModel:
    net = network()
    path = folder / "net.onnx"
    path.write_bytes(net.model(net.nodes[-1].output[0]).SerializeToString())
    return kpuir.compile(path, dataset=FEEDS, float_layers=layers, require_kpu=options.get("require_kpu", False))


def error(folder: Path, model: CompiledModel) -> float:
    """The largest difference to ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(folder / "net.onnx"))
    exact = [np.asarray(session.run(None, feed)[0]) for feed in FEEDS]
    ours = [next(iter(model.run(feed).values())) for feed in FEEDS]
    return float(np.abs(np.stack(exact) - np.stack(ours)).max())


@pytest.mark.parametrize("kind", ["Conv", "Add", "AveragePool", "ConvTranspose", "Gemm"])
def test_layers_of_every_kind_stay_in_float(tmp_path: Path, kind: str) -> None:
    names = [node.name for node in network().nodes if node.op_type == kind]
    model = compiled(tmp_path, *names)
    for name in names:
        rows = [row for row in model.coverage if name in row.layer.split("+") and row.reason == kpu.KEPT_FLOAT]
        assert rows
        assert all(row.place is Place.CPU for row in rows)
        assert not [row for row in model.coverage if row.place is Place.KPU and name in row.layer.split("+")]
    assert error(tmp_path, model) < 0.05


def test_all_in_float_is_the_float_model(tmp_path: Path) -> None:
    model = compiled(tmp_path, "*")
    assert model.report.kpu_layers == 0
    assert error(tmp_path, model) < 1e-4 < error(tmp_path, compiled(tmp_path))


def test_a_required_kpu_does_not_contradict_what_was_asked_for(tmp_path: Path) -> None:
    assert compiled(tmp_path, "conv*", require_kpu=True).report.kpu_layers > 0


def test_unknown_layers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no layer 'conv99' to keep in float") as caught:
        compiled(tmp_path, "conv99")
    assert "did you mean conv" in str(caught.value)
