"""IR modules: every activation in the KPU, instructions that no model is compiled to, and layers laid open."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects.builtin import ModuleOp, StringAttr, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.rewriter import InsertPoint

from kpuir.dialects import kbuf, ktensor
from kpuir.dialects.ktensor import ACTIVATION_PARAMETERS, ActivationAttr, ActivationKind
from kpuir.ir.functions import entry_function
from kpuir.pipelines import make_context, parse_passes, run_passes
from tests.passes.graphs import Put, module_of

Shape = tuple[int, ...]

# --- Activations ----------------------------------------------------------------------------------------------------

_PARAMETERS = {"alpha": 0.3, "beta": 0.4, "lo": -0.5, "hi": 1.5, "scale": 0.02, "zero_point": 100.0, "c": 0.75}
_DOMAINS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("acos", "asin", "atanh", "log", "rdiv", "rsqrt", "sqrt"), (0.05, 0.95)),
    "acosh": (1.0, 3.0),
    "tan": (-1.2, 1.2),
}
"""Where functions that are not finite everywhere are looked at."""


def activations(kinds: Sequence[ActivationKind]) -> ModuleOp:
    """For each of these functions a 1x1 convolution of the input, the function behind it, and an output."""
    rng = np.random.default_rng(0)

    def body(block: Block, put: Put) -> list[SSAValue]:
        def activated(kind: ActivationKind) -> SSAValue:
            weight = put(ktensor.ConstantOp(rng.normal(size=(2, 3, 1, 1)).astype(np.float32)))
            value = put(ktensor.Conv2dOp(block.args[0], weight))
            if kind in _DOMAINS:
                value = put(ktensor.ActivationOp(value, ActivationAttr.of("clamp", *_DOMAINS[kind])))
            parameters = [_PARAMETERS[name] for name in ACTIVATION_PARAMETERS.get(kind, ())]
            return put(ktensor.ActivationOp(value, ActivationAttr.of(kind, *parameters)))

        return [activated(kind) for kind in kinds]

    return module_of([(1, 3, 8, 8)], body)


# --- Instructions ---------------------------------------------------------------------------------------------------

_SHAPE = (1, 2, 5, 6)
_FIXED_POINT: dict[str, Any] = {
    **dict.fromkeys(("a_shape", "b_shape", "out_shape"), _SHAPE),
    "a_offset": 3,
    "a_mul": 5,
    "a_shift": 2,
    "b_offset": 1,
    "b_mul": 3,
    "b_shift": 1,
    "output_offset": 7,
    "output_mul": 3,
    "output_shift": 4,
}
_WINDOW: dict[str, Any] = {
    "filter_h": 3,
    "filter_w": 2,
    "stride_h": 2,
    "stride_w": 1,
    "dilation_h": 1,
    "dilation_w": 2,
    "pad_h": (1, 1),
    "pad_w": (0, 1),
}
_INITIAL = {kbuf.ReduceKind.MIN: kbuf.FLOAT_MAX, kbuf.ReduceKind.MAX: -kbuf.FLOAT_MAX}


def instructions() -> ModuleOp:
    """What the CPU does with bytes, and instructions that models are not compiled to, with an output for each.

    They are those of kmodel v4, as the compiler makes them, and become those of v5 here.
    """
    floats, octets, others = inputs = [_buffer(kind, _SHAPE) for kind in (f32, kbuf.UI8, kbuf.UI8)]
    ops: list[Operation] = [*inputs, *(kbuf.InputOp(one, index, _SHAPE) for index, one in enumerate(inputs))]
    ops += [*_of_bytes(octets, others), *_windows(floats), *_moves(floats, f32), *_moves(octets, kbuf.UI8)]
    written = [value for op in ops if isinstance(op, kbuf.InstructionOp) for value in op.destinations]
    ops += [kbuf.OutputOp(value, index, kbuf.shape_of(value)) for index, value in enumerate(written)]
    function = FuncOp("main", ((), ()), Region(Block([*ops, ReturnOp()])))
    module = ModuleOp([function], {"kbuf.version": StringAttr("v5")})
    run_passes(make_context(), module, parse_passes("kbuf-legalize-v5,kbuf-in-place,kbuf-allocate", dict))
    return module


def _buffer(element: Attribute, shape: Shape) -> kbuf.AllocOp:
    return kbuf.AllocOp(kbuf.buffer_type(shape, element, kbuf.Space.MAIN))


def _of_bytes(a: Operation, b: Operation) -> Iterator[Operation]:
    """Arithmetic in fixed point, a table, a convolution and a product of matrices."""
    for kind in kbuf.BinaryKind:
        output = _buffer(kbuf.UI8, _SHAPE)
        yield from (output, kbuf.QuantizedBinaryOp(a, b, output, op=kind, **_FIXED_POINT))
    table, output = kbuf.ConstantOp(np.arange(256, dtype=np.uint8)[::-1] // 3), _buffer(kbuf.UI8, _SHAPE)
    yield from (table, output, kbuf.TableLookup1dOp(a, table, output))
    rng, output, product = np.random.default_rng(0), _buffer(kbuf.UI8, (1, 4, 3, 5)), _buffer(kbuf.UI8, (10, 4))
    weights = kbuf.ConstantOp(rng.integers(0, 256, (6, 4), np.uint8))
    sums = {"bias": rng.integers(-999, 999, 4, np.int32), "output_mul": 3, "output_shift": 12, "output_offset": 120}
    kernels = {"weights": rng.integers(0, 256, (4, 1, 3, 2), np.uint8), "groups": 2, "out_channels": 4}
    offsets = {"input_offset": -99, "filter_offset": -128}
    conv = kbuf.QuantizedConv2dOp(a, output, in_shape=_SHAPE, **kernels, **offsets, **_WINDOW, **sums)
    sizes = {"a_rows": 10, "a_cols": 6, "b_cols": 4, "a_offset": -99, "b_offset": -128}
    yield from (output, conv, weights, product, kbuf.QuantizedMatmulOp(a, weights, product, **sizes, **sums))


def _windows(source: Operation) -> Iterator[Operation]:
    """Pooling, of every kind."""
    for kind in kbuf.ReduceKind:
        output, start = _buffer(f32, (1, 2, 3, 5)), _INITIAL.get(kind, 0.0)
        yield from (output, kbuf.ReduceWindow2dOp(source, output, op=kind, in_shape=_SHAPE, init=start, **_WINDOW))


def _moves(source: Operation, element: Attribute) -> Iterator[Operation]:
    """What moves elements, of four bytes or of one."""

    def of(kind: type[kbuf.InstructionOp], shape: Shape, *sources: Any, **fields: Any) -> Iterator[Operation]:
        output = _buffer(element, shape)
        yield from (output, kind(*(sources or (source,)), output, **fields))

    row = 30 * (4 if element == f32 else 1)
    yield from of(kbuf.MemoryCopyOp, _SHAPE)
    yield from of(kbuf.ConcatOp, (1, 4, 5, 6), [source, source], inner_size=row, outer_size=1, dims=(2, 2))
    yield from of(kbuf.TransposeOp, (1, 5, 6, 2), in_shape=_SHAPE, perm=(0, 2, 3, 1))
    cut = {"begin": (0, 1, 4, 1), "end": (1, 2, -1, 6), "strides": (1, 1, -2, 3)}
    yield from of(kbuf.StridedSliceOp, (1, 1, 3, 2), in_shape=_SHAPE, **cut)
    value = np.frombuffer(struct.pack("<f", 0.3), np.uint8)
    yield from of(kbuf.PadOp, (1, 2, 8, 5), in_shape=_SHAPE, paddings=(0, 0, 0, 0, 1, 2, 1, -2), value=value)
    for mode in kbuf.ResizeMode:
        for corners in (0, 1):
            size = {"out_h": 7, "out_w": 9, "align_corners": corners}
            yield from of(kbuf.ResizeImageOp, (1, 2, 7, 9), in_shape=_SHAPE, mode=mode, **size)


# --- Layers ---------------------------------------------------------------------------------------------------------


def with_layers(module: ModuleOp) -> ModuleOp:
    """An allocated module for v5 with the bytes of every layer of the KPU as outputs behind its own.

    Each layer is downloaded to the caller as soon as it ran; nothing else changes, nor where anything lies.
    """
    module = module.clone()
    block = entry_function(module).body.block
    outputs = [op for op in block.ops if isinstance(op, kbuf.OutputOp)]
    end = max((kbuf.offset_of(op.buffer) or 0) + kbuf.byte_size(op.buffer) for op in outputs)
    layers = [op for op in block.ops if isinstance(op, kbuf.KpuConv2dOp)]
    last = next(op for op in block.ops if isinstance(op, ReturnOp))
    for index, layer in enumerate(layers, start=len(outputs)):
        shape = (layer.values()["batches"], *layer.registers.data.output_shape)
        buffer = kbuf.AllocOp(kbuf.buffer_type(shape, kbuf.UI8, kbuf.Space.OUTPUT), -(-end // 8) * 8)
        end = -(-end // 8) * 8 + kbuf.byte_size(buffer.result)
        builder = Builder(InsertPoint.after(layer))
        builder.insert(buffer)
        builder.insert(kbuf.KpuDownloadOp(layer.output, buffer, in_shape=shape))
        Builder(InsertPoint.before(last)).insert(kbuf.OutputOp(buffer, index, shape))
    return module
