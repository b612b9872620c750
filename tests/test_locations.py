"""Names of layers on operations made out of several."""

import pytest
from xdsl.dialects import test
from xdsl.dialects.builtin import UnknownLoc

from kpuir.ir.locations import fused, layer_name, named


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["conv", "relu"], "conv+relu"),
        (["conv+relu", "conv"], "conv+relu"),
        (["conv", "conv+relu", "pool"], "conv+relu+pool"),
        (["conv", ""], "conv"),
        (["", ""], "test.op"),
    ],
)
def test_each_name_stands_once(names: list[str], expected: str) -> None:
    op = test.TestOp()
    op.location = fused(*(named(name) if name else UnknownLoc() for name in names))
    assert layer_name(op) == expected


def test_a_name_with_a_plus_of_its_own_is_kept() -> None:
    op = test.TestOp()
    op.location = fused(named("1+1"))
    assert layer_name(op) == "1+1"
