import struct
from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.dialects.func import Func
from xdsl.parser import Parser
from xdsl.printer import Printer

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError, KpuirError, UsageError
from kpuir.ir.arrays import to_dense
from kpuir.ir.functions import entry_function
from kpuir.ir.printing import module_text
from kpuir.kmodel import kmodel_version, v4
from kpuir.kmodel.layer import LayerRegisters
from kpuir.translate import read_kmodel, write_kmodel
from kpuir.translate.kmodel_v4 import from_v4, to_v4
from tests.kmodel.vectors import one_of_each, v4_models
from tests.shared import shared_file

MAIN, CONST, KPU = v4.MemoryType.MAIN, v4.MemoryType.CONST, v4.MemoryType.KPU
FLOAT32, UINT8 = v4.DataType.FLOAT32, v4.DataType.UINT8


def memory(pool: v4.MemoryType, datatype: v4.DataType, start: int, size: int) -> v4.MemoryRange:
    return v4.MemoryRange(pool, datatype, start, size)


def model_of(*nodes: v4.Instruction, constants: bytes = b"", main_bytes: int = 256) -> v4.Model:
    return v4.Model((), (), constants, main_bytes, nodes)


def parse(text: str) -> ModuleOp:
    context = Context()
    for dialect in (Builtin, Func, kbuf.Kbuf):
        context.load_dialect(dialect)
    return Parser(context, text).parse_module()


def stock_text(module: ModuleOp) -> str:
    stream = StringIO()
    Printer(stream, print_debuginfo=True).print_op(module)
    return stream.getvalue()


def ops_of(module: ModuleOp, kind: type[kbuf.InstructionOp] = kbuf.InstructionOp) -> list[kbuf.InstructionOp]:
    return [op for op in entry_function(module).body.block.ops if isinstance(op, kind)]


def kpu_model(**changes: object) -> v4.Model:
    """One layer of the engine: 2 channels of 4x4 to 3 of 2x2, copied to main memory."""
    registers = LayerRegisters(
        image_src_addr=1, image_dst_addr=9, i_ch_num=1, o_ch_num=2, i_row_wid=3, i_col_high=3, o_row_wid=1,
        o_col_high=1, pool_type=1, send_data_out=1,
    )  # fmt: skip
    node = v4.KpuConv2d(
        main_output=memory(MAIN, UINT8, 16, 12),
        batches=1,
        reserved=0,
        registers=registers,
        batch_norm=np.arange(3, dtype=np.uint64) + np.uint64(0xC << 60),
        activation=np.arange(16, dtype=np.uint64) + np.uint64(0xC << 60),
        activation_add=np.arange(16, dtype=np.uint8),
        weights=np.arange(6, dtype=np.uint8),
    )
    return model_of(replace(node, **changes))  # pyright: ignore[reportArgumentType]  # a change is a field's value


def test_weights_of_16_bits_are_refused() -> None:
    module = from_v4(kpu_model())
    (layer,) = ops_of(module, kbuf.KpuConv2dOp)
    layer.properties["weights"] = to_dense(np.arange(6, dtype=np.uint16))
    module.verify()
    with pytest.raises(InvalidInputError, match=r"node 0: the layer has 16-bit weights.*v4 take 8 bits") as error:
        to_v4(module)
    assert error.value.hint == "use kpu-select-registers{weight_bits=8}"


# --- Round trips ----------------------------------------------------------------------------------------------------


def test_all_conformance_models_come_back_byte_for_byte() -> None:
    wrong = [name for name, data in v4_models().items() if write_kmodel(read_kmodel(data)) != data]
    assert wrong == []


def test_a_shipped_model_comes_back_through_text() -> None:
    data = shared_file("models/slim-320.kmodel").read_bytes()
    module = read_kmodel(data)
    assert ("kbuf.reserved" in module.attributes) == (struct.unpack_from("<I", data, 36)[0] != 0)
    text = module_text(module)
    again = parse(text)
    again.verify()
    assert module_text(again) == text
    assert write_kmodel(again) == data


