"""Einsum as matrix products: axes are brought into the order batch, rows, sum and batch, sum, columns, and joined."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.importers.onnx.node import Node, Table


class _Term(NamedTuple):
    """A value and the letter of each of its axes."""

    value: SSAValue
    letters: str

    def size(self, letter: str) -> int:
        return ktensor.shape_of(self.value)[self.letters.index(letter)]


def einsum(node: Node) -> SSAValue:
    """Einsum, of any number of operands; operands that are multiplied are, from left to right, matrix products."""
    inputs, wanted = _equation(node)
    terms = [_diagonals(node, _Term(node.value(index), letters)) for index, letters in enumerate(inputs)]
    sizes: dict[str, int] = {}
    for term in terms:
        for letter in term.letters:
            if sizes.setdefault(letter, term.size(letter)) != term.size(letter):
                raise node.invalid(f"axis {letter!r} has sizes {sizes[letter]} and {term.size(letter)}")
    if len(set(wanted)) < len(wanted) or not set(wanted) <= sizes.keys():
        raise node.invalid(f"cannot have the axes {wanted!r} in its result")
    result = terms[0]
    for index, term in enumerate(terms[1:], 1):
        later = {*wanted, *"".join(one.letters for one in terms[index + 1 :])}
        result = _product(node, result, term, later)
    result = _summed(node, result, set(wanted))
    return node.transpose(result.value, [result.letters.index(letter) for letter in wanted])


def _equation(node: Node) -> tuple[list[str], str]:
    """The letters of each operand's axes and of the result's; those of an ellipsis are capitals that are not used."""
    text = node.text("equation", "").replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(node.operands):
        raise node.invalid(f"equation {text!r} is of {len(inputs)} operands, there are {len(node.operands)}")
    free = [letter for letter in _CAPITALS if letter not in text]
    ranks = [len(node.shape(index)) - len(term.replace("...", "")) for index, term in enumerate(inputs)]
    most = max([rank for term, rank in zip(inputs, ranks, strict=True) if "..." in term], default=0)
    if most > len(free) or any(
        rank < 0 or (rank and "..." not in term) for term, rank in zip(inputs, ranks, strict=True)
    ):
        raise node.invalid(
            f"equation {text!r} does not fit operands of {[len(node.shape(i)) for i in range(len(ranks))]} axes"
        )
    dots = "".join(free[:most])
    terms = [term.replace("...", dots[most - rank :]) for term, rank in zip(inputs, ranks, strict=True)]
    letters = "".join(terms)
    implied = dots + "".join(sorted(one for one in set(letters) - set(dots) if letters.count(one) == 1))
    if not all(one.isalpha() for one in letters):
        raise node.invalid(f"equation {text!r} has other axes than letters")
    return terms, right.replace("...", dots) if arrow else implied


_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _diagonals(node: Node, term: _Term) -> _Term:
    """The term with every letter once: of two axes of one letter the diagonal."""
    value, letters = term
    while repeated := next((one for one in letters if letters.count(one) > 1), None):
        first = letters.index(repeated)
        second = letters.index(repeated, first + 1)
        shape = ktensor.shape_of(value)
        size = shape[first]
        if shape[second] != size:
            raise node.invalid(f"axis {repeated!r} has sizes {size} and {shape[second]}")
        rest = [axis for axis in range(len(shape)) if axis not in (first, second)]
        value = node.transpose(value, [*rest, first, second])
        value = node.reshape(value, [*(shape[axis] for axis in rest), size * size])
        value = node.cut(value, len(rest), 0, size * size, size + 1)
        letters = "".join(letters[axis] for axis in rest) + repeated
    return _Term(value, letters)


def _summed(node: Node, term: _Term, needed: set[str]) -> _Term:
    """The term summed over the axes that are not needed."""
    gone = [axis for axis, letter in enumerate(term.letters) if letter not in needed]
    kept = "".join(letter for letter in term.letters if letter in needed)
    return _Term(node.reduce("sum", term.value, gone, keep_dims=False), kept)


def _product(node: Node, left: _Term, right: _Term, later: set[str]) -> _Term:
    """The product of two terms, summed over the axes that are needed neither in the result nor by other terms."""
    left = _summed(node, left, {*right.letters, *later})
    right = _summed(node, right, {*left.letters, *later})
    both = [letter for letter in left.letters if letter in right.letters]
    batch = "".join(letter for letter in both if letter in later)
    inner = "".join(letter for letter in both if letter not in later)
    rows = "".join(letter for letter in left.letters if letter not in both)
    columns = "".join(letter for letter in right.letters if letter not in both)
    matrices = [_matrix(node, left, batch, rows, inner), _matrix(node, right, batch, inner, columns)]
    value = node.emit(ktensor.MatmulOp(*matrices))
    sizes = [left.size(letter) for letter in batch + rows] + [right.size(letter) for letter in columns]
    return _Term(node.reshape(value, sizes), batch + rows + columns)


def _matrix(node: Node, term: _Term, batch: str, rows: str, columns: str) -> SSAValue:
    """A term as matrices, a batch of them where there is one."""
    groups: Sequence[str] = [batch, rows, columns] if batch else [rows, columns]
    value = node.transpose(term.value, [term.letters.index(letter) for letter in "".join(groups)])
    return node.reshape(value, [prod(term.size(letter) for letter in group) for group in groups])


TABLE: Table = {"Einsum": einsum}
