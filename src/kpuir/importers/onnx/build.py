"""The walk over a model's nodes that makes a `ktensor` module out of them."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, TensorType, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from kpuir.errors import InvalidInputError, UnsupportedError
from kpuir.importers.onnx.folding import NEVER_FOLDED, evaluate
from kpuir.importers.onnx.graph import Source, one_line, read_constants, type_name
from kpuir.importers.onnx.inference import output_shapes
from kpuir.importers.onnx.node import Node, Operand, RefusedError, Result
from kpuir.importers.onnx.ops import NEAREST_FORM, converters
from kpuir.importers.onnx.patterns import DOMAIN, OPSET, recognize
from kpuir.ir.functions import NAME

_MOVES_BYTES = frozenset(
    {"Cast", "CastLike", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split"}
)
"""What may come between a uint8 input and its Cast: ops that do no arithmetic."""


class _Unknown:
    """The result of a node that was refused: what is computed from it is not looked at any further."""


_UNKNOWN = _Unknown()


def build_module(source: Source) -> ModuleOp:
    """The module of a checked model. Raises UnsupportedError with every node that cannot be expressed."""
    return _Builder(source).build()


class _Builder:
    """The state of the walk: what each name stands for, and what could not be expressed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.types = [TensorType(f32, entry.shape) for entry in source.inputs]
        self.block = Block(arg_types=self.types)
        self.values: dict[str, SSAValue | np.ndarray[Any, Any] | _Unknown] = dict(source.constants)
        self.elements: dict[str, int] = {}
        for entry, argument in zip(source.inputs, self.block.args, strict=True):
            self.values[entry.name] = argument
            argument.name_hint = _hint(entry.name)
            if entry.element == TensorProto.UINT8:
                self.elements[entry.name] = entry.element
        self.converters = converters()
        self.materialized: dict[str, SSAValue] = {}
        self.problems: list[tuple[str, str]] = []

    def build(self) -> ModuleOp:
        """Walk the nodes and close the function."""
        self._walk(recognize(self.source.nodes, self.source.constants), self.source.outputs)
        if self.problems:
            raise UnsupportedError(
                self.problems, hint="cut the model before these layers, or replace them by a form that works"
            )
        results = [self._output(name) for name in self.source.outputs]
        self.block.add_op(ReturnOp(*results))
        function = FuncOp(
            "main",
            (self.types, [result.type for result in results]),
            Region(self.block),
            arg_attrs=_names(entry.name for entry in self.source.inputs),
            res_attrs=_names(self.source.outputs),
        )
        module = ModuleOp([function])
        module.verify()
        return module

    def _output(self, name: str) -> SSAValue:
        value = self.values.get(name)
        if isinstance(value, SSAValue):
            return value
        if isinstance(value, np.ndarray) and value.dtype.kind not in "OUSV":
            return Node(NodeProto(op_type="output"), name, 0, (), self.block).constant(value, name)
        raise InvalidInputError(f"output {name!r} is not a tensor that the graph computes", location=name)

    def _walk(self, nodes: Sequence[NodeProto], outputs: Iterable[str]) -> None:
        for node in needed(nodes, outputs):
            layer = _layer(node)
            try:
                results = self._convert(node, layer)
            except RefusedError as refusal:
                self.problems.append((layer, str(refusal)))
                results = self._stand_ins(node)
            self._bind(node, results)

    def _bind(self, node: NodeProto, results: Sequence[Any]) -> None:
        if len(results) < len([name for name in node.output if name]):
            raise InvalidInputError(
                f"{node.op_type} has {len(node.output)} outputs, but computes {len(results)}", location=_layer(node)
            )
        for name, result in zip(node.output, results, strict=False):
            if not name:
                continue
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
        self._check_bytes(node)
        return self._call(converter, node, layer, known)

    def _call(self, converter: Any, node: NodeProto, layer: str, operands: list[Operand]) -> Sequence[Any]:
        opset = self.source.opsets.get(node.domain, self.source.opsets.get("", 0))
        if node.domain == DOMAIN:
            opset = OPSET
        view = Node(node, layer, opset, operands, self.block, self.materialized)
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused where it becomes a constant
                result = cast("Result", converter(view))
        # the checker does not look at values: a malformed node may break any assumption of a converter
        except (VerifyException, ValueError, TypeError, IndexError, KeyError, ArithmeticError) as error:
            raise InvalidInputError(f"{node.op_type} is malformed: {one_line(error)}", location=layer) from error
        return [result] if isinstance(result, SSAValue | np.ndarray) else result

    def _fold(self, node: NodeProto, operands: list[Operand], layer: str) -> Sequence[Any]:
        arrays = cast("list[np.ndarray[Any, Any] | None]", operands)
        return evaluate(node, arrays, layer, self.source.opsets)

    def _branch(self, node: NodeProto, condition: bool) -> Sequence[Any]:
        name = "then_branch" if condition else "else_branch"
        graph = next((attribute.g for attribute in node.attribute if attribute.name == name), GraphProto())
        self.values.update(read_constants(graph))
        outputs = [value.name for value in graph.output]
        self._walk(graph.node, outputs)
        return [None if isinstance(value := self.values.get(name), _Unknown) else value for name in outputs]

    def _check_bytes(self, node: NodeProto) -> None:
        """Follow uint8 inputs through ops that only move them to the Cast that makes them floats."""
        element = next((self.elements[name] for name in node.input if name in self.elements), None)
        if element is None or node.op_type in ("Cast", "CastLike"):
            return
        if node.op_type not in _MOVES_BYTES:
            raise RefusedError(
                f"{node.op_type}: computes with {type_name(element)} values; works: a Cast to float in front of it"
            )
        self.elements.update(dict.fromkeys(node.output, element))

    def _stand_ins(self, node: NodeProto) -> "list[SSAValue | None]":
        """Values of the shapes ONNX infers, so that the nodes behind a refused one are looked at as well."""
        operands = [self.values.get(name, _UNKNOWN) if name else None for name in node.input]
        if any(isinstance(operand, _Unknown) for operand in operands):
            return [None] * len(node.output)
        shapes = output_shapes(node, cast("list[Operand]", operands), self.source.opsets)
        blocks = {name: Block(arg_types=[TensorType(f32, shape)]) for name, shape in shapes.items()}
        return [blocks[name].args[0] if name in blocks else None for name in node.output]

    def _refuse_op(self, node: NodeProto, key: str) -> Any:
        form = NEAREST_FORM.get(node.op_type, "")
        works = f"; works: {form}" if form else ""
        domain = f" of domain {node.domain!r}" if "::" in key else ""
        raise RefusedError(f"{node.op_type}{domain} has no counterpart on the K210{works}")


