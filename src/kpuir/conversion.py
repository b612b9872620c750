"""An existing kmodel as one of another version, of whatever compiler: through the `kbuf` level and its passes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

    A file of that version is read and written again, unless it is one of v5 and a `runtime` is given. `sidecar` is what
    stands beside the file: it names the layers, and comes back to stand beside the new one. Raises UsageError for
    versions and releases that do not exist, InvalidInputError for a damaged file, UnsupportedError naming every
    instruction that the other version has nothing for, DoesNotFitError where it takes more memory than there is.
    """
    from kpuir.compiler import configured, file_description
    from kpuir.fitting import written
    from kpuir.pipelines import make_context, parse_passes, run_passes
    from kpuir.translate import read_kmodel, write_kmodel

    check_version(version)
    check_release(version, runtime)
    module = read_kmodel(data)
    _name_layers(module, sidecar)
    found = module.attributes["kbuf.version"]
    if found.data != version or runtime is not None:  # pyright: ignore[reportAttributeAccessIssue]  # a string
        options = {"kbuf-raise": {"version": version}, "kbuf-legalize-v5": {"release": runtime}}
        passes = [configured(one, options.get(one.name, {})) for one in parse_passes("kbuf-convert", lambda: PIPELINES)]
        run_passes(make_context(), module, passes, verify=False)
        module.verify()
        data = written(module, version)
    else:
        data = write_kmodel(module)
    if sidecar is not None:
        # How layers compare with the source model's is known by instruction, of the old file.
        of_file = file_description(module, len(data))
        sidecar = {**sidecar, "kmodel": version, **of_file, "firmware": None, "layers": []}
    return ConvertedModel(data, module, sidecar)


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
