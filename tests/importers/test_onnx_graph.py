"""Whole graphs: constant subgraphs, spelled-out functions, names, several outputs, element types, real models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest
from onnx import TensorProto
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation

from kpuir.dialects import ktensor
from kpuir.errors import KpuirError
from kpuir.importers import import_model
from kpuir.importers.onnx import import_onnx
from kpuir.ir.locations import layer_name
from tests.importers.nets import compare, feeds, floats, interpret, net, node, op_names, runtime
from tests.shared import shared_file


def constant(name: str, value: Any) -> onnx.NodeProto:
    return node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.asarray(value)))


def function_of(module: Operation) -> FuncOp:
    return next(op for op in module.walk() if isinstance(op, FuncOp))


def attribute_names(attributes: Any) -> list[str]:
    return [entry.data["ktensor.name"].data for entry in attributes.data]


# Constant subgraphs


def test_shape_arithmetic_is_folded() -> None:
    nodes = [
        node("Shape", ["x"], ["shape"]),
        constant("zero", np.int64(0)),
        node("Gather", ["shape", "zero"], ["batch"], axis=0),
        node("Unsqueeze", ["batch"], ["batch1"], axes=[0]),
        constant("rest", np.array([-1, 2], np.int64)),
        node("Concat", ["batch1", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"]),
    ]
    module = compare(net(nodes, {"x": (3, 4, 5)}, opset=9))
    assert op_names(module) == ["reshape"]


def test_a_resize_to_the_size_of_another_tensor() -> None:
    nodes = [
        node("Shape", ["like"], ["shape"], start=2),
        node("Shape", ["x"], ["mine"], end=-2),
        node("Concat", ["mine", "shape"], ["sizes"], axis=0),
        node("Resize", ["x", "", "", "sizes"], mode="nearest"),
        node("Size", ["like"], ["count"]),
        node("Cast", ["count"], ["number"], to=TensorProto.FLOAT),
        node("Mul", ["like", "number"], ["z"]),
    ]
    module = compare(net(nodes, {"x": (1, 2, 3, 4), "like": (1, 1, 6, 8)}, outputs=("y", "z"), opset=15))
    assert op_names(module) == ["resize", "binary"]


def test_many_kinds_of_constants() -> None:
    nodes = [
        node("Constant", [], ["a"], value_float=2.0),
        node("Constant", [], ["b"], value_floats=[1.0, 2.0, 3.0]),
        node("Constant", [], ["n"], value_int=3),
        node("Constant", [], ["shape"], value_ints=[3]),
        node("ConstantOfShape", ["shape"], ["c"], value=onnx.helper.make_tensor("v", TensorProto.FLOAT, [1], [0.5])),
        node("Constant", [], ["zero"], value_int=0),
        node("Constant", [], ["one"], value_int=1),
        node("Range", ["zero", "n", "one"], ["r"]),
        node("Cast", ["r"], ["d"], to=TensorProto.FLOAT),
        node("Mul", ["b", "a"], ["e"]),
        node("Add", ["c", "d"], ["f"]),
        node("Sub", ["e", "f"], ["g"]),
        node("Add", ["x", "g"]),
    ]
    assert op_names(compare(net(nodes, {"x": (2, 3)}))) == ["binary"]


def test_quantized_weights_are_dequantized() -> None:
    constants = {"q": np.arange(-4, 4, dtype=np.int8).reshape(2, 4), "s": np.float32(0.5), "z": np.int8(1)}
    nodes = [node("DequantizeLinear", ["q", "s", "z"], ["w"]), node("Gemm", ["x", "w"], transB=1)]
    assert op_names(compare(net(nodes, {"x": (1, 4)}, constants))) == ["matmul"]


def test_a_constant_condition_chooses_a_branch() -> None:
    def branch(op_type: str) -> onnx.GraphProto:
        output = onnx.helper.make_tensor_value_info(f"{op_type}_y", TensorProto.FLOAT, None)
        return onnx.helper.make_graph([node(op_type, ["x"], [f"{op_type}_y"])], op_type, [], [output])

    nodes = [
        constant("yes", np.array(True)),
        node("If", ["yes"], then_branch=branch("Exp"), else_branch=branch("Erf")),
    ]
    assert op_names(compare(net(nodes, {"x": (2, 3)}))) == ["unary"]


def test_unused_nodes_are_not_looked_at() -> None:
    assert op_names(compare(net([node("Relu", ["x"]), node("Erf", ["x"], ["z"])], {"x": (2, 3)}))) == ["activation"]


def test_shared_weights_are_one_constant() -> None:
    nodes = [node("Add", ["x", "c"], ["a"]), node("Mul", ["a", "c"])]
    module = compare(net(nodes, {"x": (2, 3)}, {"c": floats([1, 2, 3])}))
    assert sum(isinstance(op, ktensor.ConstantOp) for op in module.walk()) == 1


# Functions spelled out


def scalars(**values: float) -> list[onnx.NodeProto]:
    return [constant(name, np.float32(value)) for name, value in values.items()]


GELU = [
    node("Div", ["x", "root2"], ["t"]),
    node("Erf", ["t"], ["e"]),
    node("Add", ["e", "one"], ["s"]),
]
GELU_ORDERS = {
    "torch": [*GELU, node("Mul", ["x", "s"], ["p"]), node("Mul", ["p", "half"])],
    "half first": [*GELU, node("Mul", ["half", "x"], ["p"]), node("Mul", ["p", "s"])],
    "half inside": [*GELU, node("Mul", ["s", "half"], ["p"]), node("Mul", ["p", "x"])],
    "divided": [*GELU, node("Mul", ["s", "x"], ["p"]), node("Div", ["p", "two"])],
}


@pytest.mark.parametrize("order", GELU_ORDERS)
def test_gelu(order: str) -> None:
    nodes = [*scalars(root2=2**0.5, one=1, half=0.5, two=2), *GELU_ORDERS[order]]
    module = compare(net(nodes, {"x": (2, 3)}))
    assert "ktensor.activation<gelu>" in str(module)
    assert op_names(module) == ["activation"]


def test_gelu_of_a_product_multiplied_by_the_inverse_root() -> None:
    nodes = [
        *scalars(inverse=0.5**0.5, one=1, half=0.5, three=3),
        node("Mul", ["z", "three"], ["x"]),
        node("Mul", ["x", "inverse"], ["t"]),
        *GELU[1:],
        node("Mul", ["x", "s"], ["p"]),
        node("Mul", ["p", "half"]),
    ]
    assert op_names(compare(net(nodes, {"z": (2, 3)}))) == ["binary", "activation"]


@pytest.mark.parametrize("cube", ["Pow", "Mul"])
def test_gelu_by_tanh(cube: str) -> None:
    powers = (
        [node("Pow", ["x", "three"], ["c"])]
        if cube == "Pow"
        else [node("Mul", ["x", "x"], ["xx"]), node("Mul", ["xx", "x"], ["c"])]
    )
    nodes = [
        *scalars(three=3, k=0.044715, root=(2 / np.pi) ** 0.5, one=1, half=0.5),
        *powers,
        node("Mul", ["c", "k"], ["v"]),
        node("Add", ["x", "v"], ["u"]),
        node("Mul", ["u", "root"], ["t"]),
        node("Tanh", ["t"], ["e"]),
        node("Add", ["e", "one"], ["s"]),
        node("Mul", ["x", "half"], ["p"]),
        node("Mul", ["p", "s"]),
    ]
    module = compare(net(nodes, {"x": (2, 3)}))
    assert op_names(module) == ["activation"]
    assert "gelu_tanh" in str(module)


SPELLED_OUT: dict[str, list[onnx.NodeProto]] = {
    "swish": [node("Sigmoid", ["x"], ["s"]), node("Mul", ["s", "x"])],
    "mish": [node("Softplus", ["x"], ["a"]), node("Tanh", ["a"], ["s"]), node("Mul", ["x", "s"])],
    "hard_swish": [
        *scalars(three=3, zero=0, six=6),
        node("Add", ["x", "three"], ["a"]),
        node("Clip", ["a", "zero", "six"], ["b"]),
        node("Mul", ["x", "b"], ["c"]),
        node("Div", ["c", "six"]),
    ],
}


@pytest.mark.parametrize("name", SPELLED_OUT)
def test_spelled_out_functions(name: str) -> None:
    module = compare(net(SPELLED_OUT[name], {"x": (2, 3)}))
    assert op_names(module) == ["activation"]
    assert f"ktensor.activation<{name}>" in str(module)


def test_hard_swish_by_hard_sigmoid() -> None:
    swish = [node("HardSigmoid", ["x"], ["s"], alpha=1 / 6, beta=0.5), node("Mul", ["x", "s"])]
    assert "hard_swish" in str(compare(net(swish, {"x": (2, 3)})))
    other = [node("HardSigmoid", ["x"], ["s"], alpha=0.2, beta=0.5), node("Mul", ["x", "s"])]
    assert op_names(compare(net(other, {"x": (2, 3)}))) == ["activation", "binary"]


def test_what_only_looks_like_a_function() -> None:
    nodes = [node("Sigmoid", ["x"], ["s"]), node("Mul", ["s", "z"])]
    assert op_names(compare(net(nodes, {"x": (2, 3), "z": (2, 3)}))) == ["activation", "binary"]


# Inputs, outputs, names and element types


def test_names_become_attributes_and_locations() -> None:
    first = node("Relu", ["in put"], ["a"], node_name="first/relu")
    unnamed = onnx.helper.make_node("Exp", ["a"], ["out:0"])
    model = net([first, unnamed], {"in put": (2, 3)}, outputs=("out:0", "a"))
    module = compare(model)
    function = function_of(module)
    assert attribute_names(function.arg_attrs) == ["in put"]
    assert attribute_names(function.res_attrs) == ["out:0", "a"]
    layers = [layer_name(op) for op in module.walk() if isinstance(op, ktensor.KTensorOp)]
    assert layers == ["first/relu", "out:0"]


def test_one_value_as_two_outputs_an_input_as_output_and_a_constant_output() -> None:
    nodes = [node("Relu", ["x"]), node("Identity", ["y"], ["again"])]
    model = net(nodes, {"x": (2, 3)}, {"c": floats([1, 2])}, outputs=("y", "again", "x", "c"))
    compare(model)


def test_outputs_listed_twice_are_kept() -> None:
    model = net([node("Relu", ["x"])], {"x": (2, 3)})
    model.graph.output.append(model.graph.output[0])
    try:
        module = import_onnx(model.SerializeToString())
    except ValueError:
        return
    assert len(function_of(module).function_type.outputs) == 2


def test_initializers_that_are_also_inputs() -> None:
    model = net([node("Add", ["x", "c"])], {"x": (2, 3)}, {"c": floats([1, 2, 3])})
    model.graph.input.append(onnx.helper.make_tensor_value_info("c", TensorProto.FLOAT, [3]))
    assert attribute_names(function_of(compare(model)).arg_attrs) == ["x"]


@pytest.mark.parametrize("batch", ["N", "", -1, 0])
def test_a_symbolic_batch_becomes_one(batch: Any) -> None:
    model = net([node("Relu", ["x"])], {"x": (1, 3)})
    dimension = model.graph.input[0].type.tensor_type.shape.dim[0]
    dimension.Clear()
    if isinstance(batch, str):
        dimension.dim_param = batch
    else:
        dimension.dim_value = batch
    module = import_onnx(model.SerializeToString())
    assert ktensor.shape_of(function_of(module).body.block.args[0]) == (1, 3)


def test_stale_shapes_of_inner_values_are_ignored() -> None:
    model = net([node("Relu", ["x"], ["a"]), node("Exp", ["a"])], {"x": (1, 3)})
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("a", TensorProto.FLOAT, [8, 3]))
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 8
    assert op_names(import_onnx(model.SerializeToString())) == ["activation", "unary"]


@pytest.mark.parametrize("element", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_float_types_become_float32(element: int) -> None:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(element)
    weights = np.random.default_rng(0).uniform(-1, 1, (3, 4)).astype(dtype)
    model = net([node("MatMul", ["x", "w"])], {"x": (2, 3)}, {"w": weights}, element=element)
    model.graph.output[0].type.tensor_type.elem_type = element
    compare(model, tolerance=2e-3)


@pytest.mark.parametrize("moves", [(), ("Transpose",)])
def test_bytes_that_are_cast_to_float(moves: Sequence[str]) -> None:
    names = ["x", *[f"m{index}" for index in range(len(moves) + 1)]]
    nodes = [node(op, [a], [b]) for op, a, b in zip(moves, names, names[1:], strict=False)]
    nodes += [node("Cast", [names[len(moves)]], ["f"], to=TensorProto.FLOAT), node("Exp", ["f"], ["e"])]
    model = net([*nodes, node("Reciprocal", ["e"])], {"x": (2, 3)}, element=TensorProto.UINT8)
    compare(model)


def test_local_functions_are_inlined() -> None:
    function = onnx.helper.make_function(
        "local", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [onnx.helper.make_opsetid("", 13)]
    )
    call = onnx.helper.make_node("Twice", ["x"], ["y"], domain="local", name="call")
    model = net([call], {"x": (2, 3)})
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    model.functions.append(function)
    assert op_names(compare(model)) == ["binary"]


def test_external_data_beside_the_file(tmp_path: Path) -> None:
    model = net([node("Add", ["x", "c"])], {"x": (2, 3)}, {"c": floats([[1, 2, 3]] * 200)[:1]})
    expected = runtime(model, feeds(model))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    module = import_model(tmp_path / "m.onnx")
    np.testing.assert_allclose(interpret(module, [*feeds(model).values()])[0], expected[0], rtol=1e-6)


def test_a_third_party_adds_an_op(monkeypatch: pytest.MonkeyPatch) -> None:
    import kpuir.importers.onnx.ops as ops

    monkeypatch.setattr(ops, "plugin_table", lambda kind: {"mine::Twice": lambda n: n.binary("mul", n.value(0), 2.0)})
    model = net([onnx.helper.make_node("Twice", ["x"], ["y"], domain="mine")], {"x": (2, 3)})
    model.opset_import.append(onnx.helper.make_opsetid("mine", 1))
    module = import_onnx(model.SerializeToString())
    np.testing.assert_array_equal(interpret(module, [np.ones((2, 3))])[0], np.full((2, 3), 2, np.float32))


# Small and real networks


def small_net(opset: int) -> onnx.ModelProto:
    """A residual network with batch-norm and a classifier."""
    generator = np.random.default_rng(3)

    def array(*shape: int) -> np.ndarray[Any, Any]:
        return generator.uniform(-0.4, 0.4, shape).astype(np.float32)

    constants = {
        "w1": array(8, 3, 3, 3), "w2": array(8, 1, 3, 3), "w3": array(8, 8, 1, 1), "fc": array(8, 5), "fb": array(5),
        "s": array(8) + 1, "b": array(8), "m": array(8), "v": np.abs(array(8)) + 0.1,
    }  # fmt: skip
    flatten = node("Reshape", ["g", "flat"], ["f"]) if opset >= 14 else node("Flatten", ["g"], ["f"])
    nodes = [
        node("Conv", ["x", "w1"], ["c1"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c1", "s", "b", "m", "v"], ["n1"]),
        node("Relu", ["n1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], group=8, auto_pad="SAME_UPPER"),
        node("LeakyRelu", ["c2"], ["r2"], alpha=0.1),
        node("Conv", ["r2", "w3", "b"], ["c3"]),
        node("Add", ["c3", "r1"], ["a"]),
        node("MaxPool", ["a"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["p"], ["g"]),
        constant("flat", np.array([0, -1], np.int64)),
        flatten,
        node("Gemm", ["f", "fc", "fb"], ["l"]),
        node("Softmax", ["l"], ["y"], axis=1),
    ]
    return net(nodes, {"x": ("N", 3, 16, 16)}, constants, opset=opset)


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 15, 17, 21])
def test_a_small_network_over_the_opsets(opset: int) -> None:
    module = compare(small_net(opset))
    expected = (
        "conv2d binary binary activation conv2d activation conv2d binary max_pool2d reduce reshape matmul softmax"
    )
    assert op_names(module) == expected.split()


def test_import_is_deterministic() -> None:
    data = small_net(13).SerializeToString()
    assert str(import_onnx(data)) == str(import_onnx(data))


@pytest.mark.parametrize("name", ["simplified", "without_postprocessing"])
def test_face_detector(name: str) -> None:
    path = shared_file(f"models/version-slim-320_{name}.onnx")
    model = onnx.load(path)
    inputs = feeds(model)
    module = import_model(path)
    outputs = interpret(module, list(inputs.values()))
    for ours, theirs in zip(outputs, runtime(model, inputs), strict=True):
        assert np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs)) < 1e-4
    assert attribute_names(function_of(module).res_attrs) == ["scores", "boxes"]
    assert op_names(module).count("reshape") == 8


def test_given_shapes_and_outputs() -> None:
    nodes = [
        node("Relu", ["x"], ["a"], node_name="first"),
        node("Add", ["a", "z"], ["y"]),
        node("NonZero", ["y"], ["w"]),
    ]
    model = net(nodes, {"x": ("n", 3, "h", "w"), "z": (1,)}, outputs=("w",))
    data = model.SerializeToString()
    for outputs in (["a"], ["first"]):
        module = import_onnx(data, input_shapes={"x": (2, 3, 8, 9)}, outputs=outputs)
        assert op_names(module) == ["activation"]
        text = str(module)
        assert "(%x: tensor<2x3x8x9xf32>" in text  # z is not needed
        assert '{ktensor.name = "a"}' in text
    module = import_onnx(data, input_shapes={"x": (1, 3, 8, 9)}, outputs=["y", "a"])
    assert op_names(module) == ["activation", "binary"]


@pytest.mark.parametrize(
    ("shapes", "outputs", "message", "hint"),
    [
        ({"q": (1,)}, [], "there is no input 'q'", "inputs are x, z"),
        ({"x": (1, 4, 8, 8)}, [], "input 'x' is ?x3x?x? and cannot be 1x4x8x8", ""),
        ({"x": (1, 3, 8)}, [], "input 'x' is ?x3x?x? and cannot be 1x3x8", ""),
        ({"x": (1, 3, 8, 8)}, ["relux"], "there is no value or layer 'relux' to end at", "relu_a"),
        ({"x": (1, 3, 8, 8)}, ["a", "relu_a"], "an output is named twice: a, relu_a", ""),
        ({}, [], "dimension 2 is dynamic ('h')", "--input-shape x=1x3x224x224"),
    ],
)
def test_given_shapes_and_outputs_that_do_not_fit(
    shapes: dict[str, tuple[int, ...]], outputs: list[str], message: str, hint: str
) -> None:
    nodes = [node("Relu", ["x"], ["a"]), node("Add", ["a", "z"])]
    data = net(nodes, {"x": ("n", 3, "h", "w"), "z": (1,)}).SerializeToString()
    with pytest.raises(KpuirError) as caught:
        import_onnx(data, input_shapes=shapes, outputs=outputs)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
