"""`kbuf-spill`: where the maps do not fit KPU RAM together, some wait elsewhere.

Before: `kbuf` instructions on buffers without addresses. After: the same, and where KPU RAM held too much, a map that
is not needed for a while is in no buffer of its own until it is. Where nothing is too much, nothing changes.

    kbuf.kpu_conv2d %x -> %skip
    ...
    kbuf.kpu_conv2d %skip_and_up -> %y          where %skip is the first part of %skip_and_up
      =>
    kbuf.kpu_conv2d %x -> %skip main %waiting
    ...
    kbuf.kpu_upload %waiting -> %first_part
    kbuf.kpu_conv2d %skip_and_up -> %y

A concatenation's buffer is alive from its first part on. So a part may also stay in KPU RAM by itself and be copied
into its place by a layer, which takes less time than the way through main RAM but frees only the other parts' bytes.
What takes the least time for the bytes it frees is done first (`kpu-hardware.md` 10); bytes are never changed.
What cannot be helped is left to `kbuf-allocate` to complain about.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from kpuir.analysis import estimates
from kpuir.analysis.memory import CAPACITIES
from kpuir.dialects import kbuf, kpu
from kpuir.dialects.kbuf.attributes import RegistersAttr
from kpuir.ir.functions import entry_function
from kpuir.memory import Access, Cuts, Moves, Segment, Way, allocate, busiest_step, plan, segments
from kpuir.memory.allocate import NODES
from kpuir.passes.convert_kpu_to_kbuf.lowering import Lowering, has_words
from kpuir.passes.convert_kpu_to_kbuf.placement import copy
from kpuir.passes.kbuf_allocate import buffers_in
from kpuir.target.k210 import K210

_SHARE = 64
"""By at least this share of the RAM the limit is lowered where what fits together does not find places."""


@dataclass(frozen=True)
class _Use:
    """An operand that is a part of a buffer in KPU RAM."""

    op: Operation
    operand: int
    access: Access

    @property
    def value(self) -> SSAValue:
        """The buffer."""
        return self.op.operands[self.operand]


def _moves(op: Operation, shape: Sequence[int], sent: int | None) -> Moves:
    """What it costs to move the map of `shape` that an operation writes; a layer sends at most `sent` pixels."""
    back = estimates.upload(shape)
    copied = estimates.layer(shape, shape[1], depthwise=True) if shape[1] <= K210.MAX_CHANNELS else inf
    if isinstance(op, kbuf.KpuConv2dOp) and op.main_output is None:
        possible = sent is None or shape[2] * shape[3] <= sent
        return Moves(copied, estimates.download(shape) if possible else inf, back)
    return Moves(copied, back if isinstance(op, kbuf.InputOp) else 0.0, back)


def _uses(ops: Sequence[Operation], sent: int | None) -> list[list[_Use]]:
    """The uses of each buffer in KPU RAM, in order; steps count instructions from 1, inputs are filled at 0."""
    found: dict[SSAValue, list[_Use]] = {}
    step = 0
    for op in ops:
        if not isinstance(op, kbuf.InstructionOp | kbuf.InputOp | kbuf.OutputOp):
            continue
        step += not isinstance(op, kbuf.InputOp)
        written = op.destinations if isinstance(op, kbuf.InstructionOp) else (op.buffer,)
        for index, value in enumerate(op.operands):
            if kbuf.space_of(value) is not kbuf.Space.KPU:
                continue
            writes = value in written and not isinstance(op, kbuf.OutputOp)
            start = kbuf.offset_in_root(value)
            access = Access(
                0 if isinstance(op, kbuf.InputOp) else step,
                start,
                start + kbuf.byte_size(value),
                _moves(op, kbuf.shape_of(value), sent) if writes else None,
            )
            found.setdefault(kbuf.root_of(value), []).append(_Use(op, index, access))
    return list(found.values())


class _Split:
    """Gives a buffer other bytes between its cuts, each time as many as are used there."""

    def __init__(self, uses: list[_Use], reason: str, words: bool) -> None:
        self.uses, self.reason, self.words = uses, reason, words
        self.shapes = [kbuf.shape_of(use.value) for use in uses]
        self.waiting: dict[int, SSAValue] = {}

    def run(self, cuts: Cuts) -> None:
        """Rewrite all uses."""
        root = kbuf.root_of(self.uses[0].value)
        whole, before = None, (0, root)
        for segment in segments([use.access for use in self.uses], cuts):
            whole = self._alloc(segment, root)
            for index in segment.restored:
                self._restore(index, segment, (segment.start, whole), before)
            for index in range(segment.first, segment.behind):
                use = self.uses[index]
                use.op.operands[use.operand] = self._part(use.op, index, (segment.start, whole))
            before = segment.start, whole
        _erase(root)

    def _alloc(self, segment: Segment, root: SSAValue) -> SSAValue:
        """A buffer for a segment, in front of it: of the shape of what it holds, if that is one map, else of lines."""
        size = segment.end - segment.start
        shapes = [
            self.shapes[index]
            for index in (*segment.restored, *range(segment.first, segment.behind))
            if (segment.start, segment.end) == (self.uses[index].access.start, self.uses[index].access.end)
        ]
        whole = [kbuf.shape_of(root)] if kbuf.byte_size(root) == size else []
        shape, *_ = (*whole, *shapes, (1, 1, size // K210.LINE_BYTES, K210.LINE_BYTES))
        buffer = _before(self.uses[segment.first].op).alloc(shape, kbuf.UI8, kbuf.Space.KPU)
        buffer.name_hint = root.name_hint
        return buffer

    def _part(self, op: Operation, index: int, buffer: tuple[int, SSAValue]) -> SSAValue:
        """What access `index` is to, in front of `op`: a part of a buffer that begins at a byte of the whole."""
        start, value = buffer
        return _before(op).part(value, self.shapes[index], self.uses[index].access.start - start)

    def _restore(self, index: int, segment: Segment, here: tuple[int, SSAValue], before: tuple[int, SSAValue]) -> None:
        """Write again, in front of a segment, what access `index` wrote."""
        reader, writer = self.uses[segment.first].op, self.uses[index].op
        target = self._part(reader, index, here)
        if segment.way is Way.COPY:
            copy(_before(reader, self.words), self._part(reader, index, before), target).location = writer.location
        else:
            _before(reader).emit(self._upload(writer, self._away(index), target))

    def _away(self, index: int) -> SSAValue:
        """Where in main RAM access `index` also writes to, or from where it uploads."""
        writer = self.uses[index].op
        if isinstance(writer, kbuf.KpuUploadOp):
            return writer.input
        if isinstance(writer, kbuf.KpuConv2dOp) and writer.main_output is not None:
            return writer.main_output
        if index not in self.waiting:
            self.waiting[index] = _before(writer).alloc(self.shapes[index], kbuf.UI8)
            self._send(writer, self.waiting[index])
        return self.waiting[index]

    def _send(self, writer: Operation, main: SSAValue) -> None:
        """Let what is written go to main RAM too; an input comes there, and is uploaded."""
        if isinstance(writer, kbuf.KpuConv2dOp):
            writer.attributes[kpu.REASON] = StringAttr(self.reason)
            writer.properties["registers"] = RegistersAttr(replace(writer.values()["registers"], send_data_out=1))
            writer.operands = [*writer.operands, main]
            return
        assert isinstance(writer, kbuf.InputOp)
        block = writer.parent
        assert block is not None
        block.insert_op_after(self._upload(writer, main, writer.buffer), writer)
        writer.operands = [main]

    def _upload(self, writer: Operation, main: SSAValue, target: SSAValue) -> kbuf.KpuUploadOp:
        upload = kbuf.KpuUploadOp(main, target, in_shape=kbuf.shape_of(target))
        upload.attributes[kpu.REASON] = StringAttr(self.reason)
        upload.location = writer.location
        return upload


def _before(op: Operation, words: bool = False) -> Lowering:
    return Lowering(Builder(InsertPoint.before(op)), words=words)


def _erase(value: SSAValue) -> None:
    """Erase a buffer nobody uses any more, and all views of it."""
    for use in list(value.uses):
        assert isinstance(use.operation, kbuf.SubviewOp)
        _erase(use.operation.result)
    owner = value.owner
    assert isinstance(owner, Operation)
    owner.detach()
    owner.erase()


def _spill(function: func.FuncOp, limit: int, sent: int | None, reason: str) -> None:
    """Cut buffers until `limit` bytes suffice, or as few more as possible."""
    buffers, words = _uses(list(function.body.block.ops), sent), has_words(function.walk())
    for uses, cuts in zip(buffers, plan([[use.access for use in uses] for uses in buffers], limit), strict=True):
        if cuts:
            _Split(uses, reason, words).run(cuts)


def _needed(function: func.FuncOp, capacity: int, nodes: int) -> tuple[int, int]:
    """The bytes of KPU RAM that allocation takes, and those that are alive at once."""
    buffers = list(buffers_in(kbuf.Space.KPU, list(function.body.block.ops)).values())
    return allocate(buffers, capacity, nodes).peak, busiest_step(buffers)[1]


@dataclass(frozen=True)
class KbufSpillPass(ModulePass):
    """Let maps that are not needed soon wait elsewhere where KPU RAM does not hold all.

    `capacity`: the bytes of KPU RAM to make do with; all there are unless given. `nodes`: as of `kbuf-allocate`.
    `sent`: as of `kpu-tile`.
    """

    name = "kbuf-spill"

    capacity: int = CAPACITIES[kbuf.Space.KPU]
    nodes: int = NODES
    sent: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place. Where places, not bytes, are what is missing, fewer bytes are aimed at."""
        function = entry_function(op)
        peak, alive = _needed(function, self.capacity, self.nodes)
        reason = f"KPU RAM is full: of maps of {alive} bytes, needed at once, it holds {self.capacity}"
        limit, best = self.capacity, function
        while peak > self.capacity and limit > 0:
            _spill(trial := function.clone(), limit, self.sent, reason)
            needed, alive = _needed(trial, self.capacity, self.nodes)
            if needed < peak:
                peak, best = needed, trial
            if alive > limit:
                break
            limit -= max(needed - self.capacity, self.capacity // _SHARE)
        if best is not function:
            op.body.block.insert_op_before(best, function)
            function.detach()
            function.erase()
