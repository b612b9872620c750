"""Models that do not fit are refused before calibration, and the input size with which they do is found."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import kpuir
from kpuir.errors import DoesNotFitError
from kpuir.importers import import_model
from tests.importers.tflite_builder import one_op
from tests.networks import Net


def saved(net: Net, output: str, tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(net.model(output), path)
    return path


def refused(path: Path) -> DoesNotFitError:
    """Without a dataset nothing could be calibrated, so what is raised comes from earlier."""
    with pytest.raises(DoesNotFitError) as error:
        kpuir.compile(path, suggest_input_size=True)
    return error.value


def fits(path: Path, shape: tuple[int, ...]) -> bool:
    sample = {"x": np.random.default_rng(0).random(shape, np.float32)}
    try:
        kpuir.compile(import_model(path, input_shapes={"x": shape}, resize=True), dataset=[sample])
    except DoesNotFitError:
        return False
    return True


def segmentation(height: int, width: int) -> tuple[Net, str]:
    net = Net(x=(1, 3, height, width))
    return net, net.conv(net.op("Relu", net.conv("x", 3, 16)), 16, 8)


def test_the_largest_input_is_found(tmp_path: Path) -> None:
    """It fits with real ranges, and the next multiple of 8 does not."""
    path = saved(*segmentation(640, 480), tmp_path)
    error = refused(path)
    assert error.location == "conv2"
    assert error.hint == "largest input that fits: 336x448 (given 480x640)"
    assert fits(path, (1, 3, 448, 336))
    assert not fits(path, (1, 3, 456, 344))


def test_maps_that_are_joined_want_multiples(tmp_path: Path) -> None:
    net = Net(x=(1, 3, 240, 240))
    skip = net.op("Relu", net.conv("x", 3, 8))
    x = skip
    for _ in range(4):
        x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    scales = net.constant([1, 1, 16, 16])
    x = net.op("Resize", x, "", scales, mode="nearest")
    path = saved(net, net.conv(net.op("Concat", x, skip, axis=1), 16, 32), tmp_path)
    found = re.fullmatch(r"largest input that fits: (\d+)x\1 \(given 240x240\)", str(refused(path).hint))
    assert found
    assert int(found[1]) % 16 == 0
    assert fits(path, (1, 3, int(found[1]), int(found[1])))


def test_a_tflite_model_is_resized(tmp_path: Path) -> None:
    """The sizes stored with its other tensors do not count."""
    rng = np.random.default_rng(0)
    sizes: dict[str, Any] = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    weights = [rng.uniform(-1, 1, shape).astype(np.float32) for shape in ((8, 3, 3, 3), (8,))]
    path = tmp_path / "x.tflite"
    path.write_bytes(one_op("CONV_2D", [(1, 640, 480, 3), *weights], "Conv2DOptions", **sizes))
    assert refused(path).hint == "largest input that fits: 344x456 (given 480x640)"


def test_a_firmware_leaves_less(tmp_path: Path) -> None:
    path = saved(*segmentation(320, 240), tmp_path)
    with pytest.raises(DoesNotFitError, match="maixpy has 2097152") as error:
        kpuir.compile(path, suggest_input_size=True, firmware="maixpy")
    assert error.value.hint == "largest input that fits: 192x256 (given 240x320)"


def test_models_of_one_size(tmp_path: Path) -> None:
    net, x = segmentation(640, 480)
    shape = net.constant([1, 8 * 640 * 480], np.int64)
    assert "the model takes no other input size: " in str(refused(saved(net, net.op("Reshape", x, shape), tmp_path)))
    module = import_model(saved(*segmentation(640, 480), tmp_path))
    with pytest.raises(DoesNotFitError, match=r"takes no other input size: .* for model files only"):
        kpuir.compile(module, suggest_input_size=True)


def test_weights_that_no_input_is_small_enough_for(tmp_path: Path) -> None:
    net = Net(x=(1, 512, 16, 16))
    x = net.op("Relu", net.conv("x", 512, 700))
    error = refused(saved(net, net.conv(x, 700, 512), tmp_path))
    assert error.location is not None
    assert "the weights take at least 6451" in error.message
    assert error.hint == "no smaller input fits either: use fewer channels or layers"
    net = Net(x=(1, 4000))
    assert "no input is an image" in str(refused(saved(net, net.dense("x", 4000, 1700), tmp_path)))


def test_a_layer_of_which_no_band_fits(tmp_path: Path) -> None:
    net = Net(x=(1, 4, 8, 512))
    x = net.conv(net.conv("x", 4, 600), 600, 600, kernel=1)
    error = refused(saved(net, net.conv(x, 600, 4, kernel=1), tmp_path))
    assert "input 1x600x8x512 in 38400 rows of 64, output 1x600x8x512 in 38400 rows" in error.message
    assert f"at least {2 * 600 * 4 * 512} bytes" in error.message
