from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kpuir.dialects import kbuf
from kpuir.kmodel import v4
from kpuir.kmodel.layer import LayerRegisters, pack_activation
from kpuir.translate import read_kmodel
from kpuir.translate.kmodel_v4 import check_loadable, from_v4
from tests.kmodel.vectors import v4_models
from tests.shared import shared_file

MAIN, CONST, KPU = v4.MemoryType.MAIN, v4.MemoryType.CONST, v4.MemoryType.KPU
FLOAT32, UINT8 = v4.DataType.FLOAT32, v4.DataType.UINT8


def problems(node: v4.Instruction, constants: bytes = b"") -> list[str]:
    return check_loadable(from_v4(v4.Model((), (), constants, 4096, (node,))))


def main(start: int, size: int, datatype: v4.DataType = UINT8) -> v4.MemoryRange:
    return v4.MemoryRange(MAIN, datatype, start, size)


def test_a_shipped_model_is_loadable() -> None:
    assert check_loadable(read_kmodel(shared_file("models/slim-320.kmodel").read_bytes())) == []


def test_conformance_models_only_do_what_the_vectors_are_for() -> None:
    expected = {"nnil_unary_method", "conv2d_transpose", "memory_copy"}
    found = {name.rpartition("-")[0] for name, data in v4_models().items() if check_loadable(read_kmodel(data))}
    assert found == expected


GOOD_REGISTERS = LayerRegisters(
    image_src_addr=1, image_dst_addr=9, i_ch_num=1, o_ch_num=2, o_ch_num_coef=2, i_row_wid=3, i_col_high=3, o_row_wid=1,
    o_col_high=1, pool_type=1, load_para=1, load_coor=1, load_act=1, para_size=6, row_switch_addr=1,
    channel_switch_addr=4, coef_group=4, wb_row_switch_addr=1, wb_channel_switch_addr=2, wb_group=4,
    channel_byte_num=3, dma_total_byte=11,
)  # fmt: skip
GOOD_LAYER = v4.KpuConv2d(
    main_output=None,
    batches=1,
    reserved=0,
    registers=GOOD_REGISTERS,
    batch_norm=np.zeros(3, np.uint64),
    activation=pack_activation([-(1 << 35)] + [0] * 15, [0] * 16, [0] * 16),
    activation_add=np.zeros(16, np.uint8),
    weights=np.zeros(6, np.uint8),
)


def test_a_good_layer_has_no_problems() -> None:
    assert problems(GOOD_LAYER) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row_switch_addr": 2}, "register row_switch_addr is 2, but the layer needs 1"),
        ({"channel_switch_addr": 5}, "register channel_switch_addr is 5, but the layer needs 4"),
        ({"coef_group": 1}, "register coef_group is 1, but the layer needs 4"),
        ({"wb_group": 2}, "register wb_group is 2, but the layer needs 4"),
        ({"send_data_out": 1}, "register send_data_out is 1, but the layer needs 0"),
        ({"int_en": 1}, "register int_en is 1"),
        ({"load_act": 0}, "register load_act is 0"),
        ({"para_size": 5}, "register para_size is 5, but the layer needs 6"),
        ({"dma_total_byte": 12}, "register dma_total_byte is 12, but the layer needs 11"),
        ({"load_time": 1}, "load_time gives 2 loads of weights, but 1 are needed"),
        ({"image_dst_addr": 4}, "output and input share bytes"),
    ],
)
def test_registers_that_contradict_the_layer(changes: dict[str, int], message: str) -> None:
    found = problems(replace(GOOD_LAYER, registers=replace(GOOD_REGISTERS, **changes)))
    assert any(message in problem for problem in found), found
    assert all(problem.startswith("node 0: kbuf.kpu_conv2d: ") for problem in found)


def test_more_weight_loads_than_the_register_counts() -> None:
    # 65 blocks of one channel: what wraps silently in the six bits (kpu-hardware.md 5)
    registers = replace(
        GOOD_REGISTERS, o_ch_num=64, o_ch_num_coef=0, load_time=0, para_size=2, dma_total_byte=259
    )  # fmt: skip
    layer = replace(
        GOOD_LAYER, registers=registers, batch_norm=np.zeros(65, np.uint64), weights=np.zeros(130, np.uint8)
    )  # fmt: skip
    assert problems(layer) == [
        "node 0: kbuf.kpu_conv2d: register load_time gives 1 loads of weights, but 65 are needed, the KPU does 64"
    ]


def test_a_main_output_needs_the_dma_flag() -> None:
    layer = replace(GOOD_LAYER, main_output=main(0, 12))
    assert problems(layer) == ["node 0: kbuf.kpu_conv2d: register send_data_out is 0, but the layer needs 1"]


def test_an_activation_table_that_starts_too_high() -> None:
    layer = replace(GOOD_LAYER, activation=np.zeros(16, np.uint64))
    assert problems(layer) == ["node 0: kbuf.kpu_conv2d: the activation table starts at 0 instead of -34359738368"]


