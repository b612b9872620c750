"""`kpu-quantize`: the values around KPU layers become bytes with a scale and a zero point in their type.

Before: a float module whose values have ranges (`kpu-calibrate`). After: what a `kpu.conv2d` reads and writes is of
type `!ktensor.quantized<ui8, scale, zero_point>`; operations that only move elements between such values move bytes;
additions between them are done on bytes; everything else computes in float behind a `ktensor.dequantize`, and what
goes back to the KPU passes a `ktensor.quantize`. Results of `@main` stay float.

    %f = kpu.conv2d %x, %w, %b {kpu.range = array<f64: 0.0, 6.0>} : (tensor<1x8x9x9xf32>, ...
    %y = ktensor.transpose %f ...
      =>
    %f = kpu.conv2d %x, %w, %b : (tensor<1x8x9x9x!ktensor.quantized<ui8, ...>>, ...
    %t = ktensor.transpose %f ...
    %y = ktensor.dequantize %t ...

Who shares parameters: an operation that moves elements has its operand's; the operands and the result of a concat of
bytes have the union of their ranges; pixels that are cropped or picked away afterwards do not count in a range. What a
`fake_quantize` makes has its scale and zero point: that is how a quantized model is compiled with its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import DenseArrayBase, FunctionType, ModuleOp, TensorType, UnitAttr
from xdsl.ir import Attribute, BlockArgument, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from kpuir.analysis.functions import has_own_scales
from kpuir.analysis.instructions import is_resize_instruction
from kpuir.dialects import kpu, ktensor
from kpuir.errors import InvalidInputError
from kpuir.ir.functions import argument_attributes, entry_function
from kpuir.ir.locations import is_unknown, layer_name
from kpuir.passes.channel_scales import absorbs_scales, channel_scales, compensated, is_mixed, leaves

_BYTE_KINDS = ("add", "sub", "mul", "min", "max")

Range = tuple[float, float]


def _is_moving(op: Operation) -> bool:
    if isinstance(op, ktensor.ResizeOp):  # others become products of floats
        return op.mode.data == ktensor.ResizeMode.NEAREST and is_resize_instruction(op)
    if isinstance(op, ktensor.PadOp):  # another value may lie outside of what the bytes represent
        return op.pad_value == 0
    if isinstance(op, kpu.PadOp) or _is_mover(op):
        return True
    return op.has_trait(ktensor.MovesElements) or op.has_trait(ktensor.MovesElementsOrZero)


def _is_mover(op: object) -> bool:
    """Whether a layer only moves pixels, which is exact where input and output have the same parameters."""
    return isinstance(op, kpu.Conv2dOp) and kpu.MOVES in op.attributes


def _discards(op: object) -> bool:
    return isinstance(op, kpu.CropOp | kpu.StridedSliceOp) or _is_mover(op)


def _averages(op: object) -> bool:
    """Whether what is quantized is not the result, but the values that it is the mean of."""
    return isinstance(op, kpu.Conv2dOp) and op.pool_kind.is_mean


def _users(value: SSAValue) -> list[Operation]:
    return [use.operation for use in value.uses]


def wanted_values(function: func.FuncOp) -> set[SSAValue]:
    """The values that reach a KPU layer by way of operations that work on bytes."""
    return _led_to_layers(function, _on_bytes(function))


def reaching_values(function: func.FuncOp) -> set[SSAValue]:
    """Those that do so even by way of operations that compute floats of bytes: what is rounded anyway may be a byte."""
    return _led_to_layers(function, _continuous(function))


def _led_to_layers(function: func.FuncOp, able: set[Operation]) -> set[SSAValue]:
    """The values that reach a KPU layer by way of moves, concats and `able` operations."""
    wanted: set[SSAValue] = set()
    for op in reversed(list(function.walk())):
        if isinstance(op, kpu.Conv2dOp):
            wanted.add(op.input)
        elif isinstance(op, kpu.ConcatOp):
            wanted.update(op.inputs)
        elif op.results and op.results[0] in wanted:
            if _is_moving(op):
                wanted.add(op.operands[0])
            elif isinstance(op, ktensor.ConcatOp) or op in able:
                wanted.update(op.operands)
    return wanted


def _on_bytes(function: func.FuncOp) -> set[Operation]:
    """The operations between two values, and clamps behind them, on bytes: nothing they read is the CPU's float."""
    able: set[Operation] = set()
    floats: set[SSAValue] = set()
    for op in function.walk():
        if isinstance(op, ktensor.BinaryOp):
            done = op.kind.data.value in _BYTE_KINDS and not kpu.stays_float(op) and floats.isdisjoint(op.operands)
        elif _clamp(op) is not None:
            done = isinstance(op.operands[0].owner, ktensor.BinaryOp) and op.operands[0].owner in able
        else:
            moves = _is_moving(op) or isinstance(op, ktensor.ConcatOp)
            made = isinstance(op, ktensor.ConstantOp | ktensor.DequantizeOp | kpu.Conv2dOp | kpu.ConcatOp)
            floats.update(() if made or (moves and floats.isdisjoint(op.operands)) else op.results)
            continue
        if done:
            able.add(op)
        elif not _rounds(op):
            floats.update(op.results)
    return able


