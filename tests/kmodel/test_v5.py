"""kmodel v5, against the example of its description; files of the reference compiler are in tests/conformance."""

import random
from dataclasses import replace

import pytest

from kpuir.errors import InvalidInputError
from kpuir.kmodel import v5
from kpuir.kmodel.info import describe
from kpuir.kmodel.layer import LayerRegisters
from kpuir.target.stackvm import COMPARE, RELEASES, DataType, Kind, dense_strides, signatures, unary_number

TANH = bytes.fromhex(
    "4c444d4b05000000200000000000000008000000010000000000000000000000737461636b766d000000000000000000"
    "0100000030000000c8000000000000000000000001000000010000000000000020000000480000000800000008000000"
    "0100000001000000000000002e0000000009000000000000080000000100000002000000010900000000000008000000"
    "01000000020000002e74657874000000000000000000000000000000000000002e000000000000001700000000000017"
    "0100000000000202000000310001020100000031010102010000003102015e2600090001020f0000"
)
"""tanh of two floats, 232 bytes: section 15 of the description."""


def test_the_documented_file() -> None:
    model = v5.read(TANH)
    [function] = model.modules[0].functions
    assert (model.modules[0].kind, model.entry, len(TANH)) == ("stackvm", (0, 0), 232)
    assert function.inputs == function.outputs == (v5.TensorType(DataType.FLOAT32, (2,)),)
    [operation] = function.code
    assert isinstance(operation, v5.Operation)
    assert operation.function == "unary"
    assert operation.fields["op"] == unary_number("tanh", "1.9")
    assert operation.pushed == {"in": v5.Address(v5.Location.INPUT, 0), "out": v5.Address(v5.Location.OUTPUT, 0)}
    assert v5.write(model) == TANH


def operation_of(name: str) -> v5.Operation:
    """Any operation of a function."""
    name = "compare" if name == "equal" else name
    signature = signatures("1.9")[name]
    shape = (1, 2, 3, 4)
    kinds = {
        Kind.SHAPE: shape,
        Kind.PADDINGS: ((1, 2, 0),) * 4,
        Kind.DATATYPE: DataType.UINT8,
        Kind.SCALAR: 1,
        Kind.BUFFER: v5.Address(v5.Location.DATA, 16),
        Kind.NUMBER: 3,
        Kind.PADDING: (1, 2, 0),
    }
    fields = {one.name: kinds[one.kind] for one in signature.fields}
    # As in releases that have no fields for these.
    fixed = {"shd": shape, "std": fields.get("st"), "dt": DataType.FLOAT32, "linear_before_reset": 0}
    if name == "compare":
        fixed["op"] = COMPARE.index("equal")
    if name == "matmul":
        fixed |= {"sh1": (2, 3), "st1": (3, 1), "sh2": (3, 4), "st2": (4, 1), "shd": (2, 4), "std": (4, 1)}
    return v5.Operation(
        name,
        fields | {field: value for field, value in fixed.items() if field in fields and value is not None},
        {one.name: kinds[one.kind] for one in signature.pushes},
    )


@pytest.mark.parametrize("release", RELEASES)
def test_every_function_of_every_release(release: str) -> None:
    shape = (1, 2, 2, 2)
    argument = v5.Argument(v5.Address(v5.Location.DATA, 8), DataType.UINT8, shape, dense_strides(shape))
    code = (*(operation_of(name) for name in signatures(release)), v5.Call(0, 1, (argument,), (argument,)))
    module = v5.Module(v5.STACKVM, (v5.Function((), (), code),), b"", ())
    data = v5.write(v5.Model((module,), release=release))
    model = v5.read(data)
    [function] = model.modules[0].functions
    names = [one.function for one in function.code if isinstance(one, v5.Operation)]
    assert names == ["compare" if name == "equal" else name for name in signatures(release)]
    assert function.code == code or release != RELEASES[-1]
    assert v5.write(model) == data


def test_outputs_may_lie_in_another_order() -> None:
    """The reference compiler places the outputs of an LSTM as it comes to them."""
    types = (v5.TensorType(DataType.FLOAT32, (3,)), v5.TensorType(DataType.INT64, (2,)))
    function = v5.Function((), types, (), output_starts=(16, 0))
    model = v5.Model((v5.Module(v5.STACKVM, (function,), b"", ()),))
    assert v5.read(v5.write(model)) == model
    wrong = v5.Model((v5.Module(v5.STACKVM, (replace(function, output_starts=(8, 0)),), b"", ()),))
    with pytest.raises(InvalidInputError, match="the ranges of inputs or outputs"):
        v5.read(v5.write(wrong))


