import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpuir.kmodel.layer import (
    FIELDS,
    LayerRegisters,
    pack_activation,
    pack_batch_norm,
    unpack_activation,
    unpack_batch_norm,
)

words = st.lists(st.integers(0, 2**64 - 1), min_size=12, max_size=12)


@given(words)
def test_any_bits_survive_a_round_trip(block: list[int]) -> None:
    assert LayerRegisters.unpack(block).pack() == tuple(block)


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_holds_its_limits_and_nothing_else(name: str) -> None:
    low, high = FIELDS[name].limits
    for value in (low, high):
        packed = LayerRegisters(**{name: value}).pack()
        assert LayerRegisters.unpack(packed) == LayerRegisters(**{name: value})
    for value in (low - 1, high + 1):
        with pytest.raises(ValueError, match=f"{name} is {value}, .*{low}..{high}"):
            LayerRegisters(**{name: value}).pack()


def test_fields_of_a_word_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for bits in FIELDS.values():
        mine = {(bits.word, bit) for bit in range(bits.low, bits.low + bits.width)}
        assert not taken & mine
        taken |= mine


def test_words_are_those_of_the_specification() -> None:
    # the example of kpu-hardware.md section 4, its words put together by hand
    registers = LayerRegisters(
        image_src_addr=29168,
        image_dst_addr=23408,
        i_ch_num=2,
        o_ch_num=15,
        row_switch_addr=5,
        channel_switch_addr=1200,
        coef_group=1,
        arg_x=-4390912,
        shr_x=15,
        para_size=432,
        pool_type=1,
    )
    packed = registers.pack()
    assert packed[1] == 29168 | 23408 << 32
    assert packed[2] == 2 | 15 << 32
    assert packed[4] == 1 << 4
    assert packed[5] == 432 << 15
    assert packed[7] == 1200 | 5 << 16 | 1 << 28
    assert packed[9] == 15 << 4 | ((1 << 24) - 4390912) << 32


def test_reserved_may_not_hold_the_bits_of_a_field() -> None:
    with pytest.raises(ValueError, match="reserved"):
        LayerRegisters(reserved=1).pack()


def test_a_kernel_that_does_not_exist_has_no_size() -> None:
    with pytest.raises(ValueError, match="kernel_type is 2"):
        _ = LayerRegisters(kernel_type=2).kernel_size


def test_lengths_follow_from_the_registers() -> None:
    registers = LayerRegisters(i_ch_num=2, o_ch_num=15, kernel_type=1, i_row_wid=319, i_col_high=239)
    assert registers.weight_count == 16 * 3 * 9
    assert registers.input_shape == (3, 240, 320)
    assert LayerRegisters(i_ch_num=7, o_ch_num=7, kernel_type=1, depth_wise_layer=1).weight_count == 72


@given(st.integers(-(2**23), 2**23 - 1), st.integers(0, 15), st.integers(-(2**31), 2**31 - 1))
def test_batch_norm_entries(mul: int, shift: int, add: int) -> None:
    words = pack_batch_norm([mul], [shift], [add])
    assert words.dtype == np.uint64
    assert int(words[0]) == (mul & 0xFFFFFF) | (add & 0xFFFFFFFF) << 24 | shift << 56
    for form in (words, words.view(np.int64)):
        assert [int(part[0]) for part in unpack_batch_norm(form)] == [mul, shift, add]


@given(st.integers(-(2**35), 2**35 - 1), st.integers(-(2**15), 2**15 - 1), st.integers(0, 255), st.integers(0, 15))
def test_activation_words(start: int, mul: int, shift: int, garbage: int) -> None:
    words = pack_activation([start] * 16, [mul] * 16, [shift] * 16)
    assert int(words[3]) == shift | (mul & 0xFFFF) << 8 | (start & (2**36 - 1)) << 24
    dirty = words | np.uint64(garbage << 60)
    assert [int(part[7]) for part in unpack_activation(dirty)] == [start, mul, shift]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 2**23], [0, 0], [0, 0]), r"mul\[1\] is 8388608"),
        (([0], [16], [0]), r"shift\[0\] is 16.*0..15"),
        (([0], [0], [-(2**31) - 1]), r"add\[0\]"),
        (([0], [0, 0], [0]), "differ in length"),
    ],
)
def test_batch_norm_values_that_do_not_fit(arguments: tuple[list[int], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack_batch_norm(*arguments)


def test_activation_tables_of_another_length() -> None:
    with pytest.raises(ValueError, match="16 segments, not 15"):
        pack_activation([0] * 15, [0] * 15, [0] * 15)
