"""Why an operator of a TFLite model cannot be compiled, and the nearest form that can."""

from kpuir.importers.tflite.graph import Operator

_DETECTION = "end the model in front of its post-processing and run that part in the application"
_RECURRENT = "it lives from what it kept of earlier inferences, and kmodels keep nothing between two"
_CONTROL_FLOW = "it is control flow, which cannot be compiled: export a model without branches and loops"
_SHAPE = "the size of its result depends on its values"

_REASONS = {
    "UNIQUE": _SHAPE,
    "WHERE": _SHAPE,
    "IF": _CONTROL_FLOW,
    "WHILE": _CONTROL_FLOW,
    "CALL": _CONTROL_FLOW,
    "CALL_ONCE": _CONTROL_FLOW,
    "VAR_HANDLE": "variables cannot be compiled: export a stateless model",
    "READ_VARIABLE": "variables cannot be compiled: export a stateless model",
    "ASSIGN_VARIABLE": "variables cannot be compiled: export a stateless model",
    "SVDF": _RECURRENT,
    "NON_MAX_SUPPRESSION_V4": _DETECTION,
    "NON_MAX_SUPPRESSION_V5": _DETECTION,
    "CONV_3D_TRANSPOSE": "only convolutions of volumes can be compiled, not transposed ones",
    "DENSIFY": "export the model with dense weights",
}


_COMPILED = "it was compiled for another chip: give the model that went into that compiler"
_APPLICATION = "that is work of the application: end the model in front of it"

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
        reason = _REASONS.get(operator.kind)
        return f"{operator.kind} is not supported" + (f": {reason}" if reason else "")
    if operator.custom.startswith("Flex"):
        return f"the TensorFlow op {operator.custom} is not supported: convert without SELECT_TF_OPS"
    reason = _CUSTOM.get(operator.custom)
    return f"the custom op {operator.custom or '?'} is not supported" + (f": {reason}" if reason else "")
