"""Names and lazy getters of our dialects, passes and targets, for xDSL's `xdsl.universe` entry point.

Nothing of ours is imported before a getter is called: `import kpuir.universe` must stay cheap, since every
`xdsl-opt` on the machine does it.
"""

from collections.abc import Callable
from importlib import import_module

from xdsl.ir import Dialect
from xdsl.passes import ModulePass
from xdsl.universe import Universe
from xdsl.utils.target import Target

from kpuir.passes import PASSES

DIALECTS: dict[str, tuple[str, str]] = {
    "ktensor": ("kpuir.dialects.ktensor", "KTensor"),
    "kpu": ("kpuir.dialects.kpu", "Kpu"),
    "kbuf": ("kpuir.dialects.kbuf", "Kbuf"),
}
"""Where the Dialect object of each name is."""

TARGETS: dict[str, tuple[str, str]] = {
    "kpu-coverage": ("kpuir.reports.coverage_target", "KpuCoverageTarget"),
}
"""Where the class of each output target is."""


def _dialect(module: str, name: str) -> Callable[[], Dialect]:
    return lambda: getattr(import_module(module), name)


def _pass(module: str, name: str) -> Callable[[], type[ModulePass]]:
    return lambda: getattr(import_module(module), name)


def _target(module: str, name: str) -> Callable[[], type[Target]]:
    return lambda: getattr(import_module(module), name)


KPUIR_UNIVERSE = Universe(
    all_dialects={name: _dialect(*place) for name, place in DIALECTS.items()},
    all_passes={name: _pass(*place) for name, place in PASSES.items()},
    all_targets={name: _target(*place) for name, place in TARGETS.items()},
)
