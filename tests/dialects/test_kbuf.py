import subprocess
import sys
from io import StringIO
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, FloatAttr, ModuleOp, f32
from xdsl.dialects.func import Func, FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import MemoryEffectKind, get_effects
from xdsl.transforms.common_subexpression_elimination import CommonSubexpressionElimination
from xdsl.transforms.dead_code_elimination import DeadCodeElimination
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects import kbuf
from kpuir.dialects.kbuf import Space, buffer_type
from kpuir.kmodel import v3, v4
from kpuir.kmodel.codec import codecs
from kpuir.kmodel.layer import FIELDS, LayerRegisters
from kpuir.target.k210 import feature_map_bytes


def context() -> Context:
    made = Context()
    for dialect in (Builtin, Func, kbuf.Kbuf):
        made.load_dialect(dialect)
    return made


def printed(attribute: Attribute) -> str:
    stream = StringIO()
    Printer(stream).print_attribute(attribute)
    return stream.getvalue()


def parsed(text: str) -> Attribute:
    return Parser(context(), text).parse_attribute()


def floats(*shape: int, space: Space = Space.MAIN) -> kbuf.AllocOp:
    return kbuf.AllocOp(buffer_type(shape, f32, space))


def octets(*shape: int, space: Space = Space.MAIN, offset: int | None = None) -> kbuf.AllocOp:
    return kbuf.AllocOp(buffer_type(shape, kbuf.UI8, space), offset)


def module_of(*ops: Operation) -> ModuleOp:
    return ModuleOp([FuncOp("main", ((), ()), Region(Block([*ops, ReturnOp()])))])


def names(module: ModuleOp) -> list[str]:
    return [op.name for op in module.walk() if op.name.startswith("kbuf.")]


def test_every_v4_instruction_has_an_op_with_its_fields() -> None:
    ops = {op.name.removeprefix("kbuf."): op for op in kbuf.INSTRUCTIONS}
    assert [op.name.removeprefix("kbuf.") for op in kbuf.INSTRUCTIONS] == [
        v4.INSTRUCTIONS[opcode].mnemonic for opcode in sorted(v4.INSTRUCTIONS)
    ]
    for node in v4.INSTRUCTIONS.values():
        definition = ops[node.mnemonic].get_irdl_definition()
        ours = {name for name, _ in definition.operands} | set(definition.properties)
        theirs = set(node.__dataclass_fields__)  # pyright: ignore[reportAttributeAccessIssue]  # a dataclass
        elsewhere = {"input", "output", "offsets", "flags", "unused_output"} if node is v4.KpuConv2d else set[str]()
        assert ours - elsewhere == theirs - {"count"}


def test_every_v3_layer_has_an_op_with_its_fields() -> None:
    layers = [layer for layer in v3.LAYERS.values() if layer is not v3.K210Conv]
    for layer, op in zip(layers, kbuf.v3.INSTRUCTIONS, strict=True):
        definition = op.get_irdl_definition()
        renamed = {"ranges": "inputs", "line": "output"}
        theirs = {renamed.get(name, name) for name in codecs(layer)}
        ours = [*(name for name, _ in definition.operands), *definition.properties]
        assert op.name == f"kbuf.v3_{layer.mnemonic}"
        assert set(ours) == (theirs - {"count"} if "inputs" in ours else theirs)


def test_importing_the_dialect_does_not_import_numpy() -> None:
    code = "import kpuir.dialects.kbuf, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- Buffers --------------------------------------------------------------------------------------------------------


@given(st.tuples(*[st.integers(1, 9)] * 3, st.integers(1, 200)))
def test_bytes_of_a_map_are_those_of_the_line_layout(shape: tuple[int, int, int, int]) -> None:
    assert kbuf.byte_size(buffer_type(shape, kbuf.UI8, Space.KPU)) == feature_map_bytes(*shape)
    assert kbuf.byte_size(buffer_type(shape, kbuf.UI8, Space.MAIN)) == np.prod(shape)
    assert kbuf.byte_size(buffer_type(shape, f32, Space.MAIN)) == 4 * np.prod(shape)


