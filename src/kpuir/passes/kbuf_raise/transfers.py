"""What v4 has no instructions for and other ones do in passing: downloads, and tensors that lie within others."""

from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects.builtin import f32
from xdsl.ir import Operation, SSAValue
from xdsl.rewriter import InsertPoint

from kpuir.dialects import kbuf
from kpuir.passes.convert_kpu_to_kbuf.lowering import Lowering, has_words
from kpuir.passes.convert_kpu_to_kbuf.placement import copy
from kpuir.passes.kbuf_legalize_v3.legalizer import MOST_RANGES, RefusalError, erase, runs_of
from kpuir.passes.kbuf_raise.raiser import Raiser
from kpuir.target.k210 import layer_rules
from kpuir.target.stackvm import dense_strides
from kpuir.target.stackvm_tensors import Tensor, tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray


# --- Uploads and downloads ------------------------------------------------------------------------------------------


def deliver_inputs(raiser: Raiser) -> None:
    """Let the caller bring to KPU RAM what the model would upload itself, and nothing else reads."""
    for port in [op for op in raiser.block.ops if isinstance(op, kbuf.InputOp)]:
        readers = raiser.readers(port.buffer)
        if len(readers) != 1 or not isinstance(readers[0], kbuf.KpuUploadOp):
            continue
        upload, (images, *_) = readers[0], readers[0].values()["in_shape"]
        is_whole = images == 1 and kbuf.byte_size(upload.input) == kbuf.byte_size(port.buffer)
        if is_whole and raiser.writer(upload.output) is upload:
            _hoist(upload.output, port)
            port.operands = [upload.output]
            port.properties["shape"] = upload.in_shape
            erase(upload)
            raiser.index()


def send_downloads(raiser: Raiser) -> None:
    """Let the layers that write maps send them to where these are downloaded to, or else layers that copy them."""
    for op in list(raiser.block.ops):
        if isinstance(op, kbuf.KpuDownloadOp):
            raiser.op = op
            raiser.attempt(op, lambda one=op: _send(raiser, one))
            raiser.index()


def _send(raiser: Raiser, op: kbuf.KpuDownloadOp) -> None:
    writer = raiser.writer(op.input)
    if isinstance(writer, kbuf.KpuConv2dOp) and kbuf.shape_of(writer.output) == kbuf.shape_of(op.input):
        if writer.main_output is not None:
            raiser.copy_bytes([writer.main_output], op.output)
            raiser.drop()
            return
        if raiser.writer(op.output) is op:
            _hoist(op.output, writer)
            writer.operands = [writer.input, writer.output, op.output]
            erase(op)
            return
    shape = kbuf.shape_of(op.input)
    _, channels, height, width = shape
    verdict = layer_rules(channels, height, width, channels, 1, depthwise=True)
    if shape[0] != 1 or not verdict.ok:
        raise RefusalError(
            f"a download of {shape[0]} maps; v4 lets a layer send its result" if verdict.ok else verdict.reason
        )
    lowering = Lowering(Builder(InsertPoint.before(op)), words=has_words(raiser.block.ops))
    layer = copy(lowering, op.input, lowering.alloc(shape, kbuf.UI8, kbuf.Space.KPU), main=op.output)
    layer.location = op.location
    erase(op)


def _hoist(value: SSAValue, before: Operation) -> None:
    """Let a buffer that nothing before knows be made in front of an operation."""
    owner = value.owner
    assert isinstance(owner, Operation)
    if isinstance(owner, kbuf.SubviewOp):
        _hoist(owner.source, before)
    block = before.parent
    assert block is not None
    if block.get_operation_index(owner) > block.get_operation_index(before):
        owner.detach()
        block.insert_op_before(owner, before)


# --- Tensors within others ------------------------------------------------------------------------------------------


def is_dense(tensor: Tensor) -> bool:
    """Whether elements follow one another; the stride of one element does not matter."""
    pairs = zip(tensor.shape, tensor.strides, dense_strides(tensor.shape), strict=True)
    return all(size == 1 or given == wanted for size, given, wanted in pairs)


def _places(tensor: Tensor) -> "NDArray[np.int64]":
    """Where the elements are, counted from the first one."""
    axes = [np.arange(size) * step for size, step in zip(tensor.shape, tensor.strides, strict=True)]
    return sum((axis.reshape(-1, *[1] * (len(axes) - 1 - i)) for i, axis in enumerate(axes)), np.zeros((), np.int64))


