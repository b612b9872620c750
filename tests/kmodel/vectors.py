"""The conformance models of the real runtime, read from the shared archive."""

import zipfile
from functools import cache

from tests.shared import shared_file


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
