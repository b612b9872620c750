"""Every op that is imported, in every version that ONNX has of it since opset 7, against ONNX Runtime.

Versions that ONNX Runtime lacks are compared with ONNX's reference implementation, or with the version before.
"""

import warnings

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from kpuir import onnx_backend, plugins
from kpuir.importers.onnx.ops import converters
from tests.importers.backend import FOLDED
from tests.importers.nets import Array, runtime
from tests.importers.onnx_forms import FORMS, models, versions


def test_every_op_has_a_form() -> None:
    of_onnx = {name for name in converters() if "::" not in name}
    assert of_onnx | FOLDED - {"Range"} == FORMS.keys()


def test_every_version_of_every_op(monkeypatch: pytest.MonkeyPatch) -> None:
    # looking for installed packages takes longer than importing one node
    monkeypatch.setattr(plugins, "entry_points", lambda **_: [])
    wrong: dict[tuple[str, int], str] = {}
    expected: list[Array] | None = None
    previous = ""
    for op_type, opset, model, fed in models():
        expected = answers(model, fed) or (expected if op_type == previous else None)
        assert expected is not None, f"nothing to compare {op_type} of opset {opset} with"
        found = onnx_backend.run_model(model, list(fed.values()))
        if problem := difference(op_type, found, expected):
            wrong[op_type, opset] = problem
        previous = op_type
    assert not wrong


def answers(model: onnx.ModelProto, fed: dict[str, Array]) -> list[Array] | None:
    """What ONNX Runtime, or else the reference implementation, computes; None where neither can."""
    try:
        return runtime(model, fed)
    except Exception:  # ONNX Runtime has its own for each of the things it lacks
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return [np.asarray(one) for one in ReferenceEvaluator(model).run(None, fed)]
            except NotImplementedError:
                return None


def difference(op_type: str, found: tuple[Array, ...], expected: list[Array]) -> str:
    """What is wrong, empty where nothing is; of random numbers only types and shapes are."""
    for ours, theirs in zip(found, expected, strict=True):
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            return f"{ours.dtype} {ours.shape}, not {theirs.dtype} {theirs.shape}"
        if not op_type.startswith("Random"):
            error = np.abs(ours.astype(np.float64) - theirs).max()
            if not error <= 1e-5 * max(1.0, np.abs(theirs.astype(np.float64)).max()):
                return f"differs by {error}"
    return ""


if __name__ == "__main__":
    print(sum(len(versions()[op_type]) for op_type in FORMS), "versions of", len(FORMS), "ops")
