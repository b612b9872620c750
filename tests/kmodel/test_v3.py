"""kmodel v3, against what the SDK's driver computed and a shipped model."""

import re
import struct
import zipfile
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpuir.errors import InvalidInputError
from kpuir.interpreters.kernels.kpu_layer import LayerNumbers, run_dense
from kpuir.kmodel import v3
from kpuir.kmodel.info import describe
from kpuir.kmodel.layer import LayerRegisters
from tests.shared import shared_file

SHIPPED = "models/face-detect-v3.kmodel"
REFUSED = {f"type{number}_unimplemented" for number in (4, 6, 7, 10, 19, 21, 26, 10244)} | {
    "global_max_pool_unimplemented"
}
"""Vectors of layer types that the driver refuses as well."""


@cache
def vectors() -> dict[str, dict[str, bytes]]:
    """The files of each vector."""
    found: dict[str, dict[str, bytes]] = {}
    with zipfile.ZipFile(shared_file("vectors/v3.zip")) as archive:
        for name in archive.namelist():
            if not name.endswith("/"):
                folder, _, file = name.rpartition("/")
                found.setdefault(folder.rpartition("/")[2], {})[file] = archive.read(name)
    return found


def conv(weights: np.ndarray | None = None, offsets: tuple[int, ...] | None = None) -> v3.K210Conv:
    return v3.K210Conv(
        flags=v3.SENDS,
        main_output=8,
        offsets=offsets,
        registers=LayerRegisters(i_ch_num=2, o_ch_num=15, kernel_type=1),
        weights=np.arange(432, dtype=np.uint8) if weights is None else weights,
        batch_norm=np.arange(16, dtype=np.uint64),
        activation=np.arange(16, dtype=np.uint64),
        activation_add=np.arange(16, dtype=np.uint8),
    )


def test_conformance_models_come_back_byte_for_byte() -> None:
    models = {name: files["model.kmodel"] for name, files in vectors().items() if name not in REFUSED}
    assert len(models) == 54
    assert {type(layer).type for data in models.values() for layer in v3.read(data).layers} == set(v3.LAYERS)
    assert [name for name, data in models.items() if v3.write(v3.read(data)) != data] == []


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_layers_that_the_driver_refuses_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"layer 1: no runtime executes layers of type \d+"):
        v3.read(vectors()[name]["model.kmodel"])


def test_a_shipped_model_comes_back() -> None:
    data = shared_file(SHIPPED).read_bytes()
    model = v3.read(data)
    assert v3.write(model) == data
    assert all(layer.offsets is None for layer in model.layers if isinstance(layer, v3.K210Conv))


@pytest.mark.parametrize("bits", [8, 16])
def test_layers_compute_what_the_driver_did(bits: int) -> None:
    names = [name for name in vectors() if name.startswith(f"conv{bits}_")]
    assert len(names) == 13
    for name in names:
        files = vectors()[name]
        (layer,) = v3.read(files["model.kmodel"]).layers
        assert isinstance(layer, v3.K210Conv)
        assert layer.weights.itemsize * 8 == bits
        numbers = LayerNumbers.of_registers(
            layer.registers, layer.batch_norm, layer.activation, layer.activation_add, layer.weights
        )
        image = np.frombuffer(bytearray(files["in0.bin"]), np.uint8).reshape(1, *layer.registers.input_shape)
        result = run_dense(numbers, image).tobytes()
        assert files["out0.bin"] == result, name


def test_arrays_lie_where_the_specification_says() -> None:
    # kmodel-v3.md 1.4: 24 layers, 1 output, the first a 3 -> 16 convolution of 3x3
    body = conv().write(228)
    assert struct.unpack_from("<4I", body, 8) == (256, 384, 896, 1024)
    assert len(body) == 1168 - 228


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_both_widths_of_weights_come_back(dtype: type[np.uint8 | np.uint16]) -> None:
    layer = conv(np.arange(432).astype(dtype))
    model = v3.Model(((8, 16),), 64, (layer, layer), 5, 8 * layer.weights.itemsize)
    data = v3.write(model)
    assert v3.read(data) == model
    with pytest.raises(ValueError, match=r"layer 0: k210_conv: weights have \d+ bits, those of the model \d+"):
        v3.write(replace(model, weight_bits=24 - model.weight_bits))


