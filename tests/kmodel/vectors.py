"""The conformance models of the real runtime, read from the shared archive."""

import platform
import zipfile
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.shared import shared_file

MOST_ULPS = 0 if platform.libc_ver()[0] == "glibc" else 2
"""How far cosf, expf, logf and sinf of another C library than the vectors' may take results away."""


def is_the_runtimes(found: NDArray[Any], raw: bytes, *, by_library: bool) -> bool:
    """Whether a result is the runtime's, byte for byte; `by_library` says that it comes from the C library's floats."""
    if found.tobytes() == raw or not by_library:
        return found.tobytes() == raw
    one, other = (array.reshape(-1).view(np.int32).astype(np.int64) for array in (found, np.frombuffer(raw, "<f4")))
    return int(np.abs(one - other).max()) <= MOST_ULPS


@cache
def v4_models() -> dict[str, bytes]:
    """The kmodels of all 726 conformance vectors by folder name; skips where the archive is absent."""
    with zipfile.ZipFile(shared_file("vectors/v4.zip")) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith("/model.kmodel"))
        return {name.split("/")[-2]: archive.read(name) for name in names}


def one_of_each() -> dict[str, bytes]:
    """The first model of each kind of vector."""
    firsts: dict[str, bytes] = {}
    for name, data in v4_models().items():
        firsts.setdefault(name.rpartition("-")[0], data)
    return firsts