def needed(nodes: Sequence[NodeProto], outputs: Iterable[str]) -> list[NodeProto]:
    """The nodes that the outputs depend on, in their order."""
    wanted = set(outputs)
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if wanted.isdisjoint(node.output):
            continue
        kept.append(_without_unused(node, wanted))
        wanted.update(_captured(node))
    return kept[::-1]


def _without_unused(node: NodeProto, wanted: set[str]) -> NodeProto:
    """The node with the names of outputs nobody reads left empty: old exporters name even the mask of a Dropout."""
    if all(name in wanted for name in node.output):
        return node
    lean = NodeProto()
    lean.CopyFrom(node)
    lean.output[:] = [name if name in wanted else "" for name in node.output]
    return lean


def _captured(node: NodeProto) -> Iterable[str]:
    """The names a node reads, those read inside its branches included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _captured(inner)
        yield from (value.name for value in attribute.g.output)


def _layer(node: NodeProto) -> str:
    return node.name or next((name for name in node.output if name), node.op_type)


def _names(names: Iterable[str]) -> ArrayAttr[DictionaryAttr]:
    attributes: list[dict[str, Attribute]] = [{NAME: StringAttr(name)} for name in names]
    return ArrayAttr([DictionaryAttr(entry) for entry in attributes])


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
