"""What allocation says where a RAM does not suffice."""

import pytest
from xdsl.parser import Parser

from kpuir.errors import DoesNotFitError
from kpuir.passes.kbuf_allocate import KbufAllocatePass
from kpuir.pipelines import make_context

MAIN, KPU = ("memref<1x{}x64x64xui8, #kbuf.space<" + space + ">>" for space in ("main", "kpu"))


def module(*channels: int) -> str:
    """Maps of 64 x 64 that are uploaded one after the other and returned together."""
    lines: list[str] = []
    for i, count in enumerate(channels):
        main, kpu = MAIN.format(count), KPU.format(count)
        lines += [
            f"%m{i} = kbuf.alloc : {main}",
            f"kbuf.input %m{i} {{index = {i} : i64, shape = array<i64: 1, {count}, 64, 64>}} : {main}",
            f"%k{i} = kbuf.alloc : {kpu}",
            f"kbuf.kpu_upload %m{i} -> %k{i} {{in_shape = array<i64: 1, {count}, 64, 64>}} : {main} -> {kpu}"
            f' loc("up{i}")',
        ]
    lines += [f"kbuf.output %k{i} {{index = {i} : i64}} : {KPU.format(c)}" for i, c in enumerate(channels)]
    return "\n".join(["func.func @main() {", *lines, "func.return", "}"])


def test_the_error_names_the_layer_what_it_needs_and_the_bound() -> None:
    context = make_context()
    with pytest.raises(DoesNotFitError) as error:
        KbufAllocatePass().apply(context, Parser(context, module(100, 300, 200)).parse_module())
    assert error.value.location == "up2"
    assert "2457600 bytes of KPU RAM are needed, there are 2097152; at least 2457600 are, " in error.value.message
    assert "output 1x200x64x64 of 819200 bytes (12800 rows of 64)" in error.value.message
    with pytest.raises(DoesNotFitError, match=r"\(38400 rows of 64\), alone more than there is\n"):
        KbufAllocatePass().apply(context, Parser(context, module(600)).parse_module())
