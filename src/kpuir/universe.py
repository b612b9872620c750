"""Names and lazy getters of our dialects and passes, for xDSL's `xdsl.universe` entry point."""

from xdsl.universe import Universe

KPUIR_UNIVERSE = Universe()