def test_numbers_differ_between_releases() -> None:
    """The four that fooled people: 1.0 of the SDK, 1.1, 1.3 and 1.6."""
    assert [signatures(one)["unary"].number for one in ("1.0-beta", "1.0", "1.1", "1.3", "1.6")] == [26, 29, 33, 38, 38]
    assert [signatures(one)["conv2d"].number for one in ("1.0-beta", "1.5", "1.6")] == [5, 5, 6]
    assert "shd" not in [one.name for one in signatures("1.3")["binary"].fields]
    assert "softmax" not in signatures("1.5")
    assert unary_number("tanh", "1.0") == 14
    with pytest.raises(ValueError, match="no erf"):
        unary_number("erf", "1.7")


def test_what_a_release_lacks_is_refused() -> None:
    code = (operation_of("softmax"),)
    model = v5.Model((v5.Module(v5.STACKVM, (v5.Function((), (), code),), b"", ()),), release="1.5")
    with pytest.raises(ValueError, match=r"module 0: function 0: operation 0: softmax: .* release 1\.5"):
        v5.write(model)


def test_what_a_release_has_no_field_for_is_refused() -> None:
    """Instead of being lost."""
    for name, field, value in (("reduce_prod", "dt", DataType.INT32), ("sigmoid", "std", (1, 1, 1, 1))):
        one = operation_of(name)
        code = (replace(one, fields={**one.fields, field: value}),)
        model = v5.Model((v5.Module(v5.STACKVM, (v5.Function((), (), code),), b"", ()),), release="1.2")
        assert v5.write(replace(model, release="1.9"))
        with pytest.raises(
            ValueError, match=f"operation 0: {name}: the runtime of release 1.2 has no {field}, it takes"
        ):
            v5.write(model)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0x00, 0x4D, "byte 0: header: .* instead of LDMK"),
        (0x04, 6, "byte 0: header: .* version 6"),
        (0x10, 64, "byte 0: header: the alignment is 64 instead of 8"),
        (0x1C, 1, "byte 0: header: the main function is number 1"),
        (0x38, 0xC7, "byte 230: module 0: the body should end at byte 232"),
        (0x44, 2, "byte 230: module 0: section: needs 32 bytes, 2 are left"),
        (0x6C, 0x2D, "byte 229: module 0: function 0: operation 0: needs 1 bytes"),
        (0x70, 3, "byte 132: module 0: function 0: the ranges"),
        (0xA8, 1, "byte 184: module 0: section: '.text' has flags 1"),
        (0xB8, 0x28, "byte 184: module 0: function 0: operation 0: opcode 0x28"),
        (0xDF, 0x2A, "byte 226: module 0: function 0: operation 0: sh is register 9"),
        (0xE0, 0x63, "byte 225: module 0: function 0: operation 0: release 1.9 has no tensor function"),
        (0xE7, 1, "byte 231: module 0: padding is 0x01"),
    ],
)
def test_damage_is_told_with_its_place(offset: int, value: int, message: str) -> None:
    data = bytearray(TANH)
    data[offset] = value
    with pytest.raises(InvalidInputError, match=message):
        v5.read(bytes(data))


def test_a_kernel_that_does_not_exist_is_refused() -> None:
    blob = v5.MemoryRange(v5.Location.RDATA, DataType.UINT8, 0, 0)
    layer = v5.KpuConv2d(blob, blob, blob, None, 1, LayerRegisters(kernel_type=5))
    module = v5.Module(v5.K210, (v5.Function((), (), (layer,)),), b"", ())
    with pytest.raises(InvalidInputError, match=r"byte \d+: kpu_conv2d: registers: kernel_type is 5"):
        v5.read(v5.write(v5.Model((module,))))


def test_a_file_of_kpu_instructions_alone_is_described() -> None:
    """Runtimes take a function of the KPU as the main one."""
    port = (v5.TensorType(DataType.UINT8, (1, 1, 4, 4)),)
    inside = v5.MemoryRange(v5.Location.KPU, DataType.UINT8, 64, 256)
    code = (v5.KpuUpload(v5.MemoryRange(v5.Location.INPUT, DataType.UINT8, 0, 16), inside, (1, 1, 4, 4)),)
    info = describe(v5.write(v5.Model((v5.Module(v5.K210, (v5.Function(port, (), code),), b"", ()),))))
    assert [(line.mnemonic, line.operands) for line in info.instructions] == [("kpu_upload", "input+0 -> kpu+64")]
    assert (info.kpu_bytes, info.warnings) == (320, ())


def test_any_bytes_are_read_or_refused() -> None:
    dice = random.Random(0)
    for _ in range(400):
        data = bytearray(TANH)
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        cut = bytes(data[: dice.randrange(len(data)) if dice.random() < 0.3 else len(data)])
        try:
            model = v5.read(cut)
        except InvalidInputError:
            continue
        assert v5.write(model) == cut
