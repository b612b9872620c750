"""What a tensor function of kmodel v5 is made of; its text tests are in tests/filecheck."""

from typing import Any

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import f32

from kpuir.dialects import kbuf
from kpuir.passes.kbuf_unallocate import KbufUnallocatePass
from kpuir.target.stackvm import DataType
from kpuir.target.stackvm_tensors import tensors
from tests.dialects.test_kbuf import floats, module_of

PAD: dict[str, Any] = {
    "dt": DataType.FLOAT32,
    "sh": (1, 2),
    "st": (2, 1),
    "std": (4, 1),
    "pads": ((0, 0, 0), (1, 1, 0)),
    "mode": 0,
}


def test_the_values_of_a_tensor_function() -> None:
    x, y = floats(2), floats(4)
    op = kbuf.V5TensorOp([x, y], function="pad", fields=PAD, numbers={"value": 0.5})
    module_of(x, y, op).verify()
    assert op.values() == {"function": "pad", "fields": PAD, "numbers": {"value": 0.5}}
    assert [name for name, _ in op.buffers()] == ["in", "out"]
    assert (op.sources, op.destinations) == ((x.result,), (y.result,))


def test_a_gru_keeps_its_state_in_one_buffer() -> None:
    """It reads it and writes it: what is there before and after is one value."""
    sizes = (("in", 1), ("w", 3), ("r", 3), ("b", 6), ("initial_h", 1), ("out", 1), ("out_h", 1))
    buffers = [
        kbuf.AllocOp(kbuf.buffer_type((count,), f32, kbuf.Space.MAIN), 64 * n) for n, (_, count) in enumerate(sizes)
    ]
    state, other, later = buffers[4], *(
        kbuf.AllocOp(kbuf.buffer_type((1,), f32, kbuf.Space.MAIN), place) for place in (800, 900)
    )  # fmt: skip
    fields = {"sh": (1, 1, 1), "sh_w": (1, 3, 1), "direction": 0, "linear_before_reset": 0}
    gru = kbuf.V5TensorOp(buffers, function="gru", fields=fields, numbers={})
    before, after = kbuf.MemoryCopyOp(other, state), kbuf.MemoryCopyOp(state, later)
    module = module_of(*buffers, other, later, before, gru, after)
    KbufUnallocatePass().apply(Context(), module)
    found = gru.tensor("initial_h")
    assert (before.output, after.input) == (found, found)
    assert (found in gru.sources, found in gru.destinations) == (True, True)


WINDOW = {"stride_h": 1, "stride_w": 1, "dil_h": 1, "dil_w": 1}
SHAPES = {"sh": (1, 4, 5, 5), "st": (100, 25, 5, 1), "sh_w": (6, 2, 3, 3), "st_w": (18, 9, 3, 1), "st_bias": (1,)}
CONV: dict[str, Any] = {**SHAPES, **WINDOW, "groups": 2}
PADS = {"pad_h": (0, 0, 0), "pad_w": (0, 0, 0)}


@pytest.mark.parametrize(
    ("function", "fields", "why"),
    [
        ("conv2d", CONV | {"groups": 1}, "4 channels in 1 groups, weights for 2, 6 results"),
        ("conv2d", CONV | {"groups": 2, "dil_w": 0}, "dil_w is 0"),
        ("matmul", {"sh1": (1, 3), "sh2": (4, 2), "shd": (1, 2)}, r"\[1, 3\] times \[4, 2\] does not give"),
        ("softmax", {"sh": (1, 3), "axis": 2}, "there is no axis 2 of 2"),
        ("lut1d", {"table_len": 255}, "the table has 255 entries"),
        ("reduce", {"dt": DataType.FLOAT32, "sh": (), "st": (), "sh_axes": (0,)}, "the fields of reduce do not fit"),
    ],
)
def test_fields_that_do_not_fit(function: str, fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        tensors(function, fields, PADS)
