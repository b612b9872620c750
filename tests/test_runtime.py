"""Loading models to run them: the way of arrays between the model's own form and the kmodel's bytes."""

import json
from pathlib import Path

import numpy as np
import pytest

import kpuir
from kpuir.errors import InvalidInputError
from kpuir.runtime import Port, read_sidecar, sidecar_ports

PIXELS = Port("image", (1, 2, 3, 3), "NHWC", (1, 3, 2, 3), "NCHW", "uint8", 1 / 127.5, 127)
RAW = Port("input0", (1, 3, 2, 3), "NCHW", (1, 3, 2, 3), "NCHW", "uint8")


def test_a_float_image_becomes_the_boards_bytes() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1, 2, 3, 3), np.uint8)
    values = ((pixels.astype(np.float64) - 127) / 127.5).astype(np.float32)
    given = PIXELS.to_kmodel(values)
    assert (given.dtype, given.shape, given.flags.c_contiguous) == (np.uint8, (1, 3, 2, 3), True)
    np.testing.assert_array_equal(given, pixels.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(PIXELS.from_kmodel(given), values, atol=1e-6)


def test_values_out_of_range_saturate() -> None:
    given = PIXELS.to_kmodel(np.full(PIXELS.shape, 99.0))
    assert (given == 255).all()
    assert (PIXELS.to_kmodel(np.full(PIXELS.shape, -99.0)) == 0).all()


def test_outputs_come_back_in_the_models_form() -> None:
    port = Port("boxes", (2, 5), "flat", (1, 1, 2, 5), "NCHW", "float32")
    flat = np.arange(10, dtype=np.float32)
    np.testing.assert_array_equal(port.from_kmodel(flat), flat.reshape(2, 5))
    quantized = Port("map", (1, 2, 2, 3), "NHWC", (1, 3, 2, 2), "NCHW", "uint8", 0.5, 10)
    stored = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)
    expected = (stored.transpose(0, 2, 3, 1).astype(np.float32) - 10) / 2
    np.testing.assert_array_equal(quantized.from_kmodel(stored), expected)


def test_raw_inputs_are_bytes_and_nothing_else() -> None:
    stored = np.arange(18, dtype=np.uint8).reshape(RAW.shape)
    np.testing.assert_array_equal(RAW.to_kmodel(stored), stored)
    with pytest.raises(InvalidInputError, match="input 'input0' has type float64, the model takes uint8"):
        RAW.to_kmodel(stored.astype(np.float64))
    with pytest.raises(InvalidInputError, match="has shape 18, the model takes 1x3x2x3"):
        RAW.to_kmodel(stored.ravel())


ENTRY = {
    "name": "x",
    "shape": [1, 2, 3, 3],
    "layout": "NHWC",
    "kmodel_shape": [1, 3, 2, 3],
    "kmodel_layout": "NCHW",
    "type": "uint8",
    "scale": 0.5,
    "zero_point": 3,
    "mean": 0.5,
    "std": [0.1, 0.2, 0.3],
}


def test_ports_of_a_sidecar() -> None:
    (port,) = sidecar_ports({"inputs": [ENTRY]}, "inputs", [RAW])
    assert port == Port("x", (1, 2, 3, 3), "NHWC", (1, 3, 2, 3), "NCHW", "uint8", 0.5, 3, (0.5,), (0.1, 0.2, 0.3))
    with pytest.raises(InvalidInputError, match="has 1 inputs, the kmodel has 2"):
        sidecar_ports({"inputs": [ENTRY]}, "inputs", [RAW, RAW])
    with pytest.raises(InvalidInputError, match="has no inputs, the kmodel has 1"):
        sidecar_ports({}, "inputs", [RAW])
    with pytest.raises(InvalidInputError, match="says 'x' is float32, the kmodel says uint8"):
        sidecar_ports({"inputs": [{**ENTRY, "type": "float32"}]}, "inputs", [RAW])
    with pytest.raises(InvalidInputError, match=r"is damaged: KeyError\('layout'\)"):
        sidecar_ports({"inputs": [{k: v for k, v in ENTRY.items() if k != "layout"}]}, "inputs", [RAW])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("shape", [1, 2, 3], "says 'x' is 1x2x3, the kmodel says 1x3x2x3"),
        ("kmodel_shape", [1, 3, 3, 3], "says 'x' is 1x3x3x3, the kmodel says 1x3x2x3"),
        ("shape", [1, "2", 3, 3], "is no shape"),
        ("shape", "1233", "is no shape"),
        ("kmodel_shape", [1, -3, -2, 3], "is no shape"),
        ("layout", ["NHWC"], "is no layout"),
        ("kmodel_layout", "NCWH", "is no layout"),
        ("scale", 0, "0 is no scale"),
        ("scale", "0.5", "'0.5' is no number"),
        ("zero_point", 256, "256 is no byte"),
        ("mean", ["a"], "'a' is no number"),
    ],
)
def test_damaged_sidecars(field: str, value: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        sidecar_ports({"inputs": [{**ENTRY, field: value}]}, "inputs", [RAW])


def test_sidecars_of_others_are_left_alone(tmp_path: Path) -> None:
    kmodel = tmp_path / "x.kmodel"
    assert read_sidecar(kmodel) is None
    kmodel.with_suffix(".json").write_text(json.dumps({"labels": ["cat", "dog"]}))
    assert read_sidecar(kmodel) is None
    kmodel.write_bytes(b"x")
    kmodel.with_suffix(".json").write_text(json.dumps({"kpuir": "0.1.0", "memory": 3}))
    assert read_sidecar(kmodel) is not None
    kmodel.with_suffix(".json").write_text("{")
    with pytest.raises(InvalidInputError, match=r"x\.json: is not readable JSON"):
        read_sidecar(kmodel)


MODULE = """
func.func @main(%x: tensor<1x3x2x2xf32> {ktensor.name = "pixels", ktensor.layout = "NHWC"})
    -> (tensor<1x3x2x2xf32> {ktensor.name = "doubled"}) {
  %y = ktensor.binary<add> %x, %x : (tensor<1x3x2x2xf32>, tensor<1x3x2x2xf32>) -> tensor<1x3x2x2xf32>
  func.return %y : tensor<1x3x2x2xf32>
}
"""


def test_modules_run_in_the_models_layout(tmp_path: Path) -> None:
    path = tmp_path / "x.mlir"
    path.write_text(MODULE)
    model = kpuir.load(path)
    assert [port.shape for port in (*model.inputs, *model.outputs)] == [(1, 2, 2, 3), (1, 3, 2, 2)]
    x = np.random.default_rng(3).normal(size=(1, 2, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(model.run({"pixels": x})["doubled"], 2 * x.transpose(0, 3, 1, 2))
    with pytest.raises(InvalidInputError, match="there is no array for input 'pixels'\nhint: the inputs are pixels"):
        model.run({"x": x})


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no such file"):
        kpuir.load(tmp_path / "absent.kmodel")
    with pytest.raises(InvalidInputError, match="is a directory"):
        kpuir.load(tmp_path)
    (tmp_path / "x.mlir").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match="is not a text file"):
        kpuir.load(tmp_path / "x.mlir")
