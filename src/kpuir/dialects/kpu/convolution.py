"""The layers of the kpu dialect: `kpu.conv2d` in real numbers and `kpu.layer` in the engine's integers."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from xdsl.dialects.builtin import (
    I64,
    ArrayAttr,
    BoolAttr,
    DenseIntOrFPElementsAttr,
    IntegerAttr,
    TensorType,
    f32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects.kpu.attributes import (
    FeatureMapType,
    PoolAttr,
    Size4,
    format_shape,
    is_float,
    is_quantized,
    require,
    require_type,
    reshaped,
    size4,
)
from kpuir.dialects.ktensor import ActivationAttr, QuantizedType
from kpuir.ir.arrays import element_type, to_dense, to_numpy
from kpuir.target import k210
from kpuir.target.k210 import PoolKind

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@irdl_op_definition
class Conv2dOp(IRDLOperation):
    """One pass of the KPU, in real numbers: convolution, then activation functions in order, then pooling.

        y[n, o] = pool(f(sum over i, dy, dx of x[n, i, +dy, +dx] * w[o, i, dy, dx] + b[o]))

    The kernel is 1x1 or 3x3, the stride 1; outside the map x is 0, so the map keeps its size before pooling. With
    `depthwise` each channel has its own kernel: the weight is [C, 1, k, k]. On quantized values the result is what
    ideal arithmetic gives: quantized after the activation, rounding half to even, then pooled as bytes.

        %y = kpu.conv2d %x, %w, %b {pool = #kpu.pool<max_2_s2>}
             : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
    """

    name = "kpu.conv2d"
    input = operand_def()
    weight = operand_def(TensorType)
    bias = operand_def(TensorType)
    depthwise = prop_def(BoolAttr, default_value=BoolAttr.from_bool(False))
    activation = prop_def(ArrayAttr[ActivationAttr], default_value=ArrayAttr[ActivationAttr]([]))
    pool = prop_def(PoolAttr, default_value=PoolAttr(PoolKind.BYPASS))
    output = result_def()
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input `,` $weight `,` $bias attr-dict `:` functional-type(operands, results)"

    def __init__(
        self,
        input: SSAValue | Operation,
        weight: SSAValue | Operation,
        bias: SSAValue | Operation,
        *,
        depthwise: bool = False,
        activation: Iterable[ActivationAttr] = (),
        pool: PoolKind = PoolKind.BYPASS,
        result_element: QuantizedType | None = None,
        result_type: Attribute | None = None,
    ) -> None:
        """The result type follows from the operands; of quantized ones `result_element` tells scale and zero point."""
        x, w = SSAValue.get(input), SSAValue.get(weight)
        if result_type is None:
            result_type = _with_element(reshaped(x.type, _result_size(x.type, w.type, pool)), result_element)
        super().__init__(
            operands=[x, w, bias],
            properties={
                "depthwise": BoolAttr.from_bool(depthwise),
                "activation": ArrayAttr(activation),
                "pool": PoolAttr(pool),
            },
            result_types=[result_type],
        )

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel is convolved by itself."""
        return bool(self.depthwise.value.data)

    @property
    def pool_kind(self) -> PoolKind:
        """How the result is pooled."""
        return self.pool.data

    @property
    def kernel_size(self) -> int:
        """1 or 3."""
        return size4(self.weight.type)[2]

    def verify_(self) -> None:
        """Check the kinds and shapes of all values and that the KPU can do such a layer."""
        kinds = (is_float, is_quantized, _is_feature_map)
        if not any(kind(self.input.type) and kind(self.output.type) for kind in kinds):
            raise VerifyException(
                f"input {self.input.type} and result {self.output.type} are not both f32 tensors, "
                "both quantized tensors or both feature maps"
            )
        size, weight = size4(self.input.type), size4(self.weight.type)
        _verify_weight(size, weight, self.is_depthwise)
        for what, kind, shape in (("weight", self.weight.type, weight), ("bias", self.bias.type, weight[:1])):
            if kind != TensorType(f32, shape):
                raise VerifyException(f"{what} is {kind}, expected {TensorType(f32, shape)}")
        require_type(
            self.output.type,
            reshaped(self.output.type, _result_size(self.input.type, self.weight.type, self.pool_kind)),
        )
        _verify_layer(self, weight)


_LAYER_DTYPES = {
    "weights": "uint8",
    "bn_mul": "int32",
    "bn_shift": "uint8",
    "bn_add": "int32",
    "act_start": "int64",
    "act_mul": "int16",
    "act_shift": "uint8",
    "act_add": "uint8",
}
_WIDE_WEIGHTS = "uint16"
_LAYER_INTEGERS = ("pad_value", "arg_x", "shr_x", "arg_w", "shr_w", "arg_add")


@irdl_op_definition
class LayerOp(IRDLOperation):
    """One pass of the KPU exactly as its registers make it, in integers (kpu-hardware.md 6 and 7).

        acc = sum x*w + ((arg_x * sum x) >> shr_x) + ((arg_w * sum w) >> shr_w) + arg_add * N
        v   = ((acc * bn_mul) >> bn_shift) + bn_add
        y   = pool(clamp(round_shift((v - act_start[s]) * act_mul[s], act_shift[s]) + act_add[s], 0, 255))

    x is `pad_value` outside the map; the sums run over all taps of all input channels; N is the number of input
    channels, 1 for `depthwise`; s is the last segment with v > act_start[s].
    Weights are ui8 or ui16 [OC, IC, k, k] or [C, 1, k, k], batch-norm arrays [OC], activation arrays [16].
    """

    name = "kpu.layer"
    input = operand_def(FeatureMapType)
    kernel_size = prop_def(IntegerAttr[I64])
    depthwise = prop_def(BoolAttr, default_value=BoolAttr.from_bool(False))
    pool = prop_def(PoolAttr, default_value=PoolAttr(PoolKind.BYPASS))
    pad_value = prop_def(IntegerAttr[I64])
    arg_x = prop_def(IntegerAttr[I64])
    shr_x = prop_def(IntegerAttr[I64])
    arg_w = prop_def(IntegerAttr[I64])
    shr_w = prop_def(IntegerAttr[I64])
    arg_add = prop_def(IntegerAttr[I64])
    weights = prop_def(DenseIntOrFPElementsAttr)
    bn_mul = prop_def(DenseIntOrFPElementsAttr)
    bn_shift = prop_def(DenseIntOrFPElementsAttr)
    bn_add = prop_def(DenseIntOrFPElementsAttr)
    act_start = prop_def(DenseIntOrFPElementsAttr)
    act_mul = prop_def(DenseIntOrFPElementsAttr)
    act_shift = prop_def(DenseIntOrFPElementsAttr)
    act_add = prop_def(DenseIntOrFPElementsAttr)
    output = result_def(FeatureMapType)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(
        self,
        input: SSAValue | Operation,
        *,
        kernel_size: int,
        pad_value: int,
        arg_x: int,
        shr_x: int,
        arg_w: int,
        shr_w: int,
        arg_add: int,
        weights: "ArrayLike",
        bn_mul: "ArrayLike",
        bn_shift: "ArrayLike",
        bn_add: "ArrayLike",
        act_start: "ArrayLike",
        act_mul: "ArrayLike",
        act_shift: "ArrayLike",
        act_add: "ArrayLike",
        result_element: QuantizedType,
        depthwise: bool = False,
        pool: PoolKind = PoolKind.BYPASS,
    ) -> None:
        """Arrays are checked against the width they are stored in: ValueError names field and value that do not fit.

        Weights given as an array of uint16 stay that.
        """
        integers = {
            "kernel_size": kernel_size,
            "pad_value": pad_value,
            "arg_x": arg_x,
            "shr_x": shr_x,
            "arg_w": arg_w,
            "shr_w": shr_w,
            "arg_add": arg_add,
        }
        arrays = _dense_arrays(
            {
                "weights": weights,
                "bn_mul": bn_mul,
                "bn_shift": bn_shift,
                "bn_add": bn_add,
                "act_start": act_start,
                "act_mul": act_mul,
                "act_shift": act_shift,
                "act_add": act_add,
            }
        )
        x = SSAValue.get(input)
        size = _result_size(x.type, arrays["weights"].get_type(), pool)
        super().__init__(
            operands=[x],
            properties={
                "depthwise": BoolAttr.from_bool(depthwise),
                "pool": PoolAttr(pool),
                **{name: IntegerAttr(int(value), i64) for name, value in integers.items()},
                **arrays,
            },
            result_types=[
                FeatureMapType.of(size, result_element.scale_value, result_element.zero_point_value),
            ],
        )

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel is convolved by itself."""
        return bool(self.depthwise.value.data)

    @property
    def pool_kind(self) -> PoolKind:
        """How the result is pooled."""
        return self.pool.data

    def array(self, name: str) -> "NDArray[Any]":
        """The array property `name` (`weights`, `bn_mul` ... `act_add`), read-only."""
        return to_numpy(self.properties[name])

    def integer(self, name: str) -> int:
        """The integer property `name` (`kernel_size`, `pad_value`, `arg_x` ... `arg_add`)."""
        value = self.properties[name]
        assert isinstance(value, IntegerAttr)
        return value.value.data

    def numbers(self) -> dict[str, Any]:
        """All numbers but the kernel size, by name: integers, and read-only arrays."""
        arrays = {name: self.array(name) for name in _LAYER_DTYPES}
        return {name: self.integer(name) for name in _LAYER_INTEGERS} | arrays

    def verify_(self) -> None:
        """Check the types of the arrays, every number against its field, and the layer's legality."""

        size = size4(self.input.type)
        weight = size4(self.weights.get_type())
        if weight[2] != self.kernel_size.value.data:
            raise VerifyException(f"kernel_size is {self.kernel_size.value.data}, but the weights have {weight[2]}")
        _verify_weight(size, weight, self.is_depthwise)
        segments = (k210.K210.ACTIVATION_SEGMENTS,)
        for name, dtype in _LAYER_DTYPES.items():
            shape = weight if name == "weights" else weight[:1] if name.startswith("bn_") else segments
            found, expected = _dense(self, name).get_type(), TensorType(element_type(dtype), shape)
            wide = name == "weights" and found == TensorType(element_type(_WIDE_WEIGHTS), shape)
            if found != expected and not wide:
                raise VerifyException(f"{name} is {found}, expected {expected}")
        for name in _LAYER_INTEGERS:
            require(k210.field_rule(name, self.integer(name), self.integer(name)))
        for name in _LAYER_DTYPES.keys() & k210.FIELD_RANGES.keys():
            values = self.array(name)
            require(k210.field_rule(name, int(values.min()), int(values.max())))
        require(k210.activation_order_rule(tuple(self.array("act_start").tolist())))
        require_type(
            self.output.type,
            reshaped(self.output.type, _result_size(self.input.type, self.weights.get_type(), self.pool_kind)),
        )
        _verify_layer(self, weight)


def _is_feature_map(kind: Attribute) -> bool:
    return isinstance(kind, FeatureMapType)


def _dense(op: LayerOp, name: str) -> "DenseIntOrFPElementsAttr[Any]":
    value = op.properties[name]
    assert isinstance(value, DenseIntOrFPElementsAttr)
    return value


def _dense_arrays(arrays: "Mapping[str, ArrayLike]") -> "dict[str, DenseIntOrFPElementsAttr[Any]]":
    """Each array as the dense attribute of its field. Raises ValueError where a value does not fit the element type."""
    import numpy as np

    result: dict[str, DenseIntOrFPElementsAttr[Any]] = {}
    for name, values in arrays.items():
        array, dtype = np.asarray(values), _LAYER_DTYPES[name]
        if name == "weights" and array.dtype == _WIDE_WEIGHTS:
            dtype = _WIDE_WEIGHTS
        limit = np.iinfo(dtype)
        if array.size and not (limit.min <= array.min() and array.max() <= limit.max):
            raise ValueError(f"{name} has {array.min()} to {array.max()}, its elements hold {limit.min} to {limit.max}")
        result[name] = to_dense(array.astype(dtype))
    return result


def _with_element(kind: Attribute, element: QuantizedType | None) -> Attribute:
    """The result type: that of the input with the scale and zero point of `element`, which quantized inputs need."""
    if is_float(kind):
        return kind
    if element is None:
        raise ValueError(f"the result of a quantized input needs a scale and zero point of its own, input is {kind}")
    if isinstance(kind, FeatureMapType):
        return FeatureMapType.of(kind.get_shape(), element.scale_value, element.zero_point_value)
    return TensorType(element, size4(kind))


def _result_size(input: Attribute, weight: Attribute, pool: PoolKind) -> Size4:
    """The size of a layer's result: the input's, with the output channels and pooled."""
    batch, _, height, width = size4(input)
    return batch, size4(weight)[0], *k210.pooled_size(pool, height, width)


def _verify_weight(size: Size4, weight: Size4, depthwise: bool) -> None:
    """Check that a weight of shape `weight` belongs to an input of `size`."""
    require(k210.kernel_rule(weight[2], weight[3]))
    channels = 1 if depthwise else size[1]
    if weight[1] != channels:
        kind = "a depthwise layer" if depthwise else f"an input of {size[1]} channels"
        raise VerifyException(f"weight is {format_shape(weight)}, {kind} needs {channels} as its second size")


def _verify_layer(op: "Conv2dOp | LayerOp", weight: Size4) -> None:
    """Check the rules of the hardware for a layer; whether KPU RAM holds its maps shows when they are tiled."""
    _, channels, height, width = size4(op.input.type)
    require(k210.layer_rules(channels, height, width, weight[0], weight[2], op.is_depthwise, op.pool_kind))
