import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpuir.errors import InvalidInputError
from kpuir.kmodel import v4
from kpuir.kmodel.layer import LayerRegisters
from tests.kmodel.vectors import one_of_each, v4_models
from tests.shared import shared_file

# kmodel-v4.md section 16
EXAMPLE = bytes.fromhex(
    "4c444d4b 04000000 00000000 01000000 00000000 28000000 01000000 01000000 01000000 00000000"
    "01000000 01000000 00000000 08000000 01000000 01000000 02000000 04000000"
    "01000000 00000000 08000000 20000000 03000000 28000000"
    "01000000 01000000 00000000 08000000 01000000 00000000 08000000 20000000 80000000 00008042"
)
BYTES = v4.MemoryRange(v4.MemoryType.MAIN, v4.DataType.UINT8, 0, 8)
FLOATS = v4.MemoryRange(v4.MemoryType.MAIN, v4.DataType.FLOAT32, 8, 32)
EXAMPLE_MODEL = v4.Model(
    inputs=((BYTES, (1, 1, 2, 4)),),
    outputs=(FLOATS,),
    constants=b"",
    main_bytes=40,
    nodes=(v4.Dequantize(BYTES, FLOATS, 128, 64.0),),
)


def kpu_layer(fills: tuple[int, int, int] | None = None) -> v4.KpuConv2d:
    return v4.KpuConv2d(
        main_output=None,
        batches=1,
        reserved=0,
        registers=LayerRegisters(i_ch_num=2, o_ch_num=15, kernel_type=1),
        batch_norm=np.arange(16, dtype=np.uint64) + np.uint64(2**63),
        activation=np.arange(16, dtype=np.uint64),
        activation_add=np.arange(16, dtype=np.uint8),
        weights=np.arange(432, dtype=np.uint32).astype(np.uint8),
        fills=fills,
    )


def model_of(*nodes: v4.Instruction) -> v4.Model:
    return v4.Model((), (), b"", 0, nodes)


def test_the_example_of_the_specification() -> None:
    assert v4.read(EXAMPLE) == EXAMPLE_MODEL
    assert v4.write(EXAMPLE_MODEL) == EXAMPLE


def test_all_conformance_models_come_back_byte_for_byte() -> None:
    models = v4_models()
    assert len(models) == 726
    assert {node.opcode for data in models.values() for node in v4.read(data).nodes} == set(v4.INSTRUCTIONS)
    assert [name for name, data in models.items() if v4.write(v4.read(data)) != data] == []


def test_a_shipped_model_comes_back_without_the_padding_that_it_lacks() -> None:
    data = shared_file("models/slim-320.kmodel").read_bytes()
    model = v4.read(data)
    assert (model.missing_padding, v4.write(model) == data) == (4, True)
    assert v4.write(replace(model, missing_padding=0)) == data + bytes(4)


def test_kpu_arrays_are_aligned_by_file_offset() -> None:
    # a body at 688 with 3 -> 16 channels: the example of kmodel-v4.md 9.3
    node = kpu_layer()
    body = node.write(688)
    words = struct.unpack_from("<12Q", body, 24)
    assert [words[4] >> 32, words[7] >> 32, words[5] >> 32] == [216, 128, 112]
    assert body[1024 - 688 :][: 16 * 8] == node.batch_norm.tobytes()
    assert body[1280 - 688 :][: 16 * 9] == node.activation.tobytes() + node.activation_add.tobytes()
    assert len(body) == 1968 - 688


@pytest.mark.parametrize("fills", [(0, 0, 0), (8, 0, 120), None])
def test_fills_are_kept(fills: tuple[int, int, int] | None) -> None:
    model = model_of(kpu_layer(fills))
    data = v4.write(model)
    again = v4.read(data)
    assert again == model
    assert v4.write(again) == data


def test_garbage_nobody_reads_is_kept() -> None:
    node = replace(kpu_layer(), registers=LayerRegisters(reserved=1 << 4 | 1 << 703), reserved=-1)
    node = replace(node, batch_norm=node.batch_norm[:1], weights=node.weights[:1])
    resize = v4.ResizeImage(BYTES, BYTES, (1, 1, 2, 4), 2, 4, v4.ResizeMode.NEAREST, 7, (1, 2, 3))
    model = replace(model_of(node, resize), reserved=0xCCCCCCCC, flags=5, target=0)
    assert v4.read(v4.write(model)) == model


@pytest.mark.parametrize("cut", range(1, 8))
def test_the_padding_after_the_last_body_may_be_missing(cut: int) -> None:
    code = np.frombuffer(b"\3", np.uint8)  # the body is 33 bytes, the padding 7
    data = v4.write(model_of(v4.TableLookup1d(BYTES, BYTES, BYTES), v4.Unary(FLOATS, FLOATS, v4.UnaryKind.SIN)))
    short = data[: -min(cut, 4)]
    assert v4.read(short).nodes == v4.read(data).nodes
    assert v4.write(v4.read(short)) == short
    nnil = v4.write(model_of(v4.NnilUnaryMethod(FLOATS, FLOATS, code)))
    node = v4.read(nnil[:-cut]).nodes[0]
    assert v4.write(v4.read(nnil[:-cut])) == nnil[:-cut]
    assert isinstance(node, v4.NnilUnaryMethod)
    assert node.code.tobytes() == b"\3" + bytes(7 - cut)