def _continuous(function: func.FuncOp) -> set[Operation]:
    """The operations that compute about the same of rounded numbers: neither comparisons nor rounding again."""
    return {
        op
        for op in function.walk()
        if (isinstance(op, ktensor.BinaryOp) and op.kind.data.value in (*_BYTE_KINDS, "div"))
        or (_clamp(op) is not None and (not _rounds(op) or isinstance(op.operands[0].owner, ktensor.BinaryOp)))
    }


def _rounds(op: Operation) -> bool:
    """Whether an operation is a fake_quantize."""
    return isinstance(op, ktensor.ActivationOp) and op.function.quantized is not None


def _clamp(op: Operation) -> Range | None:
    """The bounds of an activation that only clamps, as far as bytes can tell."""
    if not isinstance(op, ktensor.ActivationOp):
        return None
    if op.function.quantized is not None:
        return op.function.quantized.bounds
    return ktensor.limits(op.function)


class _Ranges:
    """The range of each value, those that must share one merged."""

    def __init__(self, function: func.FuncOp, wanted: set[SSAValue]) -> None:
        self._function = function
        # As they are now: the rewriting asks for ranges while it changes arguments, uses and operands.
        self._index: dict[SSAValue, int] = {argument: argument.index for argument in function.body.block.args}
        self._operands = {op: tuple(op.operands) for op in function.walk()}
        self._users = {value: _users(value) for op in function.walk() for value in (*op.results, *op.operands)}
        self._leader: dict[SSAValue, SSAValue] = {}
        self._merged: dict[SSAValue, Range] = {}
        for op in function.walk():
            if isinstance(op, ktensor.ConcatOp) and op.output in wanted:
                self._share([*op.operands, op.output])
            elif isinstance(op, ktensor.MaxPool2dOp) and op.output in wanted:
                self._share([op.input, op.output])
        joined = [op for op in function.walk() if isinstance(op, kpu.ConcatOp)]
        while any(self._join(op) for op in joined):  # sharing a range may move a zero point that was equal before
            pass
        for op in joined:
            if self._find(op.output) is op.output:
                widest = max(leaves(op.output), key=lambda leaf: self.parameters(leaf).scale_value)
                self._leader[op.output] = self._find(self._root(widest))

    def parameters(self, value: SSAValue) -> ktensor.QuantizedType:
        """The type that represents a value. Raises InvalidInputError where its range is unknown."""
        from kpuir.quantization.parameters import QuantizationParameters

        leader = self._find(self._root(value))
        own = self._own(leader) if leader not in self._merged else None
        if own is not None:
            return own
        found = QuantizationParameters.from_range(*(self._merged.get(leader) or self._range(leader)))
        return ktensor.QuantizedType.of(found.scale, found.zero_point)

    def _own(self, value: SSAValue) -> ktensor.QuantizedType | None:
        """The type that a value has whatever its range: pixels, and what the model itself has rounded."""
        owner = value.owner
        if isinstance(owner, ktensor.DequantizeOp):
            return owner.element
        if isinstance(owner, kpu.Conv2dOp):
            return owner.activation.data[-1].quantized if owner.activation.data else None
        if isinstance(owner, ktensor.ActivationOp):
            return owner.function.quantized
        lattice = self._argument(value, kpu.LATTICE)
        return lattice if isinstance(lattice, ktensor.QuantizedType) else None

    def are_pixels(self, argument: SSAValue) -> bool:
        """Whether bytes hold an argument without any loss."""
        return self._argument(argument, kpu.LATTICE) is not None

    def _join(self, op: kpu.ConcatOp) -> bool:
        """Let the parts of a concatenation share a range, unless whoever reads it makes up for their scales.

        Return whether that is news.
        """
        parts = leaves(op.output)
        kinds = {self.parameters(part) for part in parts}
        absorbed, same_zero = absorbs_scales(op)
        if absorbed and not (same_zero and len({kind.zero_point for kind in kinds}) > 1):
            return False
        values = (*parts, op.output)
        if len({self._find(self._root(value)) for value in values}) == 1:
            return False
        self._share([*values])
        return True

    def _share(self, values: list[SSAValue]) -> None:
        """Let values share a range; the last is what is made of the others."""
        leaders = {self._find(self._root(value)): None for value in values}
        first, *others = leaders
        kinds = {None if leader in self._merged else self._own(leader) for leader in (first, *others[:-1])}
        if len(kinds) == 1 and None not in kinds:  # what the model itself has rounded stays as it is
            self._leader.update(dict.fromkeys(others, first))
            return
        ranges = [self._merged.get(leader) or self._range(leader) for leader in leaders]
        self._leader.update(dict.fromkeys(others, first))
        self._merged[first] = (min(low for low, _ in ranges), max(high for _, high in ranges))

    def _find(self, value: SSAValue) -> SSAValue:
        while value in self._leader:
            value = self._leader[value]
        return value

    def _root(self, value: SSAValue) -> SSAValue:
        """The value whose elements `value` consists of."""
        while isinstance(value.owner, Operation) and _is_moving(value.owner):
            value = value.owner.operands[0]
        return value

    def _range(self, value: SSAValue) -> Range:
        users = self._users.get(value, ())
        if users and all(_discards(user) for user in users) and not _averages(value.owner):
            parts = [self._range(user.results[0]) for user in users]
            return min(low for low, _ in parts), max(high for _, high in parts)
        owner = value.owner
        if isinstance(owner, ktensor.ConstantOp):
            array = owner.array
            return float(array.min(initial=0)), float(array.max(initial=0))
        if isinstance(owner, ktensor.ConcatOp | kpu.ConcatOp):
            parts = [self._range(self._root(operand)) for operand in self._operands[owner]]
            return min(low for low, _ in parts), max(high for _, high in parts)
        if isinstance(owner, ktensor.PadOp):
            low, high = self._range(self._root(self._operands[owner][0]))
            return (min(low, owner.pad_value), max(high, owner.pad_value)) if isfinite(owner.pad_value) else (low, high)
        bounds = owner.attributes.get(kpu.RANGE) if isinstance(owner, Operation) else self._argument(value, kpu.RANGE)
        if not isinstance(bounds, DenseArrayBase):
            raise InvalidInputError(
                "the range of its values is not known",
                location=layer_name(owner) if isinstance(owner, Operation) else f"input {value.name_hint or ''}",
                hint="calibrate first: kpu-calibrate{dataset=...}, or --dataset of kpu-compile",
            )
        low, high = bounds.get_values()
        return float(low), float(high)

    def _argument(self, value: SSAValue, name: str) -> Attribute | None:
        if value not in self._index:
            return None
        return argument_attributes(self._function, self._index[value]).get(name)


