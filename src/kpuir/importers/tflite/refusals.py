"""Why an operator of a TFLite model cannot be compiled, and the nearest form that can."""

from kpuir.importers.tflite.graph import Operator

_DETECTION = "export the model without its post-processing and run that part in the application"
_INDEX = "cut the model before it and take the index in the application"
_RECURRENT = "recurrent layers cannot be compiled: unroll the layer over its time steps"
_CONTROL_FLOW = "it is control flow, which cannot be compiled: export a model without branches and loops"
_BOOLEAN = "comparisons and masks cannot be compiled: use RELU, MINIMUM or MAXIMUM instead"

_REASONS = {
    "ARG_MAX": _INDEX,
    "ARG_MIN": _INDEX,
    "TOPK_V2": _INDEX,
    "UNIQUE": _INDEX,
    "WHERE": _BOOLEAN,
    "SELECT": _BOOLEAN,
    "SELECT_V2": _BOOLEAN,
    "GREATER": _BOOLEAN,
    "GREATER_EQUAL": _BOOLEAN,
    "LESS": _BOOLEAN,
    "LESS_EQUAL": _BOOLEAN,
    "EQUAL": _BOOLEAN,
    "NOT_EQUAL": _BOOLEAN,
    "IF": _CONTROL_FLOW,
    "WHILE": _CONTROL_FLOW,
    "CALL": _CONTROL_FLOW,
    "CALL_ONCE": _CONTROL_FLOW,
    "VAR_HANDLE": "variables cannot be compiled: export a stateless model",
    "READ_VARIABLE": "variables cannot be compiled: export a stateless model",
    "ASSIGN_VARIABLE": "variables cannot be compiled: export a stateless model",
    "LSTM": _RECURRENT,
    "RNN": _RECURRENT,
    "SVDF": _RECURRENT,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _RECURRENT,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _RECURRENT,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _RECURRENT,
    "BIDIRECTIONAL_SEQUENCE_RNN": _RECURRENT,
    "NON_MAX_SUPPRESSION_V4": _DETECTION,
    "NON_MAX_SUPPRESSION_V5": _DETECTION,
    "CONV_3D": "only 2-D convolutions can be compiled",
    "CONV_3D_TRANSPOSE": "only 2-D convolutions can be compiled",
    "EMBEDDING_LOOKUP": "look the embedding up in the application and give the vector as input",
    "FAKE_QUANT": "export the model without fake quantization, kpuir chooses its own ranges",
    "DENSIFY": "export the model with dense weights",
}


def refusal(operator: Operator) -> str:
    """One line: the operator, as the user's converter calls it, and what to do instead where something is known."""
    if operator.kind != "CUSTOM":
        reason = _REASONS.get(operator.kind)
        return f"{operator.kind} is not supported" + (f": {reason}" if reason else "")
    if operator.custom.startswith("Flex"):
        return f"the TensorFlow op {operator.custom} is not supported: convert without SELECT_TF_OPS"
    known = f": {_DETECTION}" if "PostProcess" in operator.custom else ""
    return f"the custom op {operator.custom or '?'} is not supported{known}"