@pytest.mark.parametrize(("print_module", "step"), [(module_text, 1), (stock_text, 5)])
def test_conformance_models_come_back_through_text(print_module: Callable[[ModuleOp], str], step: int) -> None:
    for name, data in list(one_of_each().items())[::step]:
        text = print_module(read_kmodel(data))
        again = parse(text)
        assert print_module(again) == text, name
        assert write_kmodel(again) == data, name


def test_garbage_and_odd_fills_come_back() -> None:
    registers = replace(kpu_model().nodes[0], fills=(8, 0, 120), reserved=7)  # pyright: ignore[reportArgumentType]  # a dataclass
    odd = replace(model_of(registers), flags=9, target=0, reserved=0xCCCCCCCC)
    data = v4.write(odd)
    text = module_text(read_kmodel(data))
    assert "fills = array<i64: 8, 0, 120>" in text
    assert write_kmodel(parse(text)) == data


@pytest.mark.parametrize("special", [16777217.0, 1234567.0, float("inf"), float("nan"), -0.0, 1e-45])
def test_floats_that_text_formats_stumble_over_come_back(special: float) -> None:
    bias = np.array([0.0, special], np.float32)
    rows = (memory(MAIN, FLOAT32, 0, 4), memory(MAIN, FLOAT32, 8, 8), memory(MAIN, FLOAT32, 16, 8))
    model = model_of(v4.Matmul(*rows, 1, 1, 2, (-float("inf"), float(np.float32(16777216.0))), bias))
    assert to_v4(parse(module_text(from_v4(model)))) == model


def test_an_unused_main_output_may_hold_garbage() -> None:
    odd = kpu_model(main_output=memory(MAIN, FLOAT32, 8, 0))
    assert to_v4(parse(module_text(from_v4(odd)))) == odd


# --- Import ---------------------------------------------------------------------------------------------------------


def test_the_constant_pool_is_one_constant_with_subviews() -> None:
    table, values, place = memory(CONST, UINT8, 8, 256), memory(MAIN, UINT8, 0, 16), memory(MAIN, UINT8, 16, 16)
    pool = bytes(range(8)) + bytes(range(256))
    module = from_v4(model_of(v4.TableLookup1d(values, table, place), constants=pool))
    (lookup,) = ops_of(module)
    assert isinstance(lookup, kbuf.TableLookup1dOp)
    root = kbuf.root_of(lookup.table)
    assert isinstance(root.owner, kbuf.ConstantOp)
    assert root.owner.array.tobytes() == pool
    assert kbuf.offset_of(lookup.table) == 8
    assert kbuf.shape_of(lookup.table) == (256,)


def test_buffers_get_the_shapes_of_the_instructions() -> None:
    wide, tall = memory(MAIN, FLOAT32, 0, 96), memory(MAIN, FLOAT32, 96, 96)
    turned = v4.Transpose(wide, tall, (1, 2, 3, 4), (0, 2, 3, 1))
    unary = v4.Unary(tall, wide, v4.UnaryKind.SIN)
    first, second = ops_of(from_v4(model_of(turned, unary)))
    assert kbuf.shape_of(first.destinations[0]) == (1, 3, 4, 2)
    assert second.sources[0] is first.destinations[0]
    assert kbuf.shape_of(second.destinations[0]) == (1, 3, 4, 2)  # an elementwise op's result is shaped as its input


