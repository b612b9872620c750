"""The user's layer name of an operation, kept as its location (`loc("conv1")`) through every rewrite."""

from xdsl.dialects.builtin import FusedLoc, LocationAttr, NameLoc, NoneAttr, StringAttr, UnknownLoc
from xdsl.ir import Attribute, Operation


def named(name: str) -> LocationAttr:
    """The location of a layer called `name` in the source model."""
    return NameLoc(StringAttr(name), NoneAttr())


def is_unknown(location: LocationAttr) -> bool:
    """Whether nothing is known about where an operation came from."""
    return isinstance(location, UnknownLoc)


def fused(*locations: LocationAttr) -> LocationAttr:
    """The location of an operation made out of several: their names in order, each once, joined by `+`.

    A name that was fused before is seen as its parts: `conv+relu` and `conv` make `conv+relu`.
    """
    names: list[str] = []
    for name in (name for location in locations for name in _names(location)):
        names += [part for part in name.split("+") if part not in names]
    return named("+".join(names)) if names else UnknownLoc()


def layer_name(op: Operation) -> str:
    """How to call an operation in a message: its layer's name, or the op's own where it has none."""
    return "+".join(_names(op.location)) or op.name


def _names(location: Attribute) -> list[str]:
    if isinstance(location, NameLoc):
        return [location.desc.data]
    if isinstance(location, FusedLoc):
        return [name for part in getattr(location.locations, "data", ()) for name in _names(part)]
    return []
