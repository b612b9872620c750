"""What the conversion of every instruction shares: who writes and reads which bytes, new buffers, and refusals."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

from xdsl.builder import Builder
from xdsl.dialects import func
from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.rewriter import InsertPoint

from kpuir.dialects import kbuf, kpu
from kpuir.ir.locations import is_unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OpT = TypeVar("OpT", bound=Operation)
Convert = Callable[["Legalizer", Any], None]

CONVERSIONS: dict[type[Operation], Convert] = {}
"""How each instruction becomes layers of v3; those that need no conversion are not here."""

MOST_RANGES = 4096
"""A concat copies at most so many ranges: each takes 8 bytes of the file."""


MOST_ROWS = 64
"""So many rows of what v3 has a layer of one vector for get a layer each."""


class RefusalError(Exception):
    """An instruction that no layer of v3 does; the message says why."""


def converts(*kinds: type[Operation]) -> Callable[[Convert], Convert]:
    """Register a function as the conversion of some instructions."""

    def register(function: Convert) -> Convert:
        CONVERSIONS.update(dict.fromkeys(kinds, function))
        return function

    return register


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `end` of a buffer."""

    root: SSAValue
    start: int
    end: int

    @staticmethod
    def of(value: SSAValue) -> "Span":
        """The bytes a value shows."""
        start = kbuf.offset_in_root(value)
        return Span(kbuf.root_of(value), start, start + kbuf.byte_size(value))

    def overlaps(self, other: "Span") -> bool:
        """Whether they share bytes."""
        return self.root is other.root and self.start < other.end and other.start < self.end


