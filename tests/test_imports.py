"""What must start quickly may not import what is slow; checked in a fresh process."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "onnx", "tflite", "numba", "scipy", "PIL", "rich")


def loaded_after(code: str) -> set[str]:
    """The top-level packages a process has imported after `code`, which may print and must not exit."""
    script = f"{code}\nimport sys\nprint('\\n' + ' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import kpuir.universe",
        "import kpuir.pipelines; kpuir.pipelines.available_passes()",
        *(f"import kpuir.tools.{tool} as tool; assert tool.main(['--help']) == 0"
          for tool in ("kpu_opt", "kpu_compile", "kpu_run", "kpu_translate")),
    ],
)  # fmt: skip
def test_no_heavy_imports(code: str) -> None:
    loaded = loaded_after(code)
    assert "kpuir" in loaded
    assert not loaded.intersection(HEAVY)


def test_notices_heavy_imports() -> None:
    assert "numpy" in loaded_after("import numpy")
