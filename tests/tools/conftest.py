"""Command lines run in this process, in a directory of their own."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest


class Ran(NamedTuple):
    """What a command line left."""

    status: int
    out: str
    err: str


Invoke = Callable[..., Ran]


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run a tool: `invoke("kpu-opt", "x.mlir", "-p", "cse")`. Relative paths are those of an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(tool: str, *arguments: str | Path) -> Ran:
        capsys.readouterr()
        main = import_module(f"kpuir.tools.{tool.replace('-', '_')}").main
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(status, out, err)

    return run


@pytest.fixture
def digits() -> Path:
    """The folder of the example."""
    return Path(__file__).parents[2] / "examples" / "digits"