def test_flat_buffers_in_kpu_ram_are_raw_bytes() -> None:
    assert kbuf.byte_size(buffer_type([100], kbuf.UI8, Space.KPU)) == 100


def test_offsets_add_up_through_subviews() -> None:
    root = octets(64, offset=128)
    part = kbuf.SubviewOp(root, buffer_type([32], kbuf.UI8, Space.MAIN), 8)
    inner = kbuf.SubviewOp(part, buffer_type([2], f32, Space.MAIN), 16)
    assert kbuf.offset_of(inner.result) == 152
    assert kbuf.root_of(inner.result) is root.result
    unplaced = kbuf.SubviewOp(octets(64), buffer_type([8], kbuf.UI8, Space.MAIN), 8)
    assert kbuf.offset_of(unplaced.result) is None


def test_constants_keep_their_array() -> None:
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    constant = kbuf.ConstantOp(values, 8)
    constant.verify()
    assert (constant.array == values).all()
    assert kbuf.offset_of(constant.result) == 8
    assert kbuf.space_of(constant.result) is Space.CONST


# --- Instructions ---------------------------------------------------------------------------------------------------


def test_an_instruction_is_made_from_python_values_and_gives_them_back() -> None:
    op = kbuf.Conv2dOp(
        floats(1, 2, 4, 4),
        floats(1, 2, 4, 4),
        in_shape=(1, 2, 4, 4),
        groups=1,
        out_channels=2,
        pad_h=(0, 0),
        pad_w=[0, 0],
        filter_h=1,
        filter_w=1,
        stride_h=1,
        stride_w=1,
        dilation_h=1,
        dilation_w=1,
        act=(0.0, inf),
        weights=np.arange(4, dtype=np.float64).reshape(2, 2, 1, 1),
        bias=np.zeros(2, np.float32),
    )
    op.verify()
    values = op.values()
    assert values["in_shape"] == (1, 2, 4, 4)
    assert values["act"] == (0.0, inf)
    assert values["weights"].dtype == np.float32
    assert values["weights"].ravel().tolist() == [0, 1, 2, 3]
    assert [name for name, _ in op.buffers()] == ["input", "output"]
    assert op.sources == (op.input,)
    assert op.destinations == (op.output,)


def test_defaults_and_enumerations() -> None:
    op = kbuf.ResizeImageOp(
        floats(1, 1, 2, 2), floats(1, 1, 4, 4), in_shape=(1, 1, 2, 2), out_h=4, out_w=4, mode=kbuf.ResizeMode.NEAREST
    )
    op.verify()
    assert op.values() == {
        "in_shape": (1, 1, 2, 2),
        "out_h": 4,
        "out_w": 4,
        "mode": kbuf.ResizeMode.NEAREST,
        "align_corners": 0,
        "reserved": (0, 0, 0),
    }


def test_unknown_properties_are_refused() -> None:
    with pytest.raises(TypeError, match=r"kbuf.unary has no property beta"):
        kbuf.UnaryOp(floats(8), floats(8), op="exp", beta=1)


def test_raw_words_keep_their_bits() -> None:
    words = np.full(3, 0xC000000000000001, np.uint64)
    fmap = octets(1, 1, 4, 4, space=Space.KPU)
    op = kbuf.KpuConv2dOp(fmap, fmap, None, registers=LayerRegisters(), batch_norm=words, activation=words,
                          activation_add=np.zeros(16, np.uint8), weights=np.zeros(1, np.uint8))  # fmt: skip
    assert op.values()["batch_norm"].view(np.uint64).tolist() == words.tolist()
    assert op.values()["fills"] is None


def test_a_list_of_inputs() -> None:
    first, second, out = octets(8), octets(4), octets(12)
    op = kbuf.ConcatOp([first, second], out, inner_size=4, outer_size=1, dims=[2, 1])
    op.verify()
    assert [name for name, _ in op.buffers()] == ["inputs", "inputs", "output"]
    assert op.sources == (first.result, second.result)