class Legalizer:
    """Replaces the instructions of a function; what is inserted stands in front of the instruction being replaced."""

    def __init__(self, function: func.FuncOp) -> None:
        self.block = function.body.block
        self.problems: list[tuple[str, str]] = []
        self.op: Operation | None = None
        self.index()

    # --- Who does what

    def index(self) -> None:
        """Take note of all writers and readers anew."""
        self._users: dict[SSAValue, list[tuple[Operation, SSAValue, bool]]] = {}
        for op in self.block.ops:
            if not isinstance(op, kbuf.InstructionOp | kbuf.InputOp | kbuf.OutputOp):
                continue
            destinations = op.destinations if isinstance(op, kbuf.InstructionOp) else op.operands
            written = set(destinations) if not isinstance(op, kbuf.OutputOp) else set[SSAValue]()
            for value in op.operands:
                self._users.setdefault(kbuf.root_of(value), []).append((op, value, value in written))

    def writer(self, value: SSAValue) -> Operation | None:
        """The operation that writes just these bytes, None where several or others do."""
        span = Span.of(value)
        found = [(op, Span.of(other)) for op, other, writes in self._uses(span) if writes]
        return found[0][0] if len(found) == 1 and found[0][1] == span else None

    def writers(self, value: SSAValue) -> list[Operation]:
        """The operations that write parts of these bytes, which are all of them, by their places."""
        span = Span.of(value)
        found = [(op, Span.of(other)) for op, other, writes in self._uses(span) if writes]
        found.sort(key=lambda one: one[1].start)
        inside = all(span.start <= part.start and part.end <= span.end for _, part in found)
        whole = sum(part.end - part.start for _, part in found) == span.end - span.start
        return [op for op, _ in found] if inside and whole else []

    def readers(self, value: SSAValue) -> list[Operation]:
        """The operations that read some of these bytes, in order."""
        return [op for op, _, writes in self._uses(Span.of(value)) if not writes]

    def only_reader(self, value: SSAValue, reader: Operation) -> bool:
        """Whether just one operation reads these bytes."""
        return self.readers(value) == [reader]

    def _uses(self, span: Span) -> list[tuple[Operation, SSAValue, bool]]:
        return [use for use in self._users.get(span.root, ()) if span.overlaps(Span.of(use[1]))]

    # --- Building

    def emit(self, op: OpT) -> OpT:
        """Insert an operation in front of the current one, whose layer it belongs to."""
        assert self.op is not None
        if is_unknown(op.location):
            op.location = self.op.location
        if isinstance(op, kbuf.InstructionOp):
            op.attributes.update({key: self.op.attributes[key] for key in _HANDED_ON if key in self.op.attributes})
        Builder(InsertPoint.before(self.op)).insert(op)
        return op

    def replace(self, op: kbuf.InstructionOp) -> None:
        """Insert an instruction for the current one, and erase that."""
        old = self.op
        assert old is not None
        self.emit(op)
        self.op = op
        erase(old)

    def drop(self) -> None:
        """Erase the current instruction, for which others stand in front of it."""
        assert self.op is not None
        erase(self.op)
        self.op = None

    def replace_by_rows(
        self, kind: type[kbuf.InstructionOp], source: SSAValue, output: SSAValue, shape: tuple[int, int]
    ) -> None:
        """Replace the current instruction by one of a kind of vectors for each row of floats."""
        rows, size = shape
        for row in range(rows):
            parts = (self.view(value, (size,), 4 * row * size) if rows > 1 else value for value in (source, output))
            layer = kind(*parts, channels=size)
            if row < rows - 1:
                self.emit(layer)
            else:
                self.replace(layer)

    def alloc(self, shape: Sequence[int], element: Attribute = f32, space: kbuf.Space = kbuf.Space.MAIN) -> SSAValue:
        """A new buffer."""
        return self.emit(kbuf.AllocOp(kbuf.buffer_type(tuple(shape), element, space))).result

    def view(self, value: SSAValue, shape: Sequence[int], byte_offset: int = 0) -> SSAValue:
        """The same bytes, or those from an offset on, under another shape."""
        element = kbuf.UI8 if kbuf.element_size(value) == 1 else f32
        kind = kbuf.buffer_type(tuple(shape), element, kbuf.space_of(value))
        return value if kind == value.type else self.emit(kbuf.SubviewOp(value, kind, byte_offset)).result

    def constant(self, value: SSAValue) -> "NDArray[Any] | None":
        """The array of a constant, of the value's own shape."""
        owner = kbuf.root_of(value).owner
        if not isinstance(owner, kbuf.ConstantOp) or kbuf.byte_size(value) != kbuf.byte_size(owner.result):
            return None
        return owner.array.reshape(kbuf.shape_of(value))

    # --- Copies

    def copy(self, sources: Iterable[SSAValue], output: SSAValue) -> None:
        """Replace the current instruction by a copy of some bytes, one after another."""
        kind = kbuf.v3.QuantizedConcatOp if kbuf.element_size(output) == 1 else kbuf.v3.ConcatOp
        self.replace(kind(list(sources), output))

    def gather(self, source: SSAValue, places: "NDArray[np.integer[Any]]", output: SSAValue, fill: Any = None) -> None:
        """Replace the current instruction by a copy of the elements at `places` of a flat buffer, in order.

        Places of -1 get `fill`. Raises RefusalError where that takes too many ranges.
        """
        size, runs = kbuf.element_size(output), runs_of(places)
        longest = max((count for place, count in runs if place < 0), default=0)
        filled = None if not longest else self._filled(source, min(longest, _LONGEST_FILL), fill)
        parts = [part for run in runs for part in _cut(*run)]
        if len(parts) > MOST_RANGES:
            raise RefusalError(f"{len(parts)} ranges of bytes would have to be copied, the limit is {MOST_RANGES}")
        values = [
            self.view(source, (count,), place * size) if filled is None or place >= 0 else self.view(filled, (count,))
            for place, count in parts
        ]
        self.copy(values, output)

    def _filled(self, source: SSAValue, count: int, fill: Any) -> SSAValue:
        """A buffer of equal elements, made of whatever `source` holds."""
        import numpy as np

        if kbuf.element_size(source) == 4:
            result = self.alloc((count,))
            numbers = {"weights": np.zeros(count, np.float32), "bias": np.full(count, fill, np.float32)}
            one = self.view(source, (1,))
            self.emit(kbuf.v3.FullyConnectedOp(one, result, in_channels=1, out_channels=count, **numbers))
            return result
        elements = prod(kbuf.shape_of(source))
        result = self.alloc((-(-count // elements) * elements,), kbuf.UI8)
        table = np.full(256, fill, np.uint8)
        for start in range(0, count, elements):
            part = self.view(result, (elements,), start)
            self.emit(kbuf.v3.RequantizeOp(source, part, count=elements, table=table))
        return result


def runs_of(places: "NDArray[np.integer[Any]]") -> list[tuple[int, int]]:
    """(first place, how many) of places that follow one another; -1 follows -1."""
    import numpy as np

    flat = places.ravel()
    inside = (flat[1:] == flat[:-1] + 1) & (flat[:-1] >= 0)
    outside = (flat[1:] < 0) & (flat[:-1] < 0)
    bounds = [0, *(np.flatnonzero(~(inside | outside)) + 1).tolist(), len(flat)]
    return [(int(flat[low]), high - low) for low, high in pairwise(bounds)]


_HANDED_ON = (kpu.REASON, kpu.NUMBER)
_LONGEST_FILL = 1024


def _cut(place: int, count: int) -> list[tuple[int, int]]:
    """A run, cut where it is one of fill that is longer than what there is of that."""
    if place >= 0:
        return [(place, count)]
    return [(-1, min(_LONGEST_FILL, count - start)) for start in range(0, count, _LONGEST_FILL)]


def erase(op: Operation) -> None:
    """Remove an operation nobody uses."""
    op.detach()
    op.erase()
