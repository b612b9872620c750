"""What writers of all versions ask of a kbuf module: its version, its figures, its inputs and outputs in order."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr

from kpuir.errors import InvalidInputError

VERSION = "kbuf.version"
T = TypeVar("T")


def check_version(module: ModuleOp, version: str) -> None:
    """Raise InvalidInputError unless a module was lowered for a version of the kmodel."""
    found = module.attributes.get(VERSION)
    if found != StringAttr(version):
        text = found.data if isinstance(found, StringAttr) else "missing"
        raise InvalidInputError(
            f"{VERSION} is {text}, but a {version} file needs a module lowered for {version}",
            hint=f"kpu-translate --convert {version} moves a kmodel to another version",
        )


def module_int(module: ModuleOp, name: str, default: int | None = None) -> int:
    """An integer attribute of a module. Raises InvalidInputError where it is missing and there is no default."""
    attribute = module.attributes.get(name)
    if isinstance(attribute, IntegerAttr):
        return cast("IntegerAttr[Any]", attribute).value.data
    if default is None:
        raise InvalidInputError(f"the module has no {name}: run kbuf-allocate first")
    return default


def number(found: dict[int, T], index: int, value: T) -> None:
    """Note what an input or output is. Raises ValueError for a number that is taken."""
    if index in found:
        raise ValueError(f"number {index} is given twice")
    found[index] = value


def in_order(what: str, found: Mapping[int, T]) -> tuple[T, ...]:
    """Inputs or outputs by their numbers. Raises InvalidInputError unless these count from 0 without gaps."""
    missing = [index for index in range(len(found)) if index not in found]
    if missing:
        raise InvalidInputError(f"there are {len(found)} {what}s, but none has number {missing[0]}")
    return tuple(found[index] for index in range(len(found)))
