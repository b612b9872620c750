"""Instructions in an order that needs less: the same results, and what cannot be lowered stays as it is."""

import onnx
import pytest

import kpuir
from kpuir.importers.onnx import import_onnx
from tests.importers.nets import feeds
from tests.networks import QUANTIZED, Net
from tests.passes.test_spill import check_same

BEFORE = "kpu-default{until=convert-kpu-to-kbuf}"
BEHIND = "kbuf-lower{from=kbuf-spill}"


def branches() -> onnx.ModelProto:
    """Three branches through maps of 32 channels, all wide layers before all narrow ones, concatenated."""
    net = Net(x=(1, 4, 16, 16))
    wide = [net.op("Relu", net.conv("x", 4, 32)) for _ in range(3)]
    narrow = [net.op("Relu", net.conv(one, 32, 4)) for one in wide]
    return net.model(net.conv(net.op("Concat", *narrow, axis=1), 12, 4))


def test_branches_take_turns() -> None:
    model = branches()
    samples = [feeds(model, seed) for seed in range(2)]
    module = import_onnx(model.SerializeToString())
    plain = kpuir.compile(module, dataset=samples, passes=f"{BEFORE},{BEHIND}")
    ours = kpuir.compile(module, dataset=samples)
    assert ours.report.kpu_ram_peak < 0.7 * plain.report.kpu_ram_peak
    assert ours.report.main_ram_peak <= plain.report.main_ram_peak
    check_same(ours, plain, samples)


@pytest.mark.parametrize("name", ["resnet", "several"])
def test_what_is_best_already_stays(name: str) -> None:
    model = QUANTIZED[name]()
    samples = [feeds(model, seed) for seed in range(2)]
    module = import_onnx(model.SerializeToString())
    plain = kpuir.compile(module, dataset=samples, passes=f"{BEFORE},{BEHIND}")
    ours = kpuir.compile(module, dataset=samples)
    assert ours.kmodel_bytes == plain.kmodel_bytes
