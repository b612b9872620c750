"""The other Python: a CPython 3.10 with the released nncase 1.9, in an environment that is made once per machine."""

import glob
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGES = ("nncase==1.9.0.*", "numpy<2")
PEER = Path(__file__).parent / "peer.py"
VARIABLE = "KPUIR_PEER_PYTHON"
Peer = Callable[[str, Path], None]


def _candidates() -> Iterator[str]:
    if VARIABLE in os.environ:
        yield os.environ[VARIABLE]
        return
    on_path = shutil.which("python3.10")
    yield from [on_path] if on_path else []
    yield from sorted(glob.glob(str(Path.home() / ".pyenv/versions/3.10.*/bin/python")))


def _output(*command: str) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    except OSError:
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def _has_nncase(python: str) -> bool:
    return bool(_output(python, "-c", "import nncase; print('yes')"))


def _python() -> str:
    """A Python that imports nncase. Raises LookupError saying what is missing."""
    found = [one for one in _candidates() if _output(one, "-c", "import sys; print(sys.version_info[:2])") == "(3, 10)"]
    if not found:
        raise LookupError(f"no CPython 3.10 in ${VARIABLE}, on the path or under pyenv")
    ready = next((one for one in found if _has_nncase(one)), None)
    if ready is not None:
        return ready
    folder = Path(tempfile.gettempdir()) / f"kpuir-peer-nncase-1.9.0-{os.getuid()}"
    python = folder / "bin/python"
    if not (python.exists() and _has_nncase(str(python))):
        # Made under another name: two runs at once do not meet.
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            made_python = f"{made}/bin/python"
            _output(found[0], "-m", "venv", made)
            _output(made_python, "-m", "pip", "install", "--quiet", *PACKAGES)
            if not _has_nncase(made_python):
                raise LookupError(f"nncase 1.9 cannot be installed for {found[0]}")
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(made, folder, symlinks=True)
    return str(python)


@pytest.fixture(scope="session")
def found_python() -> str | LookupError:
    """A Python that imports nncase, or what is missing."""
    try:
        return _python()
    except LookupError as missing:
        return missing


@pytest.fixture
def peer(found_python: str | LookupError, request: pytest.FixtureRequest) -> Peer:
    """Runs an action of peer.py on a folder; tests that ask for it are skipped by name where it cannot be had."""
    if isinstance(found_python, LookupError):
        pytest.skip(f"{request.node.name} NEEDS NNCASE 1.9: {found_python}")

    def run(action: str, folder: Path) -> None:
        ran = subprocess.run(
            [found_python, str(PEER), action, str(folder)], capture_output=True, text=True, check=False, timeout=900
        )
        assert ran.returncode == 0, ran.stderr[-2000:]

    return run
