"""What is not imported: each error names the layer or input, says what is wrong and what to do."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import pytest
from onnx import TensorProto

from kpuir.errors import InvalidInputError, KpuirError, UnsupportedError
from kpuir.importers.onnx import import_onnx
from tests.importers.nets import floats, net, node

X = {"x": (1, 4, 6, 6)}


def refused(model: onnx.ModelProto) -> KpuirError:
    with pytest.raises(KpuirError) as caught:
        import_onnx(model.SerializeToString())
    assert "\n" not in caught.value.message or isinstance(caught.value, UnsupportedError)
    return caught.value


def test_all_unsupported_layers_are_reported_together() -> None:
    nodes = [
        node("IsNaN", ["x"], ["a"], node_name="first"),
        node("Relu", ["a"], ["b"]),
        node("NonZero", ["b"], ["c"]),
        node("Cast", ["c"], ["d"], to=TensorProto.FLOAT),
        node("MaxPool", ["b"], ["e"], kernel_shape=[2, 2], auto_pad="NOTSET"),
        node("RandomUniformLike", ["e"], ["f"], node_name="third"),
        node("Relu", ["f"], ["y"]),
        onnx.helper.make_node("Strange", ["d"], ["z"], domain="com.example", name="fourth"),
    ]
    model = net(nodes, X, outputs=("y", "z"))
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    error = refused(model)
    assert isinstance(error, UnsupportedError)
    assert [layer for layer, _ in error.problems] == ["first", "nonzero_c", "third", "fourth"]
    reasons = [reason for _, reason in error.problems]
    assert reasons[0] == "IsNaN has no counterpart on the K210"
    assert reasons[1] == "NonZero has no counterpart on the K210; works: fixed shapes"
    assert reasons[2].startswith("RandomUniformLike: it has no seed")
    assert "Strange of domain 'com.example'" in reasons[3]
    assert "4 layers are not supported" in str(error)


def test_all_that_is_wrong_is_reported_together() -> None:
    """Contradictions of single layers, inputs of open sizes, weights that are no numbers, ops that there are not."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], strides=[0, 1], pads=[1, 1, 1, 1], node_name="first"),
        node("Add", ["b", "c"], ["d"], node_name="second"),
        node("Relu", ["d"], ["e"]),
        node("Mul", ["b", "nan"], ["f"], node_name="third"),
        node("Relu", ["open"], ["g"]),
        node("IsNaN", ["g"], ["y"], node_name="fourth"),
    ]
    constants = {"w": np.ones((4, 4, 3, 3), "f4"), "c": floats([1] * 5), "nan": floats([np.nan])}
    inputs: dict[str, Any] = {**X, "b": (2, 3), "open": (1, "height", "width")}
    model = net(nodes, inputs, constants, outputs=("a", "e", "f", "y"))
    error = refused(model)
    assert isinstance(error, UnsupportedError)
    assert [layer for layer, _ in error.problems] == ["open", "first", "second", "third", "fourth"]
    assert "5 layers cannot be imported" in str(error)
    assert "dimension 1 is dynamic ('height'), dimension 2 is dynamic ('width') (give a shape" in str(error)
    assert "--input-shape open=1x224x224" in str(error)
    assert "strides = [0, 1]" in str(error)
    model = net(nodes[:4], {**X, "b": (2, 3)}, constants, outputs=("a", "e", "f"))
    error = refused(model)
    assert "3 layers cannot be imported" in str(error)
    assert error.hint == "export the model again"


REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    # op type, constants (None: a graph input), attributes, what the reason says
    "computed weights": ("Conv", {"w": None}, {}, "weights ('w') is computed at run time"),
    "Cast": ("Cast", {}, {"to": TensorProto.STRING}, "to = string"),
    "CumSum": ("CumSum", {"a": None}, {}, "axis ('a') is computed at run time"),
    "Pad": ("Pad", {"p": np.array([0] * 8), "v": np.float32("-inf")}, {}, "value = -inf"),
    "IsInf": ("IsInf", {}, {}, "IsInf has no counterpart"),
    "QuantizeLinear": (
        "QuantizeLinear",
        {"s": np.float32(1), "z": np.int32(0)},
        {},
        "int32 codes; works: int8 or uint8",
    ),
    "RandomUniformLike": ("RandomUniformLike", {}, {}, "RandomUniformLike: it has no seed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_forms_that_are_not_supported(case: str) -> None:
    op_type, constants, attributes, reason = REFUSED[case]
    outputs = attributes.pop("outputs", ("y",))
    inputs = {**X, **{name: (8, 4, 3, 3) for name, value in constants.items() if value is None}}
    arrays = {name: value for name, value in constants.items() if value is not None}
    error = refused(net([node(op_type, ["x", *constants], outputs, **attributes)], inputs, arrays, outputs))
    assert isinstance(error, UnsupportedError)
    assert reason in error.problems[0][1]
    assert error.problems[0][0] == f"{op_type.lower()}_y"


def test_training_mode() -> None:
    constants = {name: np.ones(4, np.float32) for name in "sbmv"}
    batch_norm = node("BatchNormalization", ["x", *"sbmv"], ["y", "m2", "v2"], training_mode=1)
    assert "training_mode = 1" in str(refused(net([batch_norm], X, constants, opset=15)))
    dropout = node("Dropout", ["x", "", "t"])
    assert "training_mode = 1" in str(refused(net([dropout], X, {"t": np.array(True)})))


@pytest.mark.parametrize("axis", [1, 3])
def test_dynamic_sizes(axis: int) -> None:
    shape: list[Any] = [1, 3, 8, 8]
    shape[axis] = "width"
    error = refused(net([node("Relu", ["x"])], {"x": shape}))
    assert isinstance(error, InvalidInputError)
    assert f"input 'x': dimension {axis} is dynamic ('width')" in str(error)
    assert error.location == "x"
    assert error.hint


def test_an_input_without_a_shape() -> None:
    model = net([node("Relu", ["x"])], X)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    error = refused(model)
    assert "shape" in str(error)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers(bad: float) -> None:
    weights = np.ones((2, 4, 3, 3), np.float32)
    weights[1, 2, 0, 1] = bad
    error = refused(net([node("Conv", ["x", "w"], node_name="conv_7")], X, {"w": weights}))
    assert error.location == "conv_7"
    assert "1 of the 72 values of 'w' are NaN or infinite" in error.message
    assert "0." not in error.message  # weights are never printed


def test_a_double_too_large_for_float32() -> None:
    assert "infinite (as float32)" in str(refused(net([node("Add", ["x", "c"])], X, {"c": np.float64(1e300)})))


def test_a_negative_variance() -> None:
    constants = {name: np.ones(4, np.float32) for name in "sbm"} | {"v": floats([1, 1, -1, 1])}
    error = refused(net([node("BatchNormalization", ["x", *"sbmv"], node_name="bn")], X, constants))
    assert error.location == "bn"
    assert "negative" in error.message


@pytest.mark.parametrize("element", [TensorProto.COMPLEX64, TensorProto.FLOAT8E4M3FN, TensorProto.STRING])
def test_input_types(element: int) -> None:
    error = refused(net([node("Identity", ["x"])], X, element=element))
    assert TensorProto.DataType.Name(element).lower() in str(error)
    assert "Cast to float32" in (error.hint or "")


def test_sequences_are_no_tensors() -> None:
    model = net([node("SequenceAt", ["x", "i"])], X, {"i": np.int64(0)})
    element = onnx.helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
    model.graph.input[0].type.CopyFrom(onnx.helper.make_sequence_type_proto(element))
    assert "input 'x' is no tensor but sequence_type" in str(refused(model))


@pytest.mark.parametrize(("opset", "message"), [(6, "older than 7"), (99, "newer than")])
def test_opsets(opset: int, message: str) -> None:
    error = refused(net([node("Relu", ["x"])], X, opset=opset))
    assert f"opset {opset} is {message}" in str(error)
    assert error.hint


def test_a_model_without_inputs_or_opset_or_graph() -> None:
    assert "no inputs" in str(refused(net([node("Relu", ["c"])], {}, {"c": floats([1])})))
    model = net([node("Relu", ["x"])], X)
    del model.opset_import[:]
    assert "no opset" in str(refused(model))
    assert "no ONNX graph" in str(refused(onnx.ModelProto(ir_version=8)))


def test_an_invalid_graph_is_one_line() -> None:
    error = refused(net([node("Relu", ["nothing"])], X))
    assert error.message.startswith("not a valid ONNX model: ")
    unknown = refused(net([node("Relu", ["x"], alpha=1.0)], X))
    assert "alpha" in unknown.message


def test_all_that_contradicts_the_standard_is_reported_together() -> None:
    nodes = [node("Relu", ["x"], ["a"], alpha=1.0), node("Reluu", ["a"], ["b"]), node("Add", ["b", "nothing"])]
    error = refused(net(nodes, X))
    assert isinstance(error, UnsupportedError)
    assert [layer for layer, _ in error.problems] == ["relu_a", "reluu_b", "add_y"]
    assert "3 layers are not valid ONNX" in str(error)
    assert "'nothing', which nothing in front of it computes" in str(error)


def test_open_sizes_of_several_inputs_come_with_a_shape_each() -> None:
    error = refused(net([node("Add", ["x", "z"])], {"x": [1, "h"], "z": [1, "w"]}))
    assert "--input-shape x=1x224" in str(error)
    assert "--input-shape z=1x224" in str(error)
    assert error.hint is None


MALFORMED: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "stride 0": ("Conv", {"w": np.ones((1, 4, 3, 3), "f4")}, {"strides": [0, 1]}, "strides = [0, 1]"),
    "kernel": ("Conv", {"w": np.ones((1, 4, 3, 3), "f4")}, {"kernel_shape": [5, 5]}, "kernel_shape is [5, 5]"),
    "channels": ("Conv", {"w": np.ones((1, 3, 3, 3), "f4")}, {}, "3 channels"),
    "negative pads": ("Conv", {"w": np.ones((1, 4, 3, 3), "f4")}, {"pads": [-1, 0, 0, 0]}, "pads = [-1, 0, 0, 0]"),
    "window": ("Conv", {"w": np.ones((1, 4, 9, 9), "f4")}, {}, "window covers 9"),
    "broadcast": ("Add", {"c": np.ones(5, "f4")}, {}, "do not broadcast"),
    "axis": ("Concat", {}, {"axis": 7}, "axis 7 lies outside the 4 axes"),
    "reshape": ("Reshape", {"s": np.array([5, 5])}, {}, "(144 elements) into [5, 5]"),
    "squeeze": ("Squeeze", {"a": np.array([1])}, {}, "not all of size 1"),
    "twice": ("ReduceMean", {}, {"axes": [1, -3]}, "name one axis twice"),
    "slice": ("Slice", {"s": np.array([4]), "e": np.array([2])}, {}, "is empty"),
    "gather": ("Gather", {"i": np.array([9])}, {}, "[9] lie outside 1 elements"),
    "matmul": ("MatMul", {"w": np.ones((5, 5), "f4")}, {}, "has 6 columns"),
    "split": ("Split", {"s": np.array([3, 4])}, {"axis": 1, "outputs": ("y", "z")}, "Split of 4 elements into [3, 4]"),
    "expand": ("Expand", {"s": np.array([5])}, {}, "broadcast"),
    "groups": ("Conv", {"w": np.ones((3, 2, 1, 1), "f4")}, {"group": 2}, "3 output channels"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_nodes_that_contradict_themselves(case: str) -> None:
    op_type, constants, attributes, message = MALFORMED[case]
    outputs = attributes.pop("outputs", ("y",))
    error = refused(net([node(op_type, ["x", *constants], outputs, **attributes)], X, constants, outputs))
    assert message in str(error)
    assert error.location == f"{op_type.lower()}_y"


def test_numbers_that_would_break_the_onnx_library() -> None:
    # ONNX's shape inference of whole models ends the process on this one
    for axis in (2**31, 2**63 - 1):
        normalization = node("LayerNormalization", ["x", "s"], axis=axis)
        assert "lies outside the 4 axes" in str(refused(net([normalization], X, {"s": floats([1] * 6)}, opset=17)))
    roi_align = node("RoiAlign", ["x", "r", "i"], output_width=2**31)
    constants = {"r": floats([[0, 0, 3, 3]]), "i": np.zeros(1, np.int64)}
    assert "samples for each of 2147483648 pixels" in str(refused(net([roi_align], X, constants, opset=16)))
    split = node("Split", ["x"], axis=1, num_outputs=2**62)
    assert "it has 1 outputs" in str(refused(net([split], X, opset=18)))


def test_constants_too_large_to_be_built() -> None:
    nodes = [node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"])]
    error = refused(net(nodes, X, {"s": np.array([10**6, 10**6])}))
    assert "1e+12 elements" in str(error)


def test_an_output_that_is_a_constant_too_large_for_float32() -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("Identity", ["c"])]
    error = refused(net(nodes, X, {"c": np.array([2**24 + 1])}, outputs=("r", "y")))
    assert "has integers that float32 does not hold" in str(error)


def test_external_data_that_is_missing(tmp_path: Path) -> None:
    model = net([node("Add", ["x", "c"])], X, {"c": np.ones((4, 6, 6), np.float32)})
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(InvalidInputError, match="give the path"):
        import_onnx(path.read_bytes())
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(InvalidInputError, match=r"'weights\.bin'") as caught:
        import_onnx(path)
    assert caught.value.hint == "put 'weights.bin' beside the model"


# Damaged files


def damaged_source() -> bytes:
    generator = np.random.default_rng(0)
    constants = {
        "w": generator.normal(size=(4, 4, 3, 3)).astype(np.float32),
        "scales": floats([1, 1, 2, 2]),
        "shape": np.array([1, -1]),
    }
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("MaxPool", ["a"], ["b"], kernel_shape=[2, 2], ceil_mode=1),
        node("Resize", ["b", "", "scales"], ["c"], mode="linear"),
        node("Reshape", ["c", "shape"], ["d"]),
        node("Softmax", ["d"], ["y"], axis=1),
    ]
    return net(nodes, X, constants).SerializeToString()


def survives(data: bytes) -> bool:
    """Whether the model is imported; anything but our own error in one line fails the test."""
    try:
        import_onnx(data).verify()
    except KpuirError as raised:
        error = raised
    else:
        return True
    assert isinstance(error, UnsupportedError) or "\n" not in error.message
    assert re.search(r"\w", error.message)
    return False


def test_mutated_files() -> None:
    source = damaged_source()
    assert survives(source)
    generator = np.random.default_rng(7)
    structure = source.index(b"conv_a")
    outcomes = set[bool]()
    for _ in range(200):
        data = bytearray(source)
        for _ in range(int(generator.integers(1, 4))):
            # half of the changes outside the weights
            end = structure + 300 if generator.integers(2) else len(data)
            data[int(generator.integers(0, min(end, len(data))))] = int(generator.integers(0, 256))
        outcomes.add(survives(bytes(data)))
    assert outcomes == {True, False}


def test_truncated_files() -> None:
    source = damaged_source()
    assert not any(survives(source[:length]) for length in range(0, len(source) - 40, 23))


def test_random_bytes() -> None:
    generator = np.random.default_rng(1)
    assert not any(survives(generator.bytes(int(generator.integers(1, 400)))) for _ in range(100))
