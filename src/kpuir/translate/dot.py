"""A module as a Graphviz graph: a box per operation, an edge per value, constants left out."""

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, Block, BlockArgument, Operation, SSAValue

from kpuir.ir.locations import layer_name

_COLOURS = {"kpu": "#cfe8cf", "ktensor": "#d6e4f5", "kbuf": "#f5e6cc"}
_LEFT_OUT = ("ktensor.constant", "kbuf.constant", "arith.constant")


def dot(module: ModuleOp) -> str:
    """The text of a `digraph` of everything in `module`: `dot -Tsvg` makes a picture of it."""
    names: dict[Operation | Block, str] = {}
    boxes: list[str] = []
    edges: list[str] = []
    for op in module.walk():
        if op.regions:
            _add_arguments(op, names, boxes)
        elif op.name not in _LEFT_OUT:
            names[op] = f"n{len(names)}"
            boxes.append(_box(names[op], [op.name, *_layer(op)], _COLOURS.get(op.dialect_name(), "white")))
            edges += [_edge(value, names, names[op]) for value in op.operands if _owner(value) in names]
    lines = "\n".join(f"  {line}" for line in (*boxes, *edges))
    return f'digraph model {{\n  node [shape=box, style=filled, fontname="sans-serif"]\n{lines}\n}}\n'


def _add_arguments(op: Operation, names: dict[Operation | Block, str], boxes: list[str]) -> None:
    for region in op.regions:
        for block in region.blocks:
            if block.args:
                names[block] = f"n{len(names)}"
                boxes.append(_box(names[block], ["inputs"], "white"))


def _layer(op: Operation) -> list[str]:
    name = layer_name(op)
    return [name] if name != op.name else []


def _owner(value: SSAValue) -> Operation | Block:
    return value.block if isinstance(value, BlockArgument) else value.owner


def _box(name: str, lines: list[str], colour: str) -> str:
    return f'{name} [label="{_escape(chr(10).join(lines))}", fillcolor="{colour}"]'


def _edge(value: SSAValue, names: dict[Operation | Block, str], target: str) -> str:
    return f'{names[_owner(value)]} -> {target} [label="{_escape(_type_text(value.type))}"]'


def _type_text(kind: Attribute) -> str:
    return str(kind)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