class _Quantizer:
    """Rewrites a function in order, keeping for each float value the versions that exist of it."""

    def __init__(self, function: func.FuncOp, input_type: str) -> None:
        self.function = function
        self.wanted = wanted_values(function)
        self.reaching = reaching_values(function)
        self.ranges = _Ranges(function, self.wanted)
        self.bytes: dict[SSAValue, SSAValue] = {}
        self.floats: dict[SSAValue, SSAValue] = {}
        self.block = function.body.block
        self.input_type = input_type

    def run(self) -> None:
        """Quantize the whole function."""
        types = [self.ranges.parameters(argument) if self._enters_as_bytes(argument) else None
                 for argument in self.block.args]  # fmt: skip
        original = list(self.block.ops)
        replaced = [argument for argument, kind in zip(self.block.args, types, strict=True) if kind is not None]
        for argument, kind in zip(self.block.args, types, strict=True):
            self._enter(argument, kind)
        dead: list[Operation] = []
        for op in original:
            self.builder = Builder(InsertPoint.before(op))
            self.op = op
            if self._rewrite(op):
                dead.append(op)
        for op in reversed(dead):
            op.detach()
            op.erase()
        for argument in replaced:
            self.block.erase_arg(argument)
        function_type = FunctionType.from_lists(
            [argument.type for argument in self.block.args], list(self.function.function_type.outputs.data)
        )
        self.function.function_type = function_type

    def _enters_as_bytes(self, argument: SSAValue) -> bool:
        pixels = self.ranges.are_pixels(argument)  # bytes are all that there is of them
        reaching = self.reaching if pixels else self.wanted
        return self.input_type == "uint8" or (self.input_type == "auto" and argument in reaching)

    def _enter(self, argument: BlockArgument, kind: ktensor.QuantizedType | None) -> None:
        if kind is None:
            self.floats[argument] = argument
            return
        # The old argument stays as a key: its uses are rewritten one by one.
        new = self.block.insert_arg(_with_element(argument.type, kind), argument.index, argument.location)
        new.name_hint = argument.name_hint
        self.bytes[argument] = new

    def _insert(self, op: Operation) -> SSAValue:
        if is_unknown(op.location):
            made = (
                op.operands[0].owner if op.operands else None
            )  # a return has no location: the value's own layer is the one meant
            op.location = (
                made.location if is_unknown(self.op.location) and isinstance(made, Operation) else self.op.location
            )
        self.builder.insert(op)
        return op.results[0]

    def as_bytes(self, value: SSAValue) -> SSAValue:
        """The quantized version of a float value."""
        if value not in self.bytes:
            self.bytes[value] = self._insert(ktensor.QuantizeOp(self.floats[value], self.ranges.parameters(value)))
        return self.bytes[value]

    def as_float(self, value: SSAValue) -> SSAValue:
        """The float version of a value."""
        if value not in self.floats:
            self.floats[value] = self._insert(ktensor.DequantizeOp(self.bytes[value]))
        return self.floats[value]

    def _rewrite(self, op: Operation) -> bool:
        """Rewrite one operation; return whether it is replaced and has to go."""
        if isinstance(op, kpu.Conv2dOp):
            return self._conv(op)
        if isinstance(op, kpu.ConcatOp):
            return self._join(op)
        if _is_moving(op) and (op.operands[0] in self.bytes or op.results[0] in self.wanted):
            return self._move(op, [self.as_bytes(op.operands[0])])
        if isinstance(op, ktensor.ConcatOp) and op.output in self.wanted:
            operands = [self.as_bytes(operand) for operand in op.operands]
            if len({ktensor.element_of(operand) for operand in operands}) == 1:
                return self._move(op, operands)
        if isinstance(op, ktensor.BinaryOp) and op.output in self.wanted and self._binary(op):
            return True
        if op.results and op.results[0] in self.bytes:  # a clamp that the addition in front of it does
            return True
        if isinstance(op, ktensor.ActivationOp) and _rounds(op):
            return self._round(op)
        for index, operand in enumerate(op.operands):
            if operand in self.bytes or operand in self.floats:
                op.operands[index] = self.as_float(operand)
        for result in op.results:
            self.floats[result] = result
        return False

    def _round(self, op: ktensor.ActivationOp) -> bool:
        """Quantize where the model does."""
        kind, source = self.ranges.parameters(op.output), self.bytes.get(op.input)
        if source is None or ktensor.element_of(source) != kind:
            source = self._insert(ktensor.QuantizeOp(self.as_float(op.input), kind))
        self.bytes[op.output] = source
        return True

    def _conv(self, op: kpu.Conv2dOp) -> bool:
        weight, bias = self._compensated(op)
        kind = self.ranges.parameters(op.output)
        new = kpu.Conv2dOp(
            self.as_bytes(op.input),
            weight,
            bias,
            depthwise=bool(op.depthwise.value.data),
            activation=_unrounded(op.activation.data, kind),
            pool=op.pool.data,
            result_element=kind,
        )
        new.attributes.update({name: value for name, value in op.attributes.items() if name != kpu.RANGE})
        self.bytes[op.output] = self._insert(new)
        return True

    def _compensated(self, op: kpu.Conv2dOp) -> tuple[SSAValue, SSAValue]:
        """Weight and bias, changed where a convolution reads channels of different scales."""
        weight, bias = ktensor.constant_of(op.weight), ktensor.constant_of(op.bias)
        if weight is None or bias is None or op.is_depthwise or not is_mixed(op.input):
            return op.weight, op.bias
        own, scales = self.ranges.parameters(op.input), channel_scales(op.input, self.ranges.parameters)
        if (scales[0] == own.scale_value).all() and (scales[1] == own.zero_point_value).all():
            return op.weight, op.bias
        rounded = kpu.OWN_SCALES in self.function.attributes
        constants = [ktensor.ConstantOp(array) for array in compensated(weight, bias, scales, own, rounded=rounded)]
        for constant in constants:
            constant.location = op.location
        return self._insert(constants[0]), self._insert(constants[1])

    def _join(self, op: kpu.ConcatOp) -> bool:
        kind = self.ranges.parameters(op.output)
        self.bytes[op.output] = self._insert(kpu.ConcatOp([self.as_bytes(x) for x in op.inputs], result_element=kind))
        return True

    def _move(self, op: Operation, operands: list[SSAValue]) -> bool:
        kind = _with_element(op.results[0].type, ktensor.element_of(operands[0]))
        new = type(op).create(
            operands=operands, result_types=[kind], properties=op.properties, attributes=op.attributes
        )
        self.bytes[op.results[0]] = self._insert(new)
        return True

    def _binary(self, op: ktensor.BinaryOp) -> bool:
        """Do an operation between bytes on bytes, with a clamp behind it if it is one."""
        if op.kind.data.value not in _BYTE_KINDS or kpu.stays_float(op):
            return False
        if not all(operand in self.bytes or ktensor.constant_of(operand) is not None for operand in op.operands):
            return False
        clamp = next(iter(_users(op.output))) if op.output.has_one_use() else None
        result, bounds = op.output, None
        if clamp is not None and (bounds := _clamp(clamp)) is not None:
            result = clamp.results[0]
        kind = self.ranges.parameters(result)
        if bounds is not None and not _within(kind, bounds):
            result, kind = op.output, self.ranges.parameters(op.output)
        operands = [self._operand_bytes(operand) for operand in op.operands]
        new = ktensor.BinaryOp(op.kind.data, *operands, result_type=_with_element(op.output.type, kind))
        if kpu.NUMBER in result.owner.attributes:
            new.attributes[kpu.NUMBER] = result.owner.attributes[kpu.NUMBER]
        self.bytes[result] = self._insert(new)
        return True

    def _operand_bytes(self, value: SSAValue) -> SSAValue:
        array = ktensor.constant_of(value)
        if value in self.bytes or array is None:
            return self.as_bytes(value)
        self.floats[value] = value
        return self.as_bytes(value)


