"""kpuir: a multi-level IR compiler framework for the KPU of the Kendryte K210.

model = kpuir.compile("model.onnx", dataset="images/")   # -> CompiledModel
model.save("model.kmodel")
kpuir.load("any.kmodel").run({"input0": x})              # -> LoadedModel
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kpuir.compiler import CompiledModel, compile
    from kpuir.runtime import LoadedModel, load

__all__ = ["CompiledModel", "LoadedModel", "compile", "load"]

_HOMES = {
    "compile": "kpuir.compiler",
    "CompiledModel": "kpuir.compiler",
    "load": "kpuir.runtime",
    "LoadedModel": "kpuir.runtime",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: `import kpuir` loads nothing."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'kpuir' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
