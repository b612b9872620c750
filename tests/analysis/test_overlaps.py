"""The checker of addresses finds every way in which buffers can destroy each other."""

from kpuir.analysis.overlaps import find_overlaps
from kpuir.runtime import parse_module

BUFFER = "memref<1x1x1x4xf32, #kbuf.space<main>>"


def problems(a: int, b: int, c: int, main_bytes: int = 48) -> list[str]:
    """Of a module that reads its input `a` twice, with the first result in `b` and the second in `c`."""
    text = f"""
    builtin.module attributes {{
      kbuf.version = "v4", kbuf.main_bytes = {main_bytes} : i64, kbuf.constant_bytes = 0 : i64}} {{
      func.func @main() {{
        %a = kbuf.alloc {{offset = {a} : i64}} : {BUFFER}
        kbuf.input %a {{index = 0 : i64, shape = array<i64: 1, 1, 1, 4>}} : {BUFFER}
        %b = kbuf.alloc {{offset = {b} : i64}} : {BUFFER}
        %c = kbuf.alloc {{offset = {c} : i64}} : {BUFFER}
        kbuf.unary %a -> %b {{op = #kbuf.unary_kind<neg>}} : {BUFFER} -> {BUFFER} loc("first")
        kbuf.unary %a -> %c {{op = #kbuf.unary_kind<abs>}} : {BUFFER} -> {BUFFER} loc("second")
        kbuf.output %b {{index = 0 : i64}} : {BUFFER} loc("left")
        kbuf.output %c {{index = 1 : i64}} : {BUFFER} loc("right")
        func.return
      }}
    }}"""
    return find_overlaps(parse_module(text.encode(), "test"))


def test_buffers_of_their_own_are_fine() -> None:
    assert problems(0, 16, 32) == []


def test_an_output_that_is_overwritten() -> None:
    assert problems(0, 16, 24) == ["left: reads bytes 16..32 of main memory, of which 8 are second's"]


def test_an_input_that_is_overwritten_before_its_last_reader() -> None:
    assert problems(0, 8, 32) == [
        "first: bytes 8..24 that it writes overlap 0..16 that it uses",
        "second: reads bytes 0..16 of main memory, of which 8 are first's",
    ]


def test_alignment_and_range() -> None:
    assert "first: byte 20 of main memory is no multiple of 8" in problems(0, 20, 40, 56)
    assert "second: bytes 32..48 of main memory, which has 40" in problems(0, 16, 32, 40)