def test_the_padding_inside_may_not_be_missing() -> None:
    data = v4.write(model_of(v4.Unary(FLOATS, FLOATS, v4.UnaryKind.SIN)))
    with pytest.raises(InvalidInputError, match="byte 80: unary: op: needs 4 bytes, 3 are left"):
        v4.read(data[:-5])


def patched(offset: int, value: int) -> bytes:
    data = bytearray(EXAMPLE)
    struct.pack_into("<I", data, offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "byte 0: header: needs 40 bytes, 0 are left"),
        (patched(0, 3), "byte 0: header: starts with .*version 4, instead of b'LDMK'"),
        (patched(4, 5), "version 5, instead of"),
        (patched(16, 0xFFFFFFF8), "constants: needs 4294967288 bytes, 48 are left"),
        (patched(24, 0xFFFFFFFF), "node headers: 4294967295 entries need"),
        (patched(28, 0xFFFFFFFF), "inputs: 4294967295 entries need"),
        (patched(32, 0xFFFFFFFF), "outputs: 4294967295 entries need"),
        (patched(40, 3), "byte 40: inputs: 3 is no MemoryType"),
        (patched(44, 2), "byte 44: inputs: 2 is no DataType"),
        (patched(88, 0x77), "byte 96: node 0: opcode 0x77 does not exist"),
        (patched(92, 16), "byte 112: dequantize: output: needs 4 bytes, 0 are left"),
        (patched(92, 32), "zero_point: needs 4 bytes, 0 are left"),
        (patched(92, 48), "byte 96: node 0: dequantize of 48 bytes, 40 are left"),
        (patched(104, 0)[:-1], "scale: needs 4 bytes, 3 are left"),
        (EXAMPLE + bytes(8), "byte 136: end: 8 bytes follow the last node"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        v4.read(data)


def test_padding_that_is_not_zero_is_refused() -> None:
    data = v4.write(model_of(v4.Unary(FLOATS, FLOATS, v4.UnaryKind.SIN)))
    with pytest.raises(InvalidInputError, match=f"byte {len(data) - 2}: unary: padding is 0x09"):
        v4.read(data[:-2] + b"\x09\0")


def test_array_lengths_that_cannot_be_are_refused() -> None:
    name, data = next(item for item in v4_models().items() if item[0].startswith("conv2d-"))
    groups = 40 + 32 + 16 + 8 + 48
    assert struct.unpack_from("<i", data, groups)[0] >= 1, name
    for value, message in ((0, "cannot be told"), (-1, "is negative")):
        broken = data[:groups] + struct.pack("<i", value) + data[groups + 4 :]
        with pytest.raises(InvalidInputError, match=message):
            v4.read(broken)
    huge = data[: groups + 4] + struct.pack("<i", 2**31 - 1) + data[groups + 8 :]
    with pytest.raises(InvalidInputError, match="weights: needs"):
        v4.read(huge)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (replace(EXAMPLE_MODEL.nodes[0], zero_point=2**31), "node 0: dequantize: zero_point is 2147483648"),  # pyright: ignore[reportArgumentType]  # a dataclass
        (replace(kpu_layer(), weights=np.zeros(1, np.uint8)), "weights has 1 elements, .* say 432"),
        (replace(kpu_layer(), weights=np.zeros(432, np.int8)), "weights is int8, but the file holds uint8"),
        (replace(kpu_layer(), registers=LayerRegisters(load_time=64)), "registers load_time is 64"),
        (v4.Transpose(BYTES, BYTES, (1, 1, 1, 1), (0, 1, 2)), "perm has 3 elements"),  # pyright: ignore[reportArgumentType]  # the error
    ],
)
def test_what_the_format_cannot_hold_is_not_written(node: v4.Instruction, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        v4.write(model_of(node))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutations_are_read_exactly_or_refused(data: st.DataObject) -> None:
    originals = one_of_each()
    broken = bytearray(originals[data.draw(st.sampled_from(sorted(originals)))])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(broken) // 4 - 1)) * 4
        value = data.draw(st.sampled_from([0, 1, 2, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]) | st.integers(0, 2**32 - 1))
        broken[place : place + 4] = value.to_bytes(4, "little")
    cut = bytes(broken[: data.draw(st.just(len(broken)) | st.integers(0, len(broken)))])
    try:
        model = v4.read(cut)
    except InvalidInputError:
        return
    # a signalling NaN in a scalar comes back as a quiet one: compare what is written again
    written = v4.write(model)
    assert v4.write(v4.read(written)) == written
    assert len(written) - len(cut) in range(8)


def test_every_truncated_file_is_refused() -> None:
    for data in one_of_each().values():
        for end in range(0, len(data) - 7, 5):
            with pytest.raises(InvalidInputError, match="byte "):
                v4.read(data[:end])
