"""The first layer of a kmodel v3 decides what the caller's input is (`kmodel-v3.md` 8.2).

It is a convolution that reads the whole input as a map from KPU RAM, or a matrix product of floats.
"""

from collections.abc import Sequence
from math import prod

from xdsl.builder import Builder
from xdsl.ir import Operation, SSAValue
from xdsl.rewriter import InsertPoint

from kpuir.dialects import kbuf
from kpuir.ir.locations import named
from kpuir.passes.convert_kpu_to_kbuf.lowering import Lowering, has_words
from kpuir.passes.convert_kpu_to_kbuf.placement import copy
from kpuir.passes.kbuf_legalize_v3.legalizer import Legalizer, RefusalError, Span, erase
from kpuir.target.k210 import K210, dma_rule, height_rule, layer_rules, row_layout


def deliver_input(legalizer: Legalizer) -> None:
    """Let the first layer read the input. Raises RefusalError where that cannot be."""
    inputs = [op for op in legalizer.block.ops if isinstance(op, kbuf.InputOp)]
    if len(inputs) != 1:
        raise RefusalError(f"there are {len(inputs)} inputs; models of v3 have one")
    port = inputs[0]
    first = next((op for op in legalizer.block.ops if isinstance(op, kbuf.InstructionOp)), None)
    if first is not None and _takes(first, port):
        return
    if kbuf.element_size(port.buffer) == 4:
        raise RefusalError(
            "it is float32, which in v3 only a first layer that is a matrix product on the CPU can read; "
            "make it uint8, or keep that layer in float"
        )
    given, own = port.buffer, kbuf.shape_of(port.buffer)
    in_kpu = kbuf.space_of(given) is kbuf.Space.KPU
    if in_kpu and own[0] != 1:
        raise RefusalError(f"it is {own[0]} images in KPU RAM; a layer of v3 reads one")
    shape = _low_shape(own) if in_kpu else map_shape(own)
    if shape != own or not in_kpu:
        lowering = Lowering(Builder(InsertPoint.before(port)))
        port.operands = [lowering.alloc(shape, kbuf.UI8, kbuf.Space.KPU)]
        port.properties["shape"] = kbuf.property_kinds(kbuf.KpuUploadOp)["in_shape"].to_attribute(shape)
        if in_kpu:
            given.replace_all_uses_with(lowering.part(port.buffer, own, 0))
            assert isinstance(given.owner, Operation)
            erase(given.owner)
    _insert_copy(legalizer, port, port.buffer, None if in_kpu else given)


def _takes(first: Operation, port: kbuf.InputOp) -> bool:
    """Whether the runtime puts what the caller gives where the first layer wants it."""
    if isinstance(first, kbuf.KpuConv2dOp):
        return first.input == port.buffer
    return isinstance(first, kbuf.v3.FullyConnectedOp) and Span.of(first.input) == Span.of(port.buffer)


def _low_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """A map's shape, or for one with more rows than a layer reads that of one with more channels in the same bytes.

    Raises RefusalError where there is none: where lines are shared, channels of fewer rows lie elsewhere.
    """
    batch, channels, height, width = shape
    if (verdict := height_rule(height)).ok:
        return tuple(shape)
    for count in range(2, K210.MAX_CHANNELS // channels + 1):
        if height % count == 0 and height_rule(height // count).ok and row_layout(width).channels_per_line == 1:
            return batch, channels * count, height // count, width
    raise RefusalError(verdict.reason)


def map_shape(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """The map as which bytes of a shape come in: that itself if a layer can read it, else one of as many bytes.

    Raises RefusalError where there is none, or where it is too large for a layer to send it to main RAM.
    """
    count = prod(shape)
    heights = range(K210.MIN_HEIGHT, K210.MAX_HEIGHT + 1)
    others = (
        (count // (height * width), height, width)
        for height in heights
        for width in range(height, K210.MAX_WIDTH + 1)
        if count % (height * width) == 0
    )
    for channels, height, width in ([tuple(shape[1:])] if len(shape) == 4 and shape[0] == 1 else []) + list(others):
        if layer_rules(channels, height, width, channels, 1, depthwise=True).ok:
            if not (verdict := dma_rule(height, width)).ok:
                raise RefusalError(f"it is needed in main RAM, {verdict.reason}")
            return 1, channels, height, width
    raise RefusalError(f"it has {count} bytes, of which no map of at least 4x4 pixels can be made")


def _insert_copy(legalizer: Legalizer, port: kbuf.InputOp, source: SSAValue, main: SSAValue | None) -> None:
    """A first layer that copies the input: to main RAM, and to where it would be uploaded from there."""
    block = port.parent
    assert block is not None
    shape = kbuf.shape_of(source)
    lowering = Lowering(Builder(InsertPoint.after(port)), words=has_words(block.ops))
    uploads = [] if main is None else [op for op in legalizer.readers(main) if _uploads_all(op, shape)]
    target = lowering.alloc(shape, kbuf.UI8, kbuf.Space.KPU)
    layer = copy(lowering, source, target, main=main)
    layer.location = named(port.port_name.data if port.port_name else "input")
    for upload in uploads:
        replaced = upload.operands[1]
        replaced.replace_all_uses_with(target)
        erase(upload)


def _uploads_all(op: Operation, shape: Sequence[int]) -> bool:
    """Whether an upload fills a buffer of its own with the map of a shape."""
    is_whole = isinstance(op, kbuf.v3.K210UploadOp) and isinstance(op.output.owner, kbuf.AllocOp)
    return is_whole and kbuf.shape_of(op.operands[1]) == tuple(shape)