def _unrounded(
    functions: Sequence[ktensor.ActivationAttr], kind: ktensor.QuantizedType
) -> list[ktensor.ActivationAttr]:
    """Functions of a layer whose result is of `kind`: steps on the way make its table worse, limits do not."""
    kinds = [function.quantized for function in functions]
    cut = [one if own is None else ktensor.limiting(*own.bounds) for one, own in zip(functions, kinds, strict=True)]
    return cut[:-1] if kinds and kinds[-1] == kind else cut


def _within(kind: ktensor.QuantizedType, bounds: Range) -> bool:
    """Whether saturation of the bytes is the clamp: nothing outside the bounds can be represented."""
    scale, zero = kind.scale_value, kind.zero_point_value
    return -zero * scale >= bounds[0] - scale / 2 and (255 - zero) * scale <= bounds[1] + scale / 2


def _with_element(kind: Attribute, element: Attribute) -> TensorType[Attribute]:
    assert isinstance(kind, TensorType)
    return TensorType(element, kind.get_shape())


@dataclass(frozen=True)
class KpuQuantizePass(ModulePass):
    """Give the values around KPU layers quantized types.

    `input_type`: what the model's inputs become; "auto" makes bytes of those that reach the KPU as bytes.
    """

    name = "kpu-quantize"

    input_type: Literal["auto", "uint8", "float32"] = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite `@main` in place."""
        function = entry_function(op)
        if has_own_scales(op):
            function.attributes[kpu.OWN_SCALES] = UnitAttr()
        _Quantizer(function, self.input_type).run()
