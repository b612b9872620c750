"""Errors of each layer, on nets where one layer is spoilt: it is the one that is named, with the cause."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, f64

import kpuir
from kpuir.analysis.layer_errors import (
    MOST_SNR,
    LayerError,
    counterparts,
    first_break,
    layer_errors,
    number_layers,
    numbered_values,
    snr,
)
from kpuir.dialects import kpu
from kpuir.importers.onnx import import_onnx
from kpuir.ir.functions import entry_function
from kpuir.named_pipelines import PIPELINES
from kpuir.pipelines import make_context, parse_passes, run_passes
from tests.networks import Net

FLOAT = "ktensor-simplify,kpu-legalize,kpu-calibrate"
QUANTIZE = "kpu-quantize,canonicalize,kpu-place,dce,kpu-select-registers,dce"
Change = Callable[[list[kpu.Conv2dOp]], None]


def chain(outputs: int = 8) -> Net:
    """Three convolutions, each with a ReLU."""
    net, value, channels = Net(image=(1, 3, 16, 16)), "image", 3
    for _ in range(3):
        value, channels = net.op("Relu", net.conv(value, channels, outputs)), outputs
    return net


def samples(count: int = 3) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(0)
    return [[rng.random((1, 3, 16, 16)).astype(np.float32)] for _ in range(count)]


def run_text(module: ModuleOp, text: str) -> None:
    run_passes(make_context(), module, parse_passes(text, lambda: PIPELINES))


def errors(folder: Path, change: Change | None = None) -> list[LayerError]:
    """The errors of the chain's layers, with something changed before it is quantized."""
    net = chain()
    module = import_onnx(net.model(net.nodes[-1].output[0]).SerializeToString())
    np.save(folder / "data.npy", np.concatenate([sample[0] for sample in samples()]))
    run_text(module, FLOAT.replace("calibrate", f'calibrate{{dataset="{folder}/data.npy"}}'))
    number_layers(module)
    floats = module.clone()
    if change is not None:
        change([op for op in module.walk() if isinstance(op, kpu.Conv2dOp)])
    run_text(module, QUANTIZE)
    return layer_errors(floats, module, samples())


def shrink(index: int, factor: float) -> Change:
    """Let a layer have a part of its range."""

    def change(convs: list[kpu.Conv2dOp]) -> None:
        bounds = convs[index].attributes[kpu.RANGE]
        assert isinstance(bounds, DenseArrayBase)
        ends = [float(value) * factor for value in bounds.get_values()]
        convs[index].attributes[kpu.RANGE] = DenseArrayBase.from_list(f64, ends)

    return change


def test_a_good_net_does_not_break(tmp_path: Path) -> None:
    found = errors(tmp_path)
    assert [error.operation for error in found] == ["input", "conv2d", "conv2d", "conv2d"]
    assert [error.reads for error in found] == [(), (0,), (1,), (2,)]
    assert first_break(found) is None
    for error in found:
        assert error.own_snr is not None
        assert 30 < error.snr <= error.own_snr + 1 < 70
        assert error.chosen_range is not None
        assert error.chosen_range[1] == pytest.approx(error.float_range[1], rel=0.2)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_clipped_layer_is_named(tmp_path: Path, index: int) -> None:
    found = errors(tmp_path, shrink(index, 0.1))
    broken = first_break(found)
    assert broken is not None
    assert broken.error is found[index + 1]
    assert "outside of the chosen range" in broken.cause
    assert broken.error.layer in str(broken)
    assert broken.error.clipped > 0.1
    own = [error.own_snr or 0 for error in found]
    poor = {index + 1, index + 2}  # and the one that reads the clipped bytes
    assert [ratio > 25 for ratio in own] == [position not in poor for position in range(4)]
    assert all(error.snr < 15 for error in found[index + 1 :])


def test_a_coarse_layer_has_dead_channels_and_noise_of_its_own(tmp_path: Path) -> None:
    found = errors(tmp_path, shrink(1, 1000.0))
    broken = first_break(found)
    assert broken is not None
    assert broken.error is found[2]
    assert found[2].dead_channels > 4
    assert "channels are too small" in broken.cause
    assert found[2].clipped == 0


def test_the_figures_are_those_of_the_bytes(tmp_path: Path) -> None:
    """Against ONNX Runtime and the outputs of the kmodel."""
    net = chain()
    model = net.model(net.nodes[-1].output[0])
    feeds = [{"image": sample[0]} for sample in samples(4)]
    path = tmp_path / "chain.onnx"
    path.write_bytes(model.SerializeToString())
    compiled = kpuir.compile(path, dataset=feeds)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    exact = np.stack([np.asarray(session.run(None, feed)[0]) for feed in feeds])
    ours = np.stack([next(iter(compiled.run(feed).values())) for feed in feeds])
    signal, noise = np.square(exact).sum(), np.square(exact - ours).sum()
    last = compiled.layers[-1]
    assert last.snr == pytest.approx(10 * np.log10(signal / noise), abs=0.05)
    assert last.float_range == pytest.approx((np.min(exact), np.max(exact)), rel=1e-4, abs=1e-6)


def test_counterparts_undo_scaled_channels() -> None:
    net = chain()
    source = import_onnx(net.model(net.nodes[-1].output[0]).SerializeToString())
    floats = source.clone()
    run_text(floats, "ktensor-simplify,kpu-legalize")
    number_layers(floats)
    sample = samples(1)[0]
    found = counterparts(source, sample, floats, sample)
    assert sorted(found) == [1, 2, 3]
    assert all(one.gains == () and one.shape == (1, 8, 16, 16) for one in found.values())
    operations = list(entry_function(source).body.block.ops)
    assert [operations[found[number].operation].name for number in (1, 2, 3)] == ["ktensor.activation"] * 3


def test_a_value_without_a_counterpart_is_listed(tmp_path: Path) -> None:
    net = chain()
    module = import_onnx(net.model(net.nodes[-1].output[0]).SerializeToString())
    run_text(module, "ktensor-simplify,kpu-legalize")
    number_layers(module)
    other = module.clone()
    conv = next(op for op in other.walk() if isinstance(op, kpu.Conv2dOp))
    del conv.attributes[kpu.NUMBER]
    found = layer_errors(module, other, samples(1))
    assert len(found) == len(numbered_values(module)) == 4
    assert found[1].note.startswith("no counterpart")
    assert [error.snr for error in found if not error.note] == [MOST_SNR] * 3


def test_ratios_of_nothing() -> None:
    assert (snr(1, 0), snr(0, 0), snr(0, 1)) == (MOST_SNR, MOST_SNR, -MOST_SNR)
    assert snr(100, 1) == pytest.approx(20)
    assert snr(float("inf"), 1) == snr(1, float("nan")) == -MOST_SNR


@pytest.mark.parametrize(("reader", "broken"), [(30.0, None), (9.0, 1)])
def test_what_readers_do_not_need_is_not_lost(reader: float, broken: int | None) -> None:
    chain = [
        LayerError(0, "x", "input", (), snr=40.0),
        LayerError(1, "sum", "conv2d", (0,), snr=8.0),
        LayerError(2, "relu", "conv2d", (1,), snr=reader),
    ]
    found = first_break(chain)
    assert (None if found is None else found.error.number) == broken


def test_json_holds_no_infinity() -> None:
    row = LayerError(0, "log", "unary", (), float_range=(float("-inf"), 1.0)).as_json()
    assert row["float_range"] == [None, 1.0]
