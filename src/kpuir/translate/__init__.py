"""kmodel files to kbuf IR and back."""

from typing import TYPE_CHECKING

from kpuir.errors import InvalidInputError, UsageError

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

_IDENTIFIER = b"LDMK"


def kmodel_version(data: bytes) -> int:
    """The version of a kmodel: 3, 4 or 5. Raises InvalidInputError for anything else."""
    first, second = data[:4], int.from_bytes(data[4:8], "little")
    if first == _IDENTIFIER and len(data) >= 8:
        if second in (4, 5):
            return second
        raise InvalidInputError(f"kmodel version {second} is unknown", hint="versions 3, 4 and 5 exist")
    if first == (3).to_bytes(4, "little"):
        return 3
    raise InvalidInputError(f"this is no kmodel: it starts with {first!r}", hint="a kmodel starts with LDMK, or with 3")


def read_kmodel(data: bytes) -> "ModuleOp":
    """The kbuf module of a kmodel file. Raises InvalidInputError, with the place, for a file that cannot be read."""
    version = kmodel_version(data)
    if version != 4:
        raise InvalidInputError(f"kmodel v{version} cannot be read yet", hint="only v4 can; --info describes v3")
    from kpuir.kmodel import v4
    from kpuir.translate.kmodel_v4 import from_v4

    return from_v4(v4.read(data))


def write_kmodel(module: "ModuleOp", version: str = "v4") -> bytes:
    """The bytes of the kmodel of an allocated kbuf module.

    Raises InvalidInputError naming the layer that the format cannot hold, UsageError for a version we do not write.
    """
    if version != "v4":
        raise UsageError(f"kmodel {version} cannot be written yet", hint="only v4 can")
    from kpuir.kmodel import v4
    from kpuir.translate.kmodel_v4 import to_v4

    model = to_v4(module)
    try:
        return v4.write(model)
    except ValueError as error:
        raise InvalidInputError(str(error)) from error
