"""kmodel files to kbuf IR and back."""

from typing import TYPE_CHECKING

from kpuir.errors import InvalidInputError, UsageError
from kpuir.kmodel import kmodel_version
from kpuir.target.runtimes import RUNTIMES

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp


def read_kmodel(data: bytes) -> "ModuleOp":
    """The kbuf module of a kmodel file. Raises InvalidInputError, with the place, for a file that cannot be read."""
    version = kmodel_version(data)
    if version == 3:
        from kpuir.kmodel import v3
        from kpuir.translate.kmodel_v3 import from_v3

        return from_v3(v3.read(data))
    if version == 5:
        from kpuir.kmodel import v5
        from kpuir.translate.kmodel_v5 import from_v5

        return from_v5(v5.read(data))
    from kpuir.kmodel import v4
    from kpuir.translate.kmodel_v4 import from_v4

    return from_v4(v4.read(data))


def check_loadable(module: "ModuleOp") -> list[str]:
    """Everything about an allocated kbuf module that a runtime of its version would trip over; empty if it is safe."""
    from kpuir.translate import loadable, loadable_v3

    return (loadable_v3 if _version_of(module) == "v3" else loadable).check_loadable(module)


def write_kmodel(module: "ModuleOp", version: str | None = None) -> bytes:
    """The bytes of the kmodel of an allocated kbuf module, of the version it was lowered for.

    Raises InvalidInputError naming the layer that the format cannot hold, and for a module of another version than the
    one given; UsageError for a version we do not write.
    """
    version = version or _version_of(module)
    if version not in RUNTIMES:
        raise UsageError(f"there is no kmodel {version}", hint=f"choose {', '.join(RUNTIMES)}")
    from kpuir.kmodel import v3, v4, v5
    from kpuir.translate.kmodel_v3 import to_v3
    from kpuir.translate.kmodel_v4 import to_v4
    from kpuir.translate.kmodel_v5 import to_v5

    try:
        match version:
            case "v3":
                return v3.write(to_v3(module))
            case "v4":
                return v4.write(to_v4(module))
            case _:
                return v5.write(to_v5(module))
    except ValueError as error:
        raise InvalidInputError(str(error)) from error


def _version_of(module: "ModuleOp") -> str:
    """What the module says it was lowered for; v4 where it says nothing."""
    from xdsl.dialects.builtin import StringAttr

    version = module.attributes.get("kbuf.version")
    return version.data if isinstance(version, StringAttr) else "v4"
