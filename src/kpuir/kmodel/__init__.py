"""The kmodel file formats: bytes to dataclasses and back. Knows no IR."""

from kpuir.errors import InvalidInputError

_IDENTIFIER = b"LDMK"
_FIRST_OF_V3 = (3).to_bytes(4, "little")


def is_kmodel(data: bytes) -> bool:
    """Whether a file starts as kmodels do, of whatever version."""
    return data[:4] in (_IDENTIFIER, _FIRST_OF_V3)


def kmodel_version(data: bytes) -> int:
    """The version of a kmodel: 3, 4 or 5. Raises InvalidInputError for anything else."""
    first, second = data[:4], int.from_bytes(data[4:8], "little")
    if first == _IDENTIFIER and len(data) >= 8:
        if second in (4, 5):
            return second
        raise InvalidInputError(f"kmodel version {second} is unknown", hint="versions 3, 4 and 5 exist")
    if first == _FIRST_OF_V3:
        return 3
    raise InvalidInputError(f"this is no kmodel: it starts with {first!r}", hint="a kmodel starts with LDMK, or with 3")
