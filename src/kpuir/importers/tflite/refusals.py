"""Why an operator of a TFLite model cannot be compiled, and the nearest form that can."""

from kpuir.importers.tflite.graph import Operator

_APPLICATION = "that is work of the application: end the model in front of it, or begin it behind"
_BITS = "it works on the bits of integers, and the runtime computes in float32"
_COMPLEX = "it has complex numbers, and kmodels hold real ones: let the application compute the spectrum"
_CONTROL_FLOW = "it is control flow, which cannot be compiled: export a model without branches and loops"
_DETECTION = "end the model in front of its post-processing and run that part in the application"
_OBSOLETE = "converters do not write it any more: convert the model again"
_RANDOM = "its result is random: export the model for inference"
_RECURRENT = (
    "it lives from what it kept of earlier inferences, and kmodels keep nothing between two: "
    "export the model for whole windows instead of a stream"
)
_SHAPE = "the size of its result depends on its values"
_VARIABLE = "variables cannot be compiled: export a stateless model"

_FAMILIES = {
    "STABLEHLO_": "it is StableHLO, which converters lower to TFLite's own operators: let them",
    "operator ": "it is newer than kpuir",
}
REASONS = {
    **dict.fromkeys(("BITCAST", "BITWISE_XOR"), _BITS),
    **dict.fromkeys(("COMPLEX_ABS", "IMAG", "REAL", "RFFT2D"), _COMPLEX),
    **dict.fromkeys(("CALL", "CALL_ONCE", "IF", "WHILE"), _CONTROL_FLOW),
    **dict.fromkeys(("NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5"), _DETECTION),
    **dict.fromkeys(("CONCAT_EMBEDDINGS", "SPARSE_TO_DENSE"), _OBSOLETE),
    **dict.fromkeys(("MULTINOMIAL", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM"), _RANDOM),
    **dict.fromkeys(("UNIQUE", "WHERE"), _SHAPE),
    **dict.fromkeys(("ASSIGN_VARIABLE", "READ_VARIABLE", "VAR_HANDLE"), _VARIABLE),
    **dict.fromkeys(
        (
            *("EMBEDDING_LOOKUP_SPARSE", "HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_LOOKUP"),
            *("HASHTABLE_SIZE", "LSH_PROJECTION", "SKIP_GRAM"),
        ),
        _APPLICATION,
    ),
    "DELEGATE": "it is made when a model is loaded, never stored: give the model that was converted",
    "SVDF": _RECURRENT,
}
"""Of TFLite's own operators that are not imported."""


_COMPILED = "it was compiled for another chip: give the model that went into that compiler"

_CUSTOM = {
    "TFLite_Detection_PostProcess": _DETECTION,
    "edgetpu-custom-op": _COMPILED,
    "ethos-u": _COMPILED,
    "AudioSpectrogram": _APPLICATION,
    "Mfcc": _APPLICATION,
    "NumericVerify": "convert the model without the debugger of its quantization",
    "Landmarks2TransformMatrix": _APPLICATION,
    "TransformLandmarks": _APPLICATION,
    "TransformTensorBilinear": _APPLICATION,
}


def refusal(operator: Operator) -> str:
    """One line: the operator, as the user's converter calls it, and what to do instead where something is known."""
    if operator.kind != "CUSTOM":
        reason = next((_FAMILIES[name] for name in _FAMILIES if operator.kind.startswith(name)), None)
        reason = reason or REASONS.get(operator.kind)
        return f"{operator.kind} is not supported" + (f": {reason}" if reason else "")
    if operator.custom.startswith("Flex"):
        return f"the TensorFlow op {operator.custom} is not supported: convert without SELECT_TF_OPS"
    reason = _CUSTOM.get(operator.custom)
    return f"the custom op {operator.custom or '?'} is not supported" + (f": {reason}" if reason else "")