def test_a_main_output_of_no_bytes_is_unused() -> None:
    fmap, other = octets(1, 1, 4, 4, space=Space.KPU), octets(1, 1, 4, 4, space=Space.KPU)
    registers = LayerRegisters(i_row_wid=3, i_col_high=3, o_row_wid=3, o_col_high=3)
    arrays: dict[str, Any] = {
        "batch_norm": np.zeros(1, np.int64),
        "activation": np.zeros(16, np.int64),
        "activation_add": np.zeros(16, np.uint8),
        "weights": np.zeros(1, np.uint8),
    }
    kbuf.KpuConv2dOp(fmap, other, floats(0), registers=registers, **arrays).verify()
    with pytest.raises(VerifyException, match="main_output has 4 bytes, but the result 16"):
        kbuf.KpuConv2dOp(fmap, other, octets(4), registers=registers, **arrays).verify()


# --- Effects --------------------------------------------------------------------------------------------------------


def test_generic_passes_leave_instructions_and_buffers_alone() -> None:
    first, second, third = floats(8), floats(8), floats(8)
    twice = [kbuf.UnaryOp(first, second, op="exp"), kbuf.UnaryOp(first, second, op="exp")]
    module = module_of(
        first,
        second,
        third,
        kbuf.InputOp(first, 0, (1, 1, 1, 8)),
        *twice,
        kbuf.UnaryOp(second, third, op="sin"),
        kbuf.OutputOp(third, 0),
    )
    module.verify()
    before = names(module)
    CommonSubexpressionElimination().apply(context(), module)
    DeadCodeElimination().apply(context(), module)
    assert names(module) == before


def test_unused_buffers_vanish_and_equal_views_merge() -> None:
    used, unused = octets(8), octets(8)
    kind = buffer_type([4], kbuf.UI8, Space.MAIN)
    views = [kbuf.SubviewOp(used, kind, 4), kbuf.SubviewOp(used, kind, 4)]
    module = module_of(used, unused, *views, *(kbuf.OutputOp(view, index) for index, view in enumerate(views)))
    CommonSubexpressionElimination().apply(context(), module)
    DeadCodeElimination().apply(context(), module)
    assert names(module) == ["kbuf.alloc", "kbuf.subview", "kbuf.output", "kbuf.output"]


def test_effects_name_their_buffers() -> None:
    source, target = floats(8), floats(8)
    effects = get_effects(kbuf.UnaryOp(source, target, op="exp"))
    assert effects is not None
    assert {(effect.kind, effect.value) for effect in effects} == {
        (MemoryEffectKind.READ, source.result),
        (MemoryEffectKind.WRITE, target.result),
    }


# --- Attributes -----------------------------------------------------------------------------------------------------


@given(st.floats(width=32, allow_nan=False), st.floats(width=32, allow_nan=False))
def test_clamps_come_back_from_text(lowest: float, highest: float) -> None:
    clamp = kbuf.ClampAttr.of(lowest, highest)
    assert parsed(printed(clamp)) == clamp
    assert clamp.values == (lowest, highest)


@given(st.floats(width=32, allow_nan=False))
def test_floats_come_back_from_text(value: float) -> None:
    assert parsed(printed(FloatAttr(value, f32))) == FloatAttr(value, f32)


REGISTER_VALUES = {
    name: st.integers(*bits.limits) for name, bits in FIELDS.items() if name not in kbuf.ADDRESS_FIELDS
}  # fmt: skip


@given(st.fixed_dictionaries({}, optional=REGISTER_VALUES))
def test_registers_come_back_from_text(values: dict[str, int]) -> None:
    attribute = kbuf.RegistersAttr(LayerRegisters(**values))
    text = printed(attribute)
    assert parsed(text) == attribute
    assert all((f"{name} {value}" in text) == (value != 0) for name, value in values.items())


def test_registers_keep_bits_no_field_covers() -> None:
    attribute = kbuf.RegistersAttr(LayerRegisters(reserved=1 << 4))
    assert printed(attribute) == "#kbuf.registers<reserved 16>"
    assert parsed(printed(attribute)) == attribute


def test_registers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(VerifyException, match=r"arg_w is 8388608, but its 24 bits hold -8388608..8388607"):
        kbuf.RegistersAttr(LayerRegisters(arg_w=1 << 23))
