"""kmodel v3 objects to kbuf IR and back: a walk in both directions, nothing is decided here.

A field of a layer and the operand or property of the op that stands for it have one name; only convolutions, whose maps
hide in their registers, concats and the ways to KPU RAM need words of their own. The file does not say what its input
is: the first layer does. Nor does it say of which type an output is: the layer that writes it does.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects import func
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, f32, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.rewriter import InsertPoint
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.ir.functions import ENTRY, entry_function
from kpuir.ir.locations import layer_name, named
from kpuir.kmodel import v3
from kpuir.kmodel.codec import Array, codecs
from kpuir.kmodel.v3.layers import SENDS, Concat, FullyConnected, K210Conv, Layer, QuantizedConcat
from kpuir.target.k210 import K210
from kpuir.translate.modules import check_version, in_order, module_int, number

_VERSION = StringAttr("v3")
_FIRST_LINE = "kbuf.first_line"
"""On the module: what the header says is the lowest line of KPU RAM in use, where it is another."""
_WEIGHT_BITS = "kbuf.weight_bits"
"""On the module: the width of weights that the header gives, where there are none and it is not 8."""
_OPS = {op.name.removeprefix("kbuf.v3_"): op for op in kbuf.v3.INSTRUCTIONS}
_LAYERS = {layer.mnemonic: layer for layer in v3.LAYERS.values()}
_NARROW = 8
_ADDRESSES = ("input", "a", "b", "output")


# --- Import ---------------------------------------------------------------------------------------------------------


def from_v3(model: v3.Model) -> ModuleOp:
    """The kbuf module of a kmodel; each op is located at `layer <index>`.

    Raises InvalidInputError naming the layer whose fields contradict one another or leave their memory.
    """
    module = ModuleOp([])
    module.attributes["kbuf.version"] = _VERSION
    module.attributes["kbuf.main_bytes"] = IntegerAttr(model.main_bytes, i64)
    module.attributes["kbuf.constant_bytes"] = IntegerAttr(0, i64)
    function = func.FuncOp(ENTRY, ((), ()))
    module.body.block.add_op(function)
    importer = _Importer(model, Builder(InsertPoint.at_end(function.body.block)))
    for index, layer in enumerate(model.layers):
        importer.step(f"layer {index}", lambda i=index, one=layer: importer.add_layer(i, one))
    for index, (address, size) in enumerate(model.outputs):
        importer.step(f"output {index}", lambda i=index, a=address, s=size: importer.add_output(i, a, s))
    importer.builder.insert(func.ReturnOp())
    if model.first_line != _first_line(list(function.body.block.ops)):
        module.attributes[_FIRST_LINE] = IntegerAttr(model.first_line, i64)
    if model.weight_bits != _NARROW and not any(isinstance(layer, K210Conv) for layer in model.layers):
        module.attributes[_WEIGHT_BITS] = IntegerAttr(model.weight_bits, i64)
    return module


class _Importer:
    def __init__(self, model: v3.Model, builder: Builder) -> None:
        self.model = model
        self.builder = builder
        self.buffers: dict[tuple[kbuf.BufferType, int], SSAValue] = {}
        self.written: list[tuple[int, int, Attribute]] = []
        self.location = ""

    def step(self, location: str, action: Any) -> None:
        """Run `action`; its complaints are about `location`."""
        self.location = location
        try:
            action()
        except (VerifyException, ValueError) as error:
            raise InvalidInputError(str(error), location=location) from error

    def add(self, op: Operation) -> None:
        """Append an op where we are, verified."""
        op.verify()
        op.location = named(self.location)
        self.builder.insert(op)

    def add_layer(self, index: int, layer: Layer) -> None:
        """A layer, its buffers, and in front of the first one the input."""
        op = self._convolution(layer) if isinstance(layer, K210Conv) else self._cpu_layer(layer)
        if index == 0:
            self._add_input(layer, op)
        self.add(op)
        for value in op.destinations:
            if kbuf.space_of(value) is kbuf.Space.MAIN:
                start = kbuf.offset_of(value) or 0
                element = f32 if kbuf.element_size(value) == 4 else kbuf.UI8
                self.written.append((start, start + kbuf.byte_size(value), element))

    def add_output(self, index: int, address: int, size: int) -> None:
        """Bytes the caller reads, of the type of what was last written there."""
        found = [kind for start, end, kind in self.written if start < address + size and address < end]
        element = found[-1] if found else kbuf.UI8
        element = element if size % 4 == 0 else kbuf.UI8
        self.add(kbuf.OutputOp(self._main((size // (4 if element == f32 else 1),), element, address), index))

    def _add_input(self, layer: Layer, op: kbuf.InstructionOp) -> None:
        if not isinstance(layer, K210Conv | FullyConnected):
            raise ValueError(f"{layer.mnemonic} is first: the runtime gives inputs to convolutions and matrix products")
        buffer = op.operands[0]
        shape = kbuf.shape_of(buffer)
        self.add(kbuf.InputOp(buffer, 0, (1,) * (4 - len(shape)) + shape))

    def _convolution(self, layer: K210Conv) -> kbuf.KpuConv2dOp:
        registers, sends = layer.registers, bool(layer.flags & SENDS)
        source = self._map(registers.image_src_addr, registers.input_shape)
        result = self._map(registers.image_dst_addr, registers.output_shape)
        main = self._main((1, *registers.output_shape), kbuf.UI8, layer.main_output) if sends else None
        plain = replace(registers, image_src_addr=0, image_dst_addr=0)
        arrays = {name: getattr(layer, name) for name in ("batch_norm", "activation", "activation_add", "weights")}
        other = {
            "offsets": layer.offsets,
            "flags": layer.flags & ~SENDS or None,
            "unused_output": (not sends and layer.main_output) or None,
        }
        return kbuf.KpuConv2dOp(source, result, main, registers=plain, **arrays, **other)

    def _cpu_layer(self, layer: Layer) -> kbuf.InstructionOp:
        op = _OPS[layer.mnemonic]
        if isinstance(layer, Concat | QuantizedConcat):
            return self._concat(layer, op)
        shapes, properties = op.shapes(layer), {name: getattr(layer, name) for name in kbuf.property_kinds(op)}
        buffers: list[SSAValue] = []
        for name, definition in op.get_irdl_definition().operands:
            floats = kbuf.buffer_type(shapes[name], f32, kbuf.Space.MAIN)
            element = f32 if definition.constr.verifies((floats,)) else kbuf.UI8
            if name == "output" and hasattr(layer, "line"):
                buffers.append(self._map(cast("Any", layer).line, shapes[name][1:]))
            else:
                buffers.append(self._main(shapes[name], element, getattr(layer, name)))
        return op(*buffers, **properties)

    def _concat(self, layer: Any, op: type[kbuf.InstructionOp]) -> kbuf.InstructionOp:
        pairs = list(zip(layer.ranges[0::2], layer.ranges[1::2], strict=True))
        is_bytes = op is kbuf.v3.QuantizedConcatOp or any(size % 4 for _, size in pairs)
        element, width = (kbuf.UI8, 1) if is_bytes else (f32, 4)
        parts = [self._main((size // width,), element, start) for start, size in pairs]
        output = self._main((sum(size for _, size in pairs) // width,), element, layer.output)
        return op(parts, output, flags=layer.flags)

    def _main(self, shape: Sequence[int], element: Attribute, start: int) -> SSAValue:
        kind = kbuf.buffer_type(shape, element, kbuf.Space.MAIN)
        return self._buffer(kind, start, self.model.main_bytes)

    def _map(self, line: int, shape: Sequence[int]) -> SSAValue:
        kind = kbuf.buffer_type((1, *shape), kbuf.UI8, kbuf.Space.KPU)
        return self._buffer(kind, line * K210.LINE_BYTES, K210.KPU_RAM_BYTES)

    def _buffer(self, kind: kbuf.BufferType, start: int, whole: int) -> SSAValue:
        end = start + kbuf.byte_size(kind)
        if end > whole:
            raise ValueError(f"bytes {start}..{end} lie outside of the {whole} bytes of {kbuf.space_of(kind).value}")
        if (kind, start) not in self.buffers:
            alloc = kbuf.AllocOp(kind, start)
            self.add(alloc)
            self.buffers[kind, start] = alloc.result
        return self.buffers[kind, start]


# --- Export ---------------------------------------------------------------------------------------------------------


def to_v3(module: ModuleOp) -> v3.Model:
    """The kmodel of an allocated kbuf module.

    Raises InvalidInputError naming the layer: a buffer without an offset or outside of its memory, a value its field
    cannot hold, layers of both weight widths, an op that is no layer of v3. What loads but misbehaves on a chip is told
    by `check_loadable`.
    """
    check_version(module, "v3")
    ops = list(entry_function(module).body.block.ops)
    layers: list[Layer] = []
    outputs: dict[int, tuple[int, int]] = {}
    exporter = _Exporter(module_int(module, "kbuf.main_bytes"))
    for op in ops:
        try:
            if isinstance(op, kbuf.OutputOp):
                number(outputs, op.index.value.data, (exporter.start(op.buffer), kbuf.byte_size(op.buffer)))
            elif isinstance(op, kbuf.InstructionOp):
                layers.append(exporter.layer_of(op))
                layers[-1].write(0)  # tells now, with the layer's name, what the format cannot hold
        except (VerifyException, ValueError) as error:
            raise InvalidInputError(f"{op.name}: {error}", location=layer_name(op)) from error
    widths = {layer.weights.itemsize * 8 for layer in layers if isinstance(layer, K210Conv)}
    if len(widths) > 1:
        raise InvalidInputError("the layers' weights have 8 and 16 bits, a kmodel v3 has one width for all")
    line = module_int(module, _FIRST_LINE, _first_line(ops))
    bits = widths.pop() if widths else module_int(module, _WEIGHT_BITS, _NARROW)
    return v3.Model(in_order("output", outputs), exporter.main_bytes, layers, line, bits)


def _first_line(ops: Sequence[Operation]) -> int:
    """The lowest line that any layer reads or writes."""
    maps = [
        kbuf.offset_of(value) or 0
        for op in ops
        if isinstance(op, kbuf.InstructionOp)
        for value in op.operands
        if kbuf.space_of(value) is kbuf.Space.KPU
    ]
    return min(maps, default=K210.KPU_RAM_BYTES) // K210.LINE_BYTES


class _Exporter:
    def __init__(self, main_bytes: int) -> None:
        self.main_bytes = main_bytes
        self.sizes = {kbuf.Space.MAIN: main_bytes, kbuf.Space.KPU: K210.KPU_RAM_BYTES}

    def start(self, value: SSAValue, space: kbuf.Space = kbuf.Space.MAIN) -> int:
        """The first byte of a buffer. Raises ValueError unless it lies in that space."""
        found, start = kbuf.space_of(value), kbuf.offset_of(value)
        if found is not space:
            raise ValueError(f"a buffer is in {found.value}, the layer takes one in {space.value}")
        if start is None:
            raise ValueError(f"a buffer in {space.value} has no offset: run kbuf-allocate first")
        end = start + kbuf.byte_size(value)
        if end > self.sizes[space]:
            raise ValueError(f"bytes {start}..{end} lie outside of the {self.sizes[space]} bytes of {space.value}")
        return start

    def line(self, value: SSAValue) -> int:
        """The first line of a map."""
        line, rest = divmod(self.start(value, kbuf.Space.KPU), K210.LINE_BYTES)
        if rest:
            raise ValueError(f"a map starts {rest} bytes behind a line")
        return line

    def layer_of(self, op: kbuf.InstructionOp) -> Layer:
        """The layer of an op."""
        known = op.values()
        if isinstance(op, kbuf.KpuConv2dOp):
            return self._convolution(op, known)
        kind = _LAYERS.get(op.name.removeprefix("kbuf.v3_")) if op.name.startswith("kbuf.v3_") else None
        if kind is None:
            raise ValueError("is no layer of kmodel v3")
        fields = codecs(kind)
        if isinstance(op, kbuf.v3.ConcatOp | kbuf.v3.QuantizedConcatOp):
            known["count"] = len(op.inputs)
            known["ranges"] = tuple(n for part in op.inputs for n in (self.start(part), kbuf.byte_size(part)))
        for name in _ADDRESSES:
            if name in fields:
                known[name] = self.start(getattr(op, name))
        if "line" in fields:
            known["line"] = self.line(op.operands[1])
        return kind(**{name: _stored(known[name], codec) for name, codec in fields.items()})

    def _convolution(self, op: kbuf.KpuConv2dOp, known: dict[str, Any]) -> K210Conv:
        if known["batches"] != 1:
            raise ValueError(f"has {known['batches']} images, a layer of v3 has one")
        main = op.main_output
        lines = {"image_src_addr": self.line(op.input), "image_dst_addr": self.line(op.output)}
        arrays = {name: known[name] for name in ("batch_norm", "activation", "activation_add")}
        return K210Conv(
            flags=(known["flags"] or 0) | (SENDS if main is not None else 0),
            main_output=(known["unused_output"] or 0) if main is None else self.start(main),
            offsets=known["offsets"],
            registers=replace(known["registers"], **lines),
            weights=np.ascontiguousarray(known["weights"]).reshape(-1),
            **{name: _stored(array, codecs(K210Conv)[name]) for name, array in arrays.items()},
        )


def _stored(value: Any, codec: Any) -> Any:
    return np.ascontiguousarray(value).reshape(-1).view(codec.dtype) if isinstance(codec, Array) else value
