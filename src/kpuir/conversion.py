"""An existing kmodel as one of another version, of whatever compiler: through the `kbuf` level and its passes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kpuir.errors import InvalidInputError, UnsupportedError
from kpuir.named_pipelines import PIPELINES
from kpuir.versions import check_release, check_version

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp


@dataclass(frozen=True)
class ConvertedModel:
    """A kmodel of another version, the IR it was written from, and what is to stand in the .json beside it."""

    kmodel_bytes: bytes
    module: "ModuleOp"
    sidecar: Mapping[str, Any] | None


def convert(
    data: bytes, version: str, *, runtime: str | None = None, sidecar: Mapping[str, Any] | None = None
) -> ConvertedModel:
    """A kmodel's bytes as a kmodel of `version`, v5 for the release `runtime` or, without one, for the newest.

    A file of that version is read and written again, one of v5 with the numbers that its functions have in another
    release, where that has all of them. `sidecar` is what stands beside the file: it names the layers, and comes back
    to stand beside the new one.

    Raises UsageError for versions and releases that do not exist, InvalidInputError for a damaged file,
    UnsupportedError naming every instruction that the other version has nothing for, DoesNotFitError where it takes
    more memory than there is.
    """
    from kpuir.compiler import configured, file_description
    from kpuir.fitting import written
    from kpuir.pipelines import make_context, parse_passes, run_passes
    from kpuir.translate import read_kmodel

    check_version(version)
    check_release(version, runtime)
    module = read_kmodel(data)
    _name_layers(module, sidecar)
    found = module.attributes["kbuf.version"].data  # pyright: ignore[reportAttributeAccessIssue]  # a string
    again, lacks = (None, None) if found != version else _rewritten(module, runtime)
    if again is None:
        options = {"kbuf-raise": {"version": version}, "kbuf-legalize-v5": {"release": runtime}}
        passes = [configured(one, options.get(one.name, {})) for one in parse_passes("kbuf-convert", lambda: PIPELINES)]
        try:
            run_passes(make_context(), module, passes, verify=False)
        except UnsupportedError as error:
            raise lacks or error from None
        module.verify()
        again = written(module, version)
    if sidecar is not None:
        # How layers compare with the source model's is known by instruction, of the old file.
        of_file = file_description(module, len(again))
        sidecar = {**sidecar, "kmodel": version, **of_file, "firmware": None, "layers": []}
    return ConvertedModel(again, module, sidecar)


def _rewritten(module: "ModuleOp", release: str | None) -> tuple[bytes | None, InvalidInputError | None]:
    """The bytes of a module of the right version, or which function the release lacks."""
    from xdsl.dialects.builtin import StringAttr

    from kpuir.target.stackvm import NEWEST
    from kpuir.translate import write_kmodel

    if release is None:
        return write_kmodel(module), None
    module.attributes["kbuf.release"] = StringAttr(release)
    if release == NEWEST:
        del module.attributes["kbuf.release"]
    try:
        return write_kmodel(module), None
    except InvalidInputError as error:
        return None, error


def _name_layers(module: "ModuleOp", sidecar: Mapping[str, Any] | None) -> None:
    """Let instructions be where the side-car says, if it is about as many."""
    from kpuir.dialects import kbuf
    from kpuir.ir.locations import named

    entries = None if sidecar is None else sidecar.get("instructions")
    ops = [op for op in module.walk() if isinstance(op, kbuf.InstructionOp)]
    if not isinstance(entries, list) or len(entries) != len(ops):
        return
    for op, entry in zip(ops, entries, strict=True):
        if isinstance(entry, dict) and isinstance(entry.get("layer"), str):
            op.location = named(entry["layer"])
