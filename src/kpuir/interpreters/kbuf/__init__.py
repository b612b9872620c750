"""The byte-exact machine that runs kbuf IR: two byte-addressed RAMs, constants, and every instruction of kmodels."""

from kpuir.interpreters.kbuf import kpu_steps as _kpu_steps
from kpuir.interpreters.kbuf import neutral_steps as _neutral_steps
from kpuir.interpreters.kbuf import v3_steps as _v3_steps
from kpuir.interpreters.kbuf import v5_steps as _v5_steps
from kpuir.interpreters.kbuf import window_steps as _window_steps
from kpuir.interpreters.kbuf.machine import Machine, Step, executes
from kpuir.interpreters.kbuf.memory import Access, Memory

__all__ = ["Access", "Machine", "Memory", "Step", "executes"]

# Importing a module of steps registers them.
_ = (_kpu_steps, _neutral_steps, _v3_steps, _v5_steps, _window_steps)