def quantized(**changes: Any) -> v4.QuantizedBinary:
    eight = (1, 1, 1, 8)
    good = v4.QuantizedBinary(
        main(0, 8), main(8, 8), main(16, 8), v4.BinaryKind.ADD, eight, eight, eight, 0, 1, 0, 0, 1, 0, 0, 1, 0
    )  # fmt: skip
    return replace(good, **changes)


def nnil(code: bytes) -> v4.NnilUnaryMethod:
    return v4.NnilUnaryMethod(main(0, 8, FLOAT32), main(8, 8, FLOAT32), np.frombuffer(code, np.uint8))


ONE_TO_ONE = ((0, 0), (0, 0), 1, 1, 1, 1, 1, 1)
NHWC_WEIGHTS = v4.CpuQuantizedDepthwiseConv2d(
    main(0, 3), main(8, 3), (1, 1, 1, 3), *ONE_TO_ONE, 0, 0, 1, 0, 0, np.zeros(3, np.uint8), np.zeros(3, np.int32)
)  # fmt: skip


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (v4.MemoryCopy(main(0, 7), main(8, 7)), "the last 3 of 7 bytes would be lost"),
        (v4.MemoryCopy(main(0, 8), main(18, 8)), "output starts at byte 18 of main, which is no multiple of 4"),
        (
            v4.Dequantize(main(0, 2), main(6, 8, FLOAT32), 0, 1.0),
            "buffer starts at byte 6 of main, which is no multiple of 4",
        ),
        (
            v4.KpuUpload(main(4, 256), v4.MemoryRange(KPU, UINT8, 0, 256), (1, 1, 4, 64)),
            "input starts at byte 4 of main, which is no multiple of 8",
        ),
        (v4.MemoryCopy(main(0, 8), main(4, 8)), "output and input share bytes"),
        (v4.MemoryCopy(main(0, 8), v4.MemoryRange(CONST, UINT8, 0, 8)), "output lies in the constant pool"),
        (v4.MemoryCopy(v4.MemoryRange(CONST, UINT8, 2, 4), main(0, 4)), "input starts at byte 2 of const"),
        (
            v4.Quantize(v4.MemoryRange(CONST, FLOAT32, 2, 4), main(0, 1), 0, 1.0),
            "input starts at byte 2 of const, which is no multiple of 4",
        ),
        (quantized(b_shift=63), "b_shift is 63, but must lie in 0..62"),
        (quantized(output_shift=-1), "output_shift is -1, but must lie in 0..62"),
        (NHWC_WEIGHTS, "the bias follows 3 bytes of weights"),
        (
            v4.CpuReduceWindow2d(
                main(0, 4, FLOAT32), main(8, 4, FLOAT32), v4.ReduceKind.SUM, (1, 1, 1, 1), *ONE_TO_ONE, 0.0, (0.0, 1.0)
            ),
            "the runtime stops at a sum",
        ),
        (
            v4.StridedSlice(
                main(0, 8), main(8, 8), (1, 1, 1, 8), (0, 0, 0, 0), (1, 1, 1, 8), (1, 1, 1, 1), 0, 5, 0, 0, 0
            ),
            "no runtime reads masks, but end_mask is 5",
        ),
        (nnil(b"\3\x2a\xa0"), "code byte 1 is 0x2a, which is no instruction"),
        (nnil(b"\3\x40\xa0"), "code byte 1 (0x40) leaves the stack"),
        (nnil(b"\3" * 65), "code byte 64 (0x03) leaves the stack of 0..64 values"),
        (nnil(b"\3\x20"), "the code has no return"),
        (nnil(b"\x06\0\0\0\0\xa0"), "the literal at code byte 1 is not aligned to 4"),
    ],
)
def test_instructions_that_misbehave(node: v4.Instruction, message: str) -> None:
    found = problems(node, bytes(8))
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize("node", [quantized(), nnil(b"\3\0\0\x06\0\0\0\0\x42\xa0\xff")])
def test_instructions_that_behave(node: v4.Instruction) -> None:
    assert problems(node) == []


def test_buffers_without_an_offset() -> None:
    module = from_v4(v4.Model((), (), b"", 4096, (quantized(),)))
    alloc = next(op for op in module.walk() if isinstance(op, kbuf.AllocOp))
    alloc.offset = None
    assert check_loadable(module) == ["node 0: kbuf.alloc: buffer has no offset: run kbuf-allocate first"]


def test_pools_of_an_odd_size() -> None:
    module = from_v4(v4.Model((), (), bytes(9), 4, ()))
    assert check_loadable(module) == [
        "module: kbuf.main_bytes is 4 : i64, which is no multiple of 8",
        "module: kbuf.constant_bytes is 9 : i64, which is no multiple of 8",
    ]
