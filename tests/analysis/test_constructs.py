"""The table of what runs on the KPU: its passes exist, run by default, in this order, and have tests."""

from pathlib import Path

import pytest

from kpuir.analysis.constructs import CONSTRUCTS, Construct
from kpuir.named_pipelines import PIPELINES
from kpuir.passes import PASSES
from kpuir.pipelines import parse_passes
from kpuir.target import k210

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda one: one.name[:40])
def test_passes_of_a_construct(construct: Construct) -> None:
    assert construct.passes
    order = [one.name for one in parse_passes("kpu-default", lambda: PIPELINES)]
    positions = [order.index(name) for name in construct.passes]
    assert positions == sorted(positions)
    for name in construct.passes:
        assert name in PASSES
        assert (TESTS / "filecheck" / "passes" / f"{name.replace('-', '_')}.mlir").is_file()
        module, kind = PASSES[name]
        numeric = [path.read_text() for path in TESTS.rglob("test_*.py") if "filecheck" not in path.name]
        named = (name, module.rpartition(".")[2], kind, "kpu-default", "kpu-legalize")
        assert any(any(word in text for word in named) for text in numeric)


def test_limits_are_rules_and_say_what_they_are() -> None:
    rules = {one for name, one in vars(k210).items() if name.endswith("_rule")}
    for construct in CONSTRUCTS:
        assert set(construct.limits) <= rules
        assert all(text.endswith((".", ":")) or "," in text for text in construct.limit_texts)


def test_every_pass_that_legalizes_is_for_something() -> None:
    helpers = {"canonicalize", "cse", "dce", "kpu-explain"}
    legalizing = {one.name for one in parse_passes("kpu-legalize", lambda: PIPELINES)} - helpers
    assert legalizing <= {name for construct in CONSTRUCTS for name in construct.passes}
