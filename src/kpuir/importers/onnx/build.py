"""The walk over a model's nodes that makes a `ktensor` module out of them."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import onnx.helper
from onnx import GraphProto, NodeProto, TensorProto
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, TensorType, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError, UnsupportedError
from kpuir.importers.onnx.elements import is_supported, result_elements
from kpuir.importers.onnx.folding import NEVER_FOLDED, evaluate
from kpuir.importers.onnx.graph import Input, Source, captured, needed, one_line, read_constants, type_name
from kpuir.importers.onnx.inference import output_shapes
from kpuir.importers.onnx.node import Codes, Node, Operand, RefusedError, Result, Table
from kpuir.importers.onnx.ops import NEAREST_FORM
from kpuir.importers.onnx.ops.qoperators import TAKES_CODES
from kpuir.importers.onnx.ops.quantization import encoded, input_codes, rounding
from kpuir.importers.onnx.patterns import DOMAIN, OPSET, recognize
from kpuir.ir.functions import CODES, NAME, codes_attribute

_MOVES = frozenset(
    {"Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split", "Concat", "Gather"}
    | {"Expand", "Tile", "MaxPool"}
)
"""Ops that do no arithmetic: what they make of codes are codes of the same scale."""


_CUT = "cut the model before these layers, or replace them by a form that works"


class _Unknown:
    """The result of a node that was refused: what is computed from it is not looked at any further."""


_UNKNOWN = _Unknown()


def build_module(source: Source, converters: Table) -> ModuleOp:
    """The module of a checked model. Raises InvalidInputError with everything that is in the way."""
    return _Builder(source, converters).build()


class _Builder:
    """The state of the walk: what each name stands for, and what could not be expressed."""

    def __init__(self, source: Source, converters: Table) -> None:
        self.source = source
        self.types = [TensorType(f32, entry.shape) for entry in source.inputs]
        self.block = Block(arg_types=self.types)
        self.values: dict[str, SSAValue | np.ndarray[Any, Any] | _Unknown] = dict(source.constants)
        self.elements = {entry.name: entry.element for entry in source.inputs}
        self.codes = input_codes(source)
        for entry, argument in zip(source.inputs, self.block.args, strict=True):
            argument.name_hint = _hint(entry.name)
            self.values[entry.name] = self._rounded(entry.name, argument)
        self.converters = converters
        self.values.update(dict.fromkeys(source.rejected, _UNKNOWN))
        self.materialized: dict[str, SSAValue] = {}
        self.problems: list[InvalidInputError] = list(source.rejected.values())

    def build(self) -> ModuleOp:
        """Walk the nodes and close the function."""
        source = self.source
        self._walk(recognize(source.nodes, source.constants, source.outputs), source.outputs)
        if self.problems:
            raise _together(self.problems)
        for argument in self.block.args:
            _with_batch(self.block, argument)
        self.types = [cast("TensorType[Any]", argument.type) for argument in self.block.args]
        input_attributes = [_attributes(one.name, self.codes.get(one.name, _bytes(one))) for one in self.source.inputs]
        output_attributes = [_attributes(name, self.codes.get(name)) for name in self.source.outputs]
        results = [self._output(name) for name in self.source.outputs]
        self.block.add_op(ReturnOp(*results))
        function = FuncOp(
            "main",
            (self.types, [result.type for result in results]),
            Region(self.block),
            arg_attrs=ArrayAttr(input_attributes),
            res_attrs=ArrayAttr(output_attributes),
        )
        module = ModuleOp([function])
        module.verify()
        return module

    def _rounded(self, name: str, value: SSAValue) -> SSAValue:
        """An input that holds codes rounded to what they can stand for."""
        codes = self.codes.get(name)
        if codes is None:
            return value
        node = Node(NodeProto(op_type="input"), name, 0, (), self.block)
        return node.emit(ktensor.ActivationOp(value, rounding(codes)))

    def _output(self, name: str) -> SSAValue:
        value = self.values.get(name)
        if isinstance(value, SSAValue):
            return value
        if isinstance(value, np.ndarray) and is_supported(element_of(value)):
            try:
                return Node(NodeProto(op_type="output"), name, 0, (), self.block).constant(value, name)
            except RefusedError as refusal:
                raise UnsupportedError([(name, str(refusal))], hint=_CUT) from None
        raise InvalidInputError(f"output {name!r} is not a tensor that the graph computes", location=name)

    def _walk(self, nodes: Sequence[NodeProto], outputs: Iterable[str]) -> None:
        for node in needed(nodes, outputs):
            layer = _layer(node)
            try:
                results = self._convert(node, layer)
                self._check_count(node, results)
            except RefusedError as refusal:
                self.problems.append(UnsupportedError([(layer, str(refusal))], hint=_CUT))
                results = self._stand_ins(node)
            except InvalidInputError as contradiction:
                self.problems.append(contradiction)
                results = [None] * len(node.output)  # ONNX, asked for shapes, may crash on it
            self._bind(node, results)

    def _check_count(self, node: NodeProto, results: Sequence[Any]) -> None:
        if len(results) < len([name for name in node.output if name]):
            raise InvalidInputError(
                f"{node.op_type} has {len(node.output)} outputs, but computes {len(results)}", location=_layer(node)
            )

    def _bind(self, node: NodeProto, results: Sequence[Any]) -> None:
        elements = result_elements(node, [self._element(name) for name in node.input], self.source.opsets)
        for name, result, element in zip(node.output, results, elements, strict=False):
            if not name:
                continue
            self.elements[name] = element_of(result) if isinstance(result, np.ndarray) else element
            self.values[name] = _UNKNOWN if result is None else result
            if isinstance(result, SSAValue) and result.name_hint is None:
                result.name_hint = _hint(name)

    def _convert(self, node: NodeProto, layer: str) -> Sequence[Any]:
        operands = [self.values.get(name, _UNKNOWN) if name else None for name in node.input]
        key = f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx", DOMAIN) else node.op_type
        if any(isinstance(operand, _Unknown) for operand in operands):
            if key not in self.converters and key not in ("If", "Shape", "Size", "Constant"):
                self._refuse_op(node, key)
            return [None] * len(node.output)
        known = cast("list[Operand]", operands)
        if node.op_type == "If" and isinstance(known[0], np.ndarray):
            return self._branch(node, bool(known[0].reshape(-1)[0]))
        if node.op_type in ("Shape", "Size") and isinstance(known[0], SSAValue):
            return [_shape(Node(node, layer, 0, known, self.block))]
        foldable = key not in NEVER_FOLDED and node.domain != DOMAIN
        if foldable and all(not isinstance(operand, SSAValue) for operand in known):
            return self._fold(node, known, layer)
        converter = self.converters.get(key)
        if converter is None:
            self._refuse_op(node, key)
        return self._call(converter, node, layer, known)

    def _call(self, converter: Any, node: NodeProto, layer: str, operands: list[Operand]) -> Sequence[Any]:
        opset = self.source.opsets.get(node.domain, self.source.opsets.get("", 0))
        if node.domain == DOMAIN:
            opset = OPSET
        view = self._view(node, layer, opset, operands)
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused where it becomes a constant
                result = cast("Result", converter(view))
        # the checker does not look at values: a malformed node may break any assumption of a converter
        except (VerifyException, ValueError, TypeError, IndexError, KeyError, ArithmeticError, MemoryError) as error:
            raise InvalidInputError(f"{node.op_type} is malformed: {one_line(error)}", location=layer) from error
        results = [result] if isinstance(result, SSAValue | np.ndarray) else result
        if view.result_codes is not None:
            self.codes.update({name: view.result_codes for name in node.output if name})
        return results

    def _view(self, node: NodeProto, layer: str, opset: int, operands: list[Operand]) -> Node:
        """The node for its converter: real numbers that stand for codes become the codes, unless it may keep them."""
        elements = [self._element(name) for name in node.input]
        codes = [self.codes.get(name) if isinstance(self.values.get(name), SSAValue) else None for name in node.input]
        view = Node(node, layer, opset, operands, self.block, self.materialized, elements, codes)
        data = [one for one, operand in zip(codes, operands, strict=True) if isinstance(operand, SSAValue)]
        if not any(codes) or node.op_type in TAKES_CODES:
            return view
        if node.op_type in _MOVES and len(set(data)) == 1 and not isinstance(operands[0], np.ndarray):
            constant = node.op_type == "Concat" and any(isinstance(operand, np.ndarray) for operand in operands)
            if not constant:
                view.result_codes = data[0]
                return view
        view.operands = [
            operand if one is None else encoded(view, cast("SSAValue", operand), one)
            for operand, one in zip(operands, codes, strict=True)
        ]
        return view

    def _element(self, name: str) -> int:
        """The element type of a value, 0 if there is none."""
        value = self.values.get(name)
        return element_of(value) if isinstance(value, np.ndarray) else self.elements.get(name, 0)

    def _fold(self, node: NodeProto, operands: list[Operand], layer: str) -> Sequence[Any]:
        known = dict(zip(node.input, operands, strict=True))
        outer = {name: self.values[name] for name in captured(node) if name in self.values and name not in known}
        computed = next((name for name, value in outer.items() if not isinstance(value, np.ndarray)), None)
        if computed is not None:
            raise RefusedError(f"{node.op_type}: its body reads {computed!r}, which is computed at run time")
        arrays = cast("dict[str, np.ndarray[Any, Any] | None]", {**known, **outer})
        return evaluate(node, arrays, layer, self.source.opsets)

    def _branch(self, node: NodeProto, condition: bool) -> Sequence[Any]:
        name = "then_branch" if condition else "else_branch"
        graph = next((attribute.g for attribute in node.attribute if attribute.name == name), GraphProto())
        self.values.update(read_constants(graph))
        outputs = [value.name for value in graph.output]
        self._walk(graph.node, outputs)
        return [None if isinstance(value := self.values.get(name), _Unknown) else value for name in outputs]

    def _stand_ins(self, node: NodeProto) -> "list[SSAValue | None]":
        """Values of the shapes ONNX infers, so that the nodes behind a refused one are looked at as well."""
        operands = [self.values.get(name, _UNKNOWN) if name else None for name in node.input]
        if any(isinstance(operand, _Unknown) for operand in operands):
            return [None] * len(node.output)
        elements = [self._element(name) for name in node.input]
        shapes = output_shapes(node, cast("list[Operand]", operands), elements, self.source.opsets)
        blocks = {name: Block(arg_types=[TensorType(f32, shape)]) for name, shape in shapes.items()}
        return [blocks[name].args[0] if name in blocks else None for name in node.output]

    def _refuse_op(self, node: NodeProto, key: str) -> Any:
        form = NEAREST_FORM.get(node.op_type, "")
        works = f"; works: {form}" if form else ""
        domain = f" of domain {node.domain!r}" if "::" in key else ""
        raise RefusedError(f"{node.op_type}{domain} has no counterpart on the K210{works}")


def _with_batch(block: Block, argument: SSAValue) -> None:
    """Give a picture [H, W, C], [C, H, W] or [H, W] that becomes one with a batch in the model that shape itself."""
    shape = ktensor.shape_of(argument)
    if len(shape) not in (2, 3) or shape[0] == 1 or not _leads_to_map(argument):
        return
    batch = Rewriter.replace_value_with_new_type(argument, TensorType(f32, (1,) * (4 - len(shape)) + shape))
    own = ktensor.ReshapeOp(batch, shape)
    Rewriter.insert_op(own, InsertPoint.at_start(block))
    batch.replace_uses_with_if(own.output, lambda use: use.operation is not own)


def _leads_to_map(value: SSAValue) -> bool:
    """Whether all uses lead over functions of elements, slices and transposes to an image: axes of size 1 put in."""
    users = [use.operation for use in value.uses]
    return bool(users) and all(
        _leads_to_map(user.results[0])
        if isinstance(user, ktensor.UnaryOp | ktensor.ActivationOp | ktensor.SliceOp | ktensor.TransposeOp)
        or (
            isinstance(user, ktensor.BinaryOp)
            and any(isinstance(one.owner, ktensor.ConstantOp) for one in user.operands)
        )
        else isinstance(user, ktensor.ReshapeOp) and _is_map_of(ktensor.shape_of(user.output), ktensor.shape_of(value))
        for user in users
    )


def _is_map_of(shape: Sequence[int], picture: Sequence[int]) -> bool:
    wide = [[size for size in sizes if size > 1] for sizes in (shape, picture)]
    return len(shape) == 4 and shape[0] == 1 and wide[0] == wide[1]


def _together(problems: Sequence[InvalidInputError]) -> InvalidInputError:
    """One error for all that is wrong with a model; what is wrong in itself comes with what to do about it."""
    if len(problems) == 1:
        return problems[0]
    reasons: list[tuple[str, str]] = []
    for one in problems:
        if isinstance(one, UnsupportedError):
            reasons += one.problems
        else:
            reasons.append((one.location or "model", f"{one.message} ({one.hint})" if one.hint else one.message))
    refused = [one for one in problems if isinstance(one, UnsupportedError)]
    what = "are not supported" if len(refused) == len(problems) else "cannot be imported"
    again = None if all(one.hint for one in problems) else "export the model again"
    return UnsupportedError(reasons, what=what, hint=_CUT if refused else again)


def element_of(array: "np.ndarray[Any, Any]") -> int:
    """The ONNX element type of an array."""
    return onnx.helper.np_dtype_to_tensor_dtype(array.dtype)


def _layer(node: NodeProto) -> str:
    return node.name or next((name for name in node.output if name), node.op_type)


def _attributes(name: str, codes: Codes | None) -> DictionaryAttr:
    """The attributes of an input or output."""
    found: dict[str, Attribute] = {NAME: StringAttr(name)}
    if codes is not None:
        found[CODES] = codes_attribute(type_name(codes.element), codes.scale, codes.zero_point)
    return DictionaryAttr(found)


def _bytes(source: Input) -> Codes | None:
    """What the bytes of an input stand for that no DequantizeLinear reads: themselves, as pixels do."""
    return Codes(source.element, 1.0, 0) if source.element == TensorProto.UINT8 else None


def _hint(name: str) -> str | None:
    """The name as an SSA name hint, where it can be turned into one."""
    cleaned = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
    return cleaned if cleaned and SSAValue.is_valid_name(cleaned) and not cleaned[0].isdigit() else None


def _shape(node: Node) -> "np.ndarray[Any, Any]":
    shape = node.shape(0)
    if node.op_type == "Size":
        return np.asarray(np.prod(shape, dtype=np.int64))
    start = node.integer("start", 0)
    end = node.integer("end", len(shape))
    return np.asarray(shape[slice(start, end)], dtype=np.int64)
