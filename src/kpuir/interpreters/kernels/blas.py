"""How many threads matrix products use; numpy's own BLAS knows only an environment variable, read too early."""

from functools import cache
from typing import Any


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_blas_thread() -> Any:
    """A context in which matrix products use one thread: for products this small, two are slower."""
    return _controller().limit(limits=1, user_api="blas")
