"""Damaged kmodels: mutations of a file drawn from a seed, and what readers make of them."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from kpuir.errors import KpuirError
from kpuir.interpreters.kbuf import Machine
from kpuir.kmodel.info import describe, text_of
from kpuir.translate import read_kmodel, write_kmodel

REFUSED, READ, RUN, NOT_RUN, NOT_WRITTEN = "refused", "read", "run", "not run", "not written"
"""What became of a file: refused by the reader; read and written again; run; refused by the machine, by the writer."""

_EXTREME = (0, 1, 2, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF)
_HEAD = 256
"""So many first bytes, where headers are, are hit more often than their share of a large file."""


def mutated(data: bytes, dice: random.Random) -> bytes:
    """A file with one to eight things wrong."""
    damaged = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 1, 2, 3, 8))):
        if damaged:
            dice.choice(_MUTATIONS)(damaged, dice)
    return bytes(damaged)


def _place(data: bytearray, dice: random.Random) -> int:
    return dice.randrange(min(len(data), _HEAD) if dice.random() < 0.3 else len(data))


def _flip(data: bytearray, dice: random.Random) -> None:
    data[_place(data, dice)] ^= 1 << dice.randrange(8)


def _overwrite(data: bytearray, dice: random.Random) -> None:
    place = _place(data, dice)
    data[place : place + dice.choice((1, 1, 2, 4, 16))] = dice.randbytes(min(dice.randint(1, 16), len(data) - place))


def _overwrite_number(data: bytearray, dice: random.Random) -> None:
    """A number that looks like a length, count or offset, by an extreme one or one close to it."""
    for _ in range(20):
        place = _place(data, dice) & (~3 if dice.random() < 0.8 else ~0)
        old = int.from_bytes(data[place : place + 4], "little")
        if 0 < old <= 4 * len(data) and place + 4 <= len(data):
            near = (old - 1, old + 1, 2 * old, old + 8, -old, len(data), 1 << dice.randrange(32))
            data[place : place + 4] = (dice.choice((*_EXTREME, *near)) & 0xFFFFFFFF).to_bytes(4, "little")
            return


def _truncate(data: bytearray, dice: random.Random) -> None:
    del data[-dice.randint(1, 16) if dice.random() < 0.5 else dice.randrange(len(data)) :]


def _append(data: bytearray, dice: random.Random) -> None:
    data += dice.randbytes(dice.randint(1, 64)) if dice.random() < 0.5 else bytes(8 * dice.randint(1, 8))


def _move(data: bytearray, dice: random.Random) -> None:
    """Bytes taken out, put in, or copied over others."""
    source, target, count = _place(data, dice), _place(data, dice), dice.choice((1, 4, 8, 64))
    part = data[source : source + count]
    match dice.randrange(3):
        case 0:
            del data[source : source + count]
        case 1:
            data[target:target] = part
        case _:
            data[target : target + len(part)] = part


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _flip,
    _overwrite,
    _overwrite_number,
    _overwrite_number,
    _overwrite_number,
    _truncate,
    _append,
    _move,
)


def outcome(data: bytes, *, execute: bool = False) -> str:
    """What becomes of a file; anything but a KpuirError comes out of here, and so does a file that changes."""
    try:
        text_of(describe(data), "damaged.kmodel")
        module = read_kmodel(data)
    except KpuirError:
        return REFUSED
    module.verify()
    try:
        written = write_kmodel(module)
    except KpuirError:
        return NOT_WRITTEN
    assert write_kmodel(read_kmodel(written)) == written, "what is written comes back"
    return _run(module) if execute else READ


def _run(module: Any) -> str:
    try:
        machine = Machine(module)
        inputs = zip(machine.input_shapes, machine.input_dtypes, strict=True)
        machine.run([np.zeros(shape, dtype) for shape, dtype in inputs])
    except KpuirError:
        return NOT_RUN
    return RUN