def read_strided(raiser: Raiser, buffer: SSAValue, tensor: Tensor) -> SSAValue:
    """The tensor dense: its own bytes, or a copy of them."""
    if is_dense(tensor):
        return raiser.view(buffer, tensor.shape)
    runs = runs_of(_places(tensor))
    if len(runs) > MOST_RANGES:
        raise RefusalError(f"a part of {len(runs)} ranges of a tensor; the limit is {MOST_RANGES}")
    size = kbuf.element_size(buffer)
    dense = raiser.alloc(tensor.shape, f32 if size == 4 else kbuf.UI8)
    raiser.copy_bytes([raiser.view(buffer, (count,), size * start) for start, count in runs], dense)
    return dense


def join_copies(raiser: Raiser) -> None:
    """Make a concat of the copies that write a tensor part by part, in place of the last one."""
    parts: dict[SSAValue, list[kbuf.V5TensorOp]] = {}
    for op in raiser.block.ops:
        if isinstance(op, kbuf.V5TensorOp):
            parts.setdefault(kbuf.root_of(op.tensor("out")), []).append(op)
    for root, copies in parts.items():
        raiser.op = copies[-1]
        raiser.attempt(copies[-1], lambda r=root, c=copies: _join(raiser, r, c))


def _target(op: kbuf.V5TensorOp) -> Tensor:
    values: dict[str, Any] = op.values()
    return tensors("copy", values["fields"], {})["out"]


def _join(raiser: Raiser, root: SSAValue, copies: list[kbuf.V5TensorOp]) -> None:
    """Follow each element of a tensor to the copy and the place in its source that it is from."""
    size = kbuf.element_size(copies[0].tensor("out"))
    count = kbuf.byte_size(root) // size
    steps = {op: index for index, op in enumerate(raiser.block.ops)}
    writers, sources = np.full(count, -1), np.zeros(count, np.int64)
    for index, op in enumerate(copies):
        places = _places(_target(op)).ravel() + kbuf.offset_in_root(op.tensor("out")) // size
        if kbuf.root_of(op.tensor("in")) is root:  # a part of the same tensor, which is there already
            start = kbuf.offset_in_root(op.tensor("in")) // size
            own = slice(start, start + places.size)
            writers[places], sources[places] = writers[own].copy(), sources[own].copy()
        else:
            writers[places], sources[places] = index, np.arange(places.size)
    others = [op for op in kbuf.users_of(root) if op not in copies]
    if (writers < 0).any() or any(steps[op] < steps[copies[-1]] for op in others):
        _copy_apart(raiser, copies)
        return
    inputs = [raiser.view(op.tensor("in"), (prod(op.values()["fields"]["sh"]),)) for op in copies]
    changes = (writers[1:] != writers[:-1]) | (sources[1:] != sources[:-1] + 1)
    starts = [0, *(np.flatnonzero(changes) + 1).tolist(), count]
    runs = [(int(writers[low]), int(sources[low]), high - low) for low, high in pairwise(starts)]
    output = raiser.view(root, (count,))
    if (row := _row(runs, [kbuf.byte_size(one) // size for one in inputs])) is not None:
        dims, rows = [length for *_, length in row], len(runs) // len(row)
        whole = [inputs[which] for which, *_ in row]
        raiser.emit(kbuf.ConcatOp(whole, output, inner_size=size, outer_size=rows, dims=dims))
    elif len(runs) <= MOST_RANGES:
        raiser.copy_bytes([raiser.view(inputs[which], (n,), size * start) for which, start, n in runs], output)
    else:
        raise RefusalError(f"a tensor that is copied together from {len(runs)} ranges; the limit is {MOST_RANGES}")
    for op in copies:
        erase(op)


def _row(runs: list[tuple[int, int, int]], sizes: list[int]) -> list[tuple[int, int, int]] | None:
    """The runs of the first row, where those of each are the next elements of the same sources; `sizes` are theirs."""
    for count in range(1, len(runs) + 1):
        rows, rest = divmod(len(runs), count)
        row = runs[:count]
        if rest or any(sizes[which] != rows * length for which, _, length in row):
            continue
        if runs == [(which, at * length, length) for at in range(rows) for which, _, length in row]:
            return row
    return None


def _copy_apart(raiser: Raiser, copies: list[kbuf.V5TensorOp]) -> None:
    """Copy parts of a tensor that is written otherwise as well, or read in between, each by itself."""
    for op in copies:
        if not is_dense(_target(op)):
            raise RefusalError("a tensor into which others are copied in rows, and which is read or written in between")
        raiser.op = op
        raiser.copy_bytes([raiser.view(op.tensor("in"), _target(op).shape)], op.tensor("out"))
        raiser.drop()
