"""ONNX's own node tests for the ops in scope: each passes, or is refused for a reason listed here.

The pooling cases are left out: making them takes ten seconds, and test_onnx_ops covers pooling against ONNX Runtime.
"""

from typing import Any

import numpy as np
from onnx import TensorProto

from kpuir.errors import KpuirError
from kpuir.importers.onnx import import_onnx
from tests.importers.backend import cases, with_constants
from tests.importers.nets import interpret

_NAMES = (
    "abs add batch_normalization cast ceil celu clip concat conv convtranspose cos depthtospace div "
    "dropout elu exp expand flatten floor gather gelu gemm globalaveragepool globalmaxpool "
    "groupnormalization hardsigmoid hardswish identity instance_normalization layernormalization "
    "leakyrelu log logsoftmax lpnormalization lrn matmul max mean meanvariancenormalization min mish mul "
    "neg pad pow prelu reciprocal reduce_log_sum reduce_log_sum_exp reducel1 reducel2 reducemax "
    "reducemean reducemin reducesum reducesumsquare relu reshape resize rmsnormalization round selu "
    "sigmoid sin slice softmax softplus softsign spacetodepth split sqrt squeeze sub sum swish tanh "
    "thresholdedrelu tile transpose unsqueeze upsample"
)
MODULES = _NAMES.split()

# what a refusal says, and the cases (by a part of their names) it is expected for
REFUSED: dict[str, tuple[str, ...]] = {
    "rank 5": ("convtranspose_3d",),
    "mode = cubic": ("_cubic",),
    "tf_crop_and_resize": ("tf_crop_and_resize",),
    "antialias": ("linear_antialias",),
    "is dynamic": ("empty_set", "reduce_sum_empty"),
    "Split of": ("split_zero_size",),
    "is not possible": ("reshape_allowzero_reordered",),
    "is empty": ("slice_start_out_of_bounds",),
    "exponent is not the same": ("test_pow",),
    "is int": ("test_pow_types_int",),
    "training_mode = 1": ("training",),
    "'mask' is used": ("dropout_default_mask",),
    "alpha = ": ("thresholdedrelu",),
    "computed at run time are float": ("test_cast_",),
    "float8": ("test_cast_",),
    "float4": ("test_cast_",),
}
# the case wants length_resized - 1 of a fractional length; ONNX Runtime takes the whole one, as we do
DIFFERENT = frozenset({"test_resize_downsample_scales_linear_align_corners"})
FEWEST_PASSES = 345


def in_scope(case: Any) -> bool:
    """Float tensors throughout, in a form numpy has."""
    inputs, outputs = case.data_sets[0]
    elements = {value.type.tensor_type.elem_type for value in case.model.graph.input}
    arrays = all(isinstance(array, np.ndarray) for array in (*inputs, *outputs))
    return arrays and TensorProto.FLOAT in elements


def outcome(case: Any) -> str:
    """`passed`, `wrong: ...` with the difference, or what kpuir says."""
    inputs, expected = case.data_sets[0]
    message = ""
    for dynamic in (range(len(inputs)), range(1)):
        model = with_constants(case.model, inputs, dynamic)
        try:
            module = import_onnx(model.SerializeToString())
        except KpuirError as refusal:
            message = str(refusal)
            continue
        actual = interpret(module, [inputs[position] for position in dynamic])
        return compared(actual, expected)
    return message


def compared(actual: list[Any], expected: list[Any]) -> str:
    for ours, theirs in zip(actual, expected, strict=True):
        if ours.shape != theirs.shape:
            return f"wrong: shape {ours.shape}, not {theirs.shape}"
        if not np.allclose(ours, theirs.astype(np.float32), rtol=1e-3, atol=1e-5):
            return f"wrong: {ours} is not {theirs}"
    return "passed"


def is_expected(name: str, message: str) -> bool:
    """Whether a case that does not pass is one of those listed above."""
    if name in DIFFERENT:
        return message.startswith("wrong")
    return any(reason in message and any(part in name for part in parts) for reason, parts in REFUSED.items())


def test_node_cases() -> None:
    results = {name: outcome(case) for name, case in cases(MODULES).items() if in_scope(case)}
    failed = {name: message for name, message in results.items() if message != "passed"}
    unexpected = {name: message for name, message in failed.items() if not is_expected(name, message)}
    assert not unexpected
    assert len(results) - len(failed) >= FEWEST_PASSES
    assert set(results) >= DIFFERENT
