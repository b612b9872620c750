"""Where tests find the material that is shared between projects and never committed here."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("KPUIR_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def shared_file(relative: str) -> Path:
    """The path of a shared file; the test is skipped, saying so, where it is absent."""
    path = SHARED / relative
    if not path.exists():
        where = f"{SHARED.name}/ beside the checkout (or $KPUIR_SHARED)"
        pytest.skip(f"NEEDS SHARED MATERIAL: {relative} is not in {where}")
    return path
