"""ONNX's own node tests, run through the standard backend interface.

python -m tests.importers.backend [ktensor|kbuf] [PART OF A NAME]      # all of them, with a summary
"""

import importlib
import pkgutil
import sys
import warnings
from collections.abc import Container, Mapping
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
import onnx.numpy_helper

from kpuir.errors import KpuirError
from kpuir.importers.onnx.elements import is_supported
from kpuir.importers.onnx.ops import converters
from kpuir.onnx_backend import prepare

FOLDED = {"Constant", "ConstantOfShape", "Range", "Shape", "Size"}
"""Ops without a converter that a model may have all the same, where they are constant."""
SLOW = {"averagepool", "lppool", "maxpool"}
"""Modules that take seconds to make their cases."""


def _each(reason: str, *names: str) -> dict[str, str]:
    return {f"test_{name}": reason for name in names}


FAILING = {
    **_each(
        "statistics of the batch: a model exported by mistake for training, which is refused",
        "batchnorm_epsilon_training_mode",
        "batchnorm_example_training_mode",
    ),
    **_each(
        "random numbers, which the chip does not have",
        *(f"training_dropout{what}" for what in ("", "_default", "_default_mask", "_mask")),
        *(f"bernoulli{what}_expanded" for what in ("", "_double", "_seed")),
    ),
    **_each(
        "they want length_resized - 1 of a fractional length; ONNX Runtime takes the whole one, as we do",
        "resize_downsample_scales_cubic_align_corners",
        "resize_downsample_scales_linear_align_corners",
    ),
    **_each(
        "an output that is minus infinity, which an instruction clamps",
        "attention_4d_with_past_and_present_qk_matmul_bias_3d_mask_causal_expanded",
        "attention_4d_with_past_and_present_qk_matmul_bias_4d_mask_causal_expanded",
    ),
    **_each(
        "each step rounded to bfloat16, where we compute in float32",
        "attention_3d_causal_bf16_expanded",
        *(f"attention_4d_{what}_bf16_expanded" for what in ("attn_mask_causal", "causal", "padded_kv")),
        "attention_4d_causal_padded_kv_bf16_expanded",
    ),
}
"""The cases in scope that fail in the float interpreter, and why."""
FAILING_AS_INSTRUCTIONS = _each(
    "remainders of infinities, which an instruction clamps",
    *(f"mod_float_edge_cases_fmod_0_float{bits}" for bits in (16, 32, 64)),
)
"""Those that fail as instructions only."""
Through: TypeAlias = Literal["ktensor", "kbuf"]


def cases(without: Container[str] = (), functions: bool = True) -> dict[str, Any]:
    """The cases of `onnx.backend.test.case.node` by name, those made of a function's body included on request."""
    package: Any = importlib.import_module("onnx.backend.test.case.node")
    original = package.function_testcase_helper
    if not functions:
        package.function_testcase_helper = lambda *_args, **_kwargs: ([], 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for module in pkgutil.iter_modules(package.__path__):
                if module.name not in without:
                    importlib.import_module(f"{package.__name__}.{module.name}")
    finally:
        package.function_testcase_helper = original
    return {case.name: case for case in package._NodeTestCases}


def in_scope(case: Any) -> bool:
    """Ops that have converters, opset 7 and newer, tensors of numbers and bools that are not empty."""
    graph = case.model.graph
    values = [*graph.input, *graph.output]
    if not all(value.type.HasField("tensor_type") for value in values):
        return False
    known = {node.op_type for node in graph.node} <= _known()
    numbers = all(is_supported(value.type.tensor_type.elem_type) for value in values)
    opset = max((entry.version for entry in case.model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    return known and numbers and opset >= 7 and all(array.size for part in case.data_sets[0] for array in arrays(part))


@cache
def _known() -> set[str]:
    return {*converters(), *FOLDED}


def arrays(values: Any) -> list[np.ndarray]:
    """Inputs or outputs as arrays; types that numpy lacks come as protocol buffers."""
    return [onnx.numpy_helper.to_array(one) if isinstance(one, onnx.TensorProto) else np.asarray(one) for one in values]


def outcome(case: Any, through: Through = "ktensor") -> str:
    """`passed`, `wrong: ...` with the difference, or what kpuir says."""
    inputs, expected = case.data_sets[0]
    try:
        actual = prepare(case.model, through=through).run(inputs)
    except KpuirError as refusal:
        return str(refusal)
    for ours, theirs in zip(actual, arrays(expected), strict=True):
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            return f"wrong: {ours.dtype} {ours.shape}, not {theirs.dtype} {theirs.shape}"
        found, wanted = ours.astype(np.float64), theirs.astype(np.float64)
        if not np.allclose(found, wanted, rtol=case.rtol, atol=max(case.atol, 1e-6), equal_nan=True):
            return f"wrong: {found} is not {wanted}"
    return "passed"


def surprises(results: Mapping[str, str], through: Through) -> dict[str, str]:
    """The cases that neither pass nor are expected to fail, and those that pass though they are not expected to."""
    expected = {*FAILING, *(FAILING_AS_INSTRUCTIONS if through == "kbuf" else ())}
    return {name: message for name, message in results.items() if (message == "passed") == (name in expected)}


def main(through: Any = "ktensor", part: str = "") -> int:
    found = {name: case for name, case in cases().items() if part in name and in_scope(case)}
    results = {name: outcome(case, through) for name, case in found.items()}
    failed = {name: message for name, message in results.items() if message != "passed"}
    for name, message in sorted(failed.items()):
        print(f"{name}: {' '.join(message.split())[:160]}")
    print(f"{through}: {len(results) - len(failed)} of {len(results)} pass ({1 - len(failed) / len(results):.2%})")
    unexpected = surprises(results, through)
    print(f"{len(unexpected)} are a surprise {sorted(unexpected) or ''}")
    return int(bool(unexpected))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
