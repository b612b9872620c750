"""Models compiled to kmodel v3: files that obey the specification, with the numbers of kmodel v4."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import kpuir
from kpuir.compiler import CompiledModel
from kpuir.dialects import kbuf
from kpuir.errors import DoesNotFitError, InvalidInputError, UnsupportedError, UsageError
from kpuir.importers.onnx import import_onnx
from kpuir.interpreters.run import run
from kpuir.kmodel import v3
from kpuir.runtime import tensor_ports
from kpuir.target.k210 import dma_rule
from kpuir.translate import check_loadable, read_kmodel, write_kmodel
from kpuir.versions import check_firmware, version_for
from tests import networks
from tests.importers.nets import feeds
from tests.kmodel.check_v3 import check
from tests.zoo.models import mobilenet_v1

DIGITS = Path(__file__).parents[1] / "examples/digits/digits.onnx"

Samples = Sequence[dict[str, np.ndarray]]


def samples_of(model: onnx.ModelProto, count: int) -> Samples:
    return [feeds(model, seed) for seed in range(count)]


def compiled(model: onnx.ModelProto, samples: Samples, path: Path, **options: Any) -> CompiledModel:
    """Compiled to v3, with everything that holds for all: the file is good, and gives what the module does."""
    onnx.save(model, path / "x.onnx")
    result = kpuir.compile(path / "x.onnx", dataset=samples, kmodel="v3", **options)
    data = result.kmodel_bytes
    size = 4 if options.get("input_type") == "float32" else 1
    given = sum(size * int(np.prod(shape)) for shape in result.demands.input_shapes)
    assert check(data, len(result.sidecar["outputs"]), given) == []
    again = read_kmodel(data)
    assert write_kmodel(again) == data
    assert check_loadable(again) == []
    result.save(path / "x.kmodel")
    loaded = kpuir.load(path / "x.kmodel", check=True)
    for name, mine in result.run(samples[0]).items():
        np.testing.assert_array_equal(loaded.run(samples[0])[name], mine)
    assert loaded.warnings == result.loaded(check=True).warnings == []
    return result


@pytest.mark.parametrize(
    "make",
    [
        lambda: onnx.load(DIGITS),
        networks.mobilenet,
        lambda: mobilenet_v1(size=64, width=0.25, classes=100),
        networks.resnet,
        networks.yolo,
        networks.yolo_tiny,
        lambda: networks.yolo_tiny(residuals=True),
        networks.mlp,
    ],
    ids=["digits", "mobilenet", "mobilenet-v1", "resnet", "yolo", "yolo-tiny", "yolo-tiny-residuals", "mlp"],
)
def test_networks(make: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    """The layers are those of v4, byte for byte; floats behind them differ by the rounding of floats."""
    model = make()
    samples = samples_of(model, 2)
    ours = compiled(model, samples, tmp_path)
    theirs = kpuir.compile(tmp_path / "x.onnx", dataset=samples, input_type="uint8")
    for sample in samples:
        for name, other in theirs.run(sample).items():
            np.testing.assert_allclose(ours.run(sample)[name], other, rtol=1e-6, atol=1e-6 * float(np.abs(other).max()))


def test_large_maps_are_sent_in_bands(tmp_path: Path) -> None:
    """A result of 320x240 pixels, as the camera gives, is more than a layer sends at once."""
    net = networks.Net(0, image=(1, 1, 240, 320))
    model = net.model(net.conv(net.op("Relu", net.conv("image", 1, 2)), 2, 1))
    samples = samples_of(model, 1)
    ours, theirs = compiled(model, samples, tmp_path), kpuir.compile(tmp_path / "x.onnx", dataset=samples)
    (mine,), (other,) = ours.run(samples[0]).values(), theirs.run(samples[0]).values()
    np.testing.assert_allclose(mine, other, atol=1e-6)
    for op in [op for result in (ours, theirs) for op in result.module.walk()]:
        if isinstance(op, kbuf.KpuConv2dOp) and op.main_output is not None:
            assert dma_rule(*op.registers.data.output_shape[1:]).ok


def test_inputs_with_more_rows_than_a_layer_reads(tmp_path: Path) -> None:
    """They come as maps of more channels and fewer rows, which lie in the same bytes."""
    net = networks.Net(0, image=(1, 2, 300, 40))
    model = net.model(net.conv(net.op("Relu", net.conv("image", 2, 4, stride=2)), 4, 2))
    result = compiled(model, samples_of(model, 1), tmp_path)
    assert result.demands.input_shapes == [(1, 4, 150, 40)]


def test_words(tmp_path: Path) -> None:
    """Weights of 16 bits, in a file that says so; those of 8 bits were rounded well, so results are about as good."""
    model = networks.mobilenet()
    samples, others = samples_of(model, 12)[:6], samples_of(model, 12)[6:]
    source = import_onnx(model.SerializeToString())
    cosines: list[float] = []
    for bits in (8, 16):
        result = compiled(model, samples, tmp_path, weights_bits=bits)
        found = np.concatenate([array.ravel() for one in others for array in result.run(one).values()])
        inputs = [[sample[port.name] for port in tensor_ports(source)[0]] for sample in others]
        wanted = np.concatenate([array.ravel() for one in inputs for array in run(source, one)])
        cosines.append(float(found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)))
        assert v3.read(result.kmodel_bytes).weight_bits == bits
    assert min(cosines) > 0.999


def test_floats_come_in_where_a_matrix_product_is_first(tmp_path: Path) -> None:
    """The driver takes them for that alone (`kmodel-v3.md` 8.2)."""
    net = networks.Net(x=(1, 24))
    model = net.model(net.op("Softmax", net.dense(net.op("Relu", net.dense("x", 24, 8)), 8, 5), axis=1))
    samples = samples_of(model, 2)
    result = compiled(model, samples, tmp_path, input_type="float32", float_layers=["*"])
    assert [layer.mnemonic for layer in v3.read(result.kmodel_bytes).layers] == [*2 * ["fully_connected"], "softmax"]
    source = import_onnx(model.SerializeToString())
    (found,) = result.run(samples[0]).values()
    np.testing.assert_allclose(found, run(source, [samples[0]["x"]])[0], rtol=1e-5)
    with pytest.raises(
        UnsupportedError, match="it is float32, which in v3 only a first layer that is a matrix product"
    ):
        compiled(model, samples, tmp_path, input_type="float32")


def test_firmwares(tmp_path: Path) -> None:
    model = networks.mlp()
    onnx.save(model, tmp_path / "x.onnx")
    result = kpuir.compile(tmp_path / "x.onnx", dataset=samples_of(model, 2), firmware="sdk-0.5.6")
    assert (result.report.version, result.sidecar["firmware"]) == ("v3", "sdk-0.5.6")
    assert result.demands.instructions[0] == "k210_conv"
    assert result.demands.memory > len(result.kmodel_bytes)
    with pytest.raises(InvalidInputError, match="not for maixpy-minimum: its images have 1 or 3 channels"):
        check_firmware("maixpy-minimum", replace(result.demands, input_shapes=((1, 5, 16, 16),)))
    with pytest.raises(DoesNotFitError, match="take 5000000 bytes, maixpy-minimum has 3543040"):
        check_firmware("maixpy-minimum", replace(result.demands, input_shapes=((1, 3, 4, 4),), memory=5_000_000))
    assert version_for(None, "sdk-0.5.7", 8) == version_for(None, None, 8) == "v4"
    onnx.save(networks.several(), tmp_path / "x.onnx")
    with pytest.raises(InvalidInputError, match="maixpy gives a model 1 input, this one has 3"):
        kpuir.compile(tmp_path / "x.onnx", firmware="maixpy")  # before it is calibrated


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights_bits": 16}, "kmodel v4 has no weights of 16 bits\nhint: kmodel v3"),
        ({"kmodel": "v7"}, "cannot be written"),
        ({"firmware": "maixpy-minimum", "kmodel": "v4"}, "loads kmodels v3, not v4"),
    ],
)
def test_versions(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        kpuir.compile("x.onnx", **options)


def test_what_v3_cannot_hold_names_layers(tmp_path: Path) -> None:
    onnx.save(networks.several(), tmp_path / "x.onnx")
    with pytest.raises(UnsupportedError, match="cannot be in a kmodel v3") as caught:
        kpuir.compile(tmp_path / "x.onnx", dataset=samples_of(networks.several(), 2), kmodel="v3")
    assert "mul6: mul of floats; of two tensors v3 has nothing but a sum" in str(caught.value)