def test_odd_places_come_back() -> None:
    model = v3.Model((), 8, (conv(offsets=(64, 160, 592, 720)),))
    data = v3.write(model)
    assert v3.read(data) == model
    with pytest.raises(ValueError, match="registers is to lie at byte 40, but what is in front of it ends at 60"):
        v3.write(replace(model, layers=(conv(offsets=(40, 160, 592, 720)),)))


def small() -> bytes:
    """One convolution; its header is at byte 36, its body at 44."""
    return v3.write(v3.Model(((8, 16),), 64, (conv(),)))


@pytest.mark.parametrize("end", [0, 3, 27, 30, 40, 60, 500, -1])
def test_truncated_files_are_refused(end: int) -> None:
    with pytest.raises(InvalidInputError, match=r"kmodel v3: byte \d+: "):
        v3.read(small()[:end])


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0, 4, "byte 0: header: has version 4"),
        (4, 2, "flags 0x2"),
        (8, 1, "arch 1"),
        (12, 1 << 30, "layer headers: 1073741824 entries need"),
        (24, 1 << 30, "outputs: 1073741824 entries need"),
        (36, 7, "no runtime executes layers of type 7"),
        (40, 1 << 20, "k210_conv of 1048576 bytes"),
        (40, 1132, "should end at byte 1168, but its size says 1176"),
        (52, 3, "registers: lies at byte 3"),
        (0, 3, "end: 16 bytes follow the last layer"),
        (60, 1 << 20, "batch_norm: lies at byte 1048576"),
    ],
)
def test_damaged_files_are_refused(offset: int, value: int, message: str) -> None:
    data = bytearray(small() + bytes(16))
    struct.pack_into("<I", data, offset, value)
    with pytest.raises(InvalidInputError, match=message):
        v3.read(bytes(data))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damage_is_told_or_comes_back(data: st.DataObject) -> None:
    damaged = bytearray(small())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, 140))] = data.draw(st.integers(0, 255))
    try:
        model = v3.read(bytes(damaged))
    except InvalidInputError:
        return
    assert v3.write(model) == bytes(damaged)


def test_a_shipped_model_is_described() -> None:
    info = describe(shared_file(SHIPPED).read_bytes())
    assert info.version == "v3, 8-bit weights"
    assert info.inputs == ("3x240x320 uint8 kpu[1866752..2097152] 230400 bytes",)
    assert info.outputs == ("main[9000..45000] 36000 bytes",)
    assert info.kpu_bytes == 2097152
    assert info.instructions[0].details == "3x3 3x240x320 -> 16x120x160, max_2_s2"
    last = [line.operands for line in info.instructions[-2:]]
    assert last == ["kpu+1974272 -> kpu+1959872, main+0", "main+0 -> main+9000"]
    assert info.warnings == info.faults == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("first_layer_add", "layer 0 is neither"),
        ("last_conv_in_kpu_only", "the last layer is a k210_conv that does not send its result"),
    ],
)
def test_what_the_driver_refuses_is_warned_of(name: str, message: str) -> None:
    assert describe(vectors()[name]["model.kmodel"]).faults[0].startswith(message)


def test_layers_that_no_runtime_executes_are_listed() -> None:
    info = describe(vectors()["type7_unimplemented"]["model.kmodel"])
    assert ("0x7", "?") in [(line.mnemonic, line.where) for line in info.instructions]
    assert re.fullmatch(r"instruction \d is of type 7 \(0x7\), which no runtime executes", info.warnings[0])


def test_tables_in_the_wrong_places_are_warned_of() -> None:
    moved = replace(conv(), offsets=tuple(place + 4 * (n == 3) for n, place in enumerate(conv().canonical_offsets(36))))
    (warning,) = describe(v3.write(v3.Model((), 64, (moved,)))).warnings
    assert re.fullmatch(r"instruction 0: the activation table is at byte \d+, no multiple of 256", warning)


def test_all_others_are_described_without_a_warning() -> None:
    names = [name for name, files in vectors().items() if "out0.bin" in files]
    assert len(names) == 52
    described = {name: describe(vectors()[name]["model.kmodel"]) for name in names}
    assert [name for name, info in described.items() if info.warnings or info.faults] == []


def test_maps_and_outputs_out_of_range_are_warned_of() -> None:
    far = replace(conv(), registers=replace(conv().registers, image_dst_addr=32767))
    assert describe(v3.write(v3.Model(((60, 16),), 64, (far,)))).faults == (
        "output 0 ends at byte 76 of main memory, which has 64",
        "instruction 0 (k210_conv) reaches byte 2097344 of KPU RAM",
    )