def test_maps_of_a_layer_come_from_its_registers() -> None:
    (op,) = ops_of(from_v4(kpu_model()))
    assert isinstance(op, kbuf.KpuConv2dOp)
    assert [kbuf.offset_of(value) for value in (op.input, op.output)] == [64, 9 * 64]
    assert [kbuf.shape_of(value) for value in (op.input, op.output)] == [(1, 2, 4, 4), (1, 3, 2, 2)]
    assert op.main_output is not None
    assert kbuf.shape_of(op.main_output) == (1, 3, 2, 2)
    assert op.registers.data.image_dst_addr == 0


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            v4.Unary(memory(MAIN, FLOAT32, 0, 8), memory(MAIN, FLOAT32, 252, 8), v4.UnaryKind.SIN),
            "node 0: bytes 252..260 lie outside of the 256 bytes of main",
        ),
        (
            v4.Unary(memory(CONST, FLOAT32, 0, 8), memory(MAIN, FLOAT32, 0, 8), v4.UnaryKind.SIN),
            "node 0: bytes 0..8 lie outside of the 0 bytes of const",
        ),
        (
            v4.MemoryCopy(memory(MAIN, FLOAT32, 0, 6), memory(MAIN, FLOAT32, 8, 6)),
            "node 0: a range of 6 bytes holds no whole number of FLOAT32",
        ),
        (
            v4.Transpose(memory(MAIN, UINT8, 0, 8), memory(MAIN, UINT8, 8, 8), (1, 1, 2, 4), (0, 0, 0, 0)),
            "node 0: perm .* is no permutation",
        ),
        (
            v4.Softmax(memory(MAIN, UINT8, 0, 8), memory(MAIN, UINT8, 8, 8), 8, 1, 1.0),
            "(?s)node 0: .*expected elements of type f32",
        ),
        (
            v4.KpuUpload(memory(MAIN, UINT8, 0, 32), memory(KPU, UINT8, (2 << 20) - 64, 128), (1, 2, 4, 4)),
            "lie outside of the 2097152 bytes of kpu",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(node: v4.Instruction, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        from_v4(model_of(node))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutations_are_translated_exactly_or_refused(data: st.DataObject) -> None:
    originals = one_of_each()
    broken = bytearray(originals[data.draw(st.sampled_from(sorted(originals)))])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(2, len(broken) // 4 - 1)) * 4
        value = data.draw(st.sampled_from([0, 1, 2, 8, 64, 0x7FFFFFFF, 0xFFFFFFFF]) | st.integers(0, 300))
        broken[place : place + 4] = value.to_bytes(4, "little")
    try:
        module = read_kmodel(bytes(broken))
    except InvalidInputError:
        return
    module.verify()
    assert write_kmodel(module) == v4.write(v4.read(bytes(broken)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "this is no kmodel"),
        (b"LDMK", "this is no kmodel"),
        (b"\x08\0\0\0TFL3", "this is no kmodel"),
        (b"\3\0\0\0" + bytes(60), "kmodel v3: byte 28: end: 36 bytes follow the last layer"),
        (b"LDMK\5\0\0\0" + bytes(60), "kmodel v5: byte 0: header: .* size 0"),
        (b"LDMK\6\0\0\0" + bytes(60), "kmodel version 6 is unknown"),
        (b"LDMK\4\0\0\0", "byte 0: header"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_kmodel(data)


def test_versions_are_told_apart() -> None:
    assert [kmodel_version(head) for head in (b"\3\0\0\0", b"LDMK\4\0\0\0", b"LDMK\5\0\0\0")] == [3, 4, 5]


# --- Export ---------------------------------------------------------------------------------------------------------

HEADER = 'kbuf.version = "v4", kbuf.main_bytes = 64 : i64, kbuf.constant_bytes = 8 : i64'
FLOATS = "memref<8xf32, #kbuf.space<main>>"


def module_of(body: str, header: str = HEADER) -> ModuleOp:
    return parse(f"builtin.module attributes {{{header}}} {{ func.func @main() {{ {body} func.return }} }}")


def unary(first: str = "offset = 0 : i64", second: str = "offset = 32 : i64") -> str:
    return f"""%0 = kbuf.alloc {{{first}}} : {FLOATS}
    %1 = kbuf.alloc {{{second}}} : {FLOATS}
    kbuf.unary %0 -> %1 {{op = #kbuf.unary_kind<exp>}} : {FLOATS} -> {FLOATS} loc("conv1")"""


def quantize(zero_point: int) -> str:
    target = "memref<8xui8, #kbuf.space<main>>"
    return f"""%0 = kbuf.alloc {{offset = 0 : i64}} : {FLOATS}
    %1 = kbuf.alloc {{offset = 32 : i64}} : {target}
    kbuf.quantize %0 -> %1 {{scale = 1.0 : f32, zero_point = {zero_point} : i64}} : {FLOATS} -> {target} loc("conv1")"""


def test_a_module_becomes_a_model() -> None:
    body = f"""{unary()}
      %c = kbuf.constant dense<[7, 8]> : tensor<2xi8> {{offset = 4 : i64}} : memref<2xi8, #kbuf.space<const>>
    """.replace("i8", "ui8")
    body += f"kbuf.input %0 {{index = 0 : i64, shape = array<i64: 1, 1, 2, 4>}} : {FLOATS}\n"
    body += f"kbuf.output %1 {{index = 0 : i64}} : {FLOATS}\n"
    source, target = memory(MAIN, FLOAT32, 0, 32), memory(MAIN, FLOAT32, 32, 32)
    assert to_v4(module_of(body)) == v4.Model(
        inputs=((source, (1, 1, 2, 4)),),
        outputs=(target,),
        constants=bytes([0, 0, 0, 0, 7, 8, 0, 0]),
        main_bytes=64,
        nodes=(v4.Unary(source, target, v4.UnaryKind.EXP),),
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (unary(second=""), "conv1: kbuf.unary: a buffer in main has no offset: run kbuf-allocate first"),
        (unary(second="offset = 40 : i64"), "conv1: .*bytes 40..72 lie outside of the 64 bytes of main"),
        (unary().replace("#kbuf.space<main>", "#kbuf.space<output>"), "v4 has no #kbuf.space<output>"),
        ("%0 = kbuf.constant dense<1> : tensor<9xui8> {offset = 0 : i64} : memref<9xui8, #kbuf.space<const>>",
         "bytes 0..9 lie outside of the 8 bytes of const"),
        (unary() + f" kbuf.output %0 {{index = 1 : i64}} : {FLOATS}", "1 outputs, but none has number 0"),
        (unary() + 2 * f" kbuf.output %0 {{index = 0 : i64}} : {FLOATS}", "number 0 is given twice"),
        ('"builtin.unrealized_conversion_cast"() : () -> () loc("odd")', "odd: .*is no runtime instruction"),
        (quantize(4294967296), "conv1: kbuf.quantize: .*zero_point is 4294967296"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_file_is_refused_with_its_layer(body: str, message: str) -> None:
    with pytest.raises(KpuirError, match=message):
        to_v4(module_of(body))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('kbuf.version = "v3"', "kbuf.version is v3, but"),
        ("kbuf.main_bytes = 64 : i64", "kbuf.version is missing"),
        ('kbuf.version = "v4", kbuf.constant_bytes = 0 : i64', "no kbuf.main_bytes"),
    ],
)
def test_a_module_that_is_not_ready_is_refused(header: str, message: str) -> None:
    with pytest.raises(KpuirError, match=message):
        to_v4(module_of(unary(), header))


def test_a_map_must_start_at_a_line() -> None:
    module = from_v4(kpu_model())
    alloc = next(op for op in module.walk() if isinstance(op, kbuf.AllocOp))
    alloc.offset = IntegerAttr(72, i64)
    with pytest.raises(KpuirError, match="input starts at byte 72, which is no multiple of 64"):
        to_v4(module)


def test_a_header_that_does_not_fit_is_refused() -> None:
    module = from_v4(model_of())
    module.attributes["kbuf.flags"] = IntegerAttr(1 << 32, i64)
    with pytest.raises(KpuirError, match="header"):
        write_kmodel(module)


def test_other_versions_are_not_written() -> None:
    with pytest.raises(UsageError, match="there is no kmodel v7"):
        write_kmodel(from_v4(model_of()), "v7")
    with pytest.raises(InvalidInputError, match=r"kbuf\.version is v4, but a v5 file needs a module lowered for v5"):
        write_kmodel(from_v4(model_of()), "v5")


def test_the_version_is_written_into_the_module() -> None:
    assert from_v4(model_of()).attributes["kbuf.version"] == StringAttr("v4")
