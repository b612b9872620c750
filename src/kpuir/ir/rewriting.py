"""The rewrite driver of every pass: xDSL's walker, which keeps locations and stops runaway patterns.

An operation that a pattern inserts without a location takes the one of the operation being rewritten, so every
later message can name the user's layer.
"""

from collections.abc import Sequence

from xdsl.dialects.builtin import LocationAttr, ModuleOp
from xdsl.ir import Attribute, Operation
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriterListener,
    PatternRewriteWalker,
    RewritePattern,
)
from xdsl.utils.exceptions import PassFailedException

from kpuir.ir.locations import is_unknown


class _Tracker(RewritePattern):
    """Runs a pattern, remembers where the matched operation came from and counts what it inserts."""

    def __init__(self, pattern: RewritePattern, limit: int, keep: Sequence[str]) -> None:
        self.pattern = pattern
        self.limit = limit
        self.keep = keep
        self.inserted = 0
        self.location: LocationAttr | None = None
        self.kept: dict[str, Attribute] = {}

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        self.location = op.location
        self.kept = {name: op.attributes[name] for name in self.keep if name in op.attributes}
        self.pattern.match_and_rewrite(op, rewriter)

    def on_insertion(self, op: Operation) -> None:
        self.inserted += 1
        if self.inserted > self.limit:
            raise PassFailedException(f"patterns do not come to an end: {self.inserted} operations inserted")
        if self.location is None:
            return
        for inner in op.walk():
            if is_unknown(inner.location):
                inner.location = self.location
            if inner.operands:
                inner.attributes.update(self.kept)


def rewrite(module: ModuleOp, *patterns: RewritePattern, recursive: bool = True, keep: Sequence[str] = ()) -> bool:
    """Apply `patterns` (the first that matches wins) everywhere in `module`; return whether it changed.

    `recursive=False` visits each operation once: the choice for conversions. Unused pure operations are removed.
    Operations that are inserted take over the attributes called `keep` of the one being rewritten; constants do not.
    Raises PassFailedException when the patterns insert more than 1000 + 100 operations per operation of the module.
    """
    limit = 1000 + 100 * sum(1 for _ in module.walk())
    tracker = _Tracker(GreedyRewritePatternApplier(list(patterns)), limit, keep)
    listener = PatternRewriterListener(operation_insertion_handler=[tracker.on_insertion])
    return PatternRewriteWalker(tracker, apply_recursively=recursive, listener=listener).rewrite_module(module)
