"""`kpu-select-registers`: layers in real numbers become the engine's integers.

Before: `kpu.conv2d` on feature maps, with float weights. After: `kpu.layer`, with 8-bit weights (or 16-bit ones, which
kmodel v3 has), batch-norm entries and the 16-segment activation table.

    %y = kpu.conv2d %x, %w, %b : (!kpu.fmap<...>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> !kpu.fmap<...>
      =>
    %y = kpu.layer %x {weights = dense<...>, bn_mul = dense<...>, ..., arg_w = -3 : i64, ...}

The derivation is lowering-facts.md 10.9, in `kpuir.quantization.registers`. Weights go to their nearest codes, at the
scales that `kpu-round-weights` has chosen if it has. With 16 bits scales are chosen here, so that the batch-norm
multipliers are whole numbers.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis.bounds import convolution_bounds
from kpuir.dialects import kpu, ktensor
from kpuir.errors import InvalidInputError
from kpuir.ir.arrays import to_numpy
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.ir.rewriting import rewrite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kpuir.quantization.weights import WeightBits

_SMALLEST_ERROR = 1e-6
"""Of a quantized model's layers, in codes: where its codes are found exactly, none of its accuracy is lost."""

_POOL_DIVISORS = {kpu.PoolKind.MEAN_2_S2: 4, kpu.PoolKind.MEAN_2_S1: 4, kpu.PoolKind.MEAN_4_S4: 16}


def composed(activation: "tuple[ktensor.ActivationAttr, ...]") -> "Callable[[NDArray[Any]], NDArray[Any]]":
    """The functions of a layer, applied in order, as one function of an array."""
    from kpuir.interpreters.kernels.elementwise import apply

    def run(values: "NDArray[Any]") -> "NDArray[Any]":
        for function in activation:
            values = apply(function.kind.value, function.values, values)
        return values

    return run


@dataclass(frozen=True)
class SelectRegisters(RewritePattern):
    """`kpu.conv2d` on feature maps becomes `kpu.layer`; `exact`: no error is tolerated that more bits can avoid."""

    exact: bool
    weight_bits: "WeightBits"

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Select the registers of one layer."""
        from kpuir.quantization.parameters import QuantizationParameters
        from kpuir.quantization.registers import select_layer
        from kpuir.quantization.weights import quantize_weights

        source, result = op.input.type, op.output.type
        if not isinstance(source, kpu.FeatureMapType) or not isinstance(result, kpu.FeatureMapType):
            return
        weight, bias = ktensor.constant_of(op.weight), ktensor.constant_of(op.bias)
        if weight is None or bias is None:
            raise InvalidInputError("weights and bias of a layer must be constants", location=layer_name(op))
        parameters = [QuantizationParameters(t.scale_value, t.zero_point_value) for t in (source, result)]
        function = composed(op.activation.data)
        scale = op.attributes.get(kpu.WEIGHT_SCALE)
        chosen = None if scale is None or self.weight_bits == 16 else to_numpy(scale)
        quantized = quantize_weights(weight, chosen, self.weight_bits)
        try:
            layer = select_layer(
                weight,
                bias,
                function,
                input=parameters[0],
                output=parameters[1],
                depthwise=op.is_depthwise,
                y_range=convolution_bounds(weight, bias, parameters[0].lo, parameters[0].hi),
                pool_mean_divisor=_POOL_DIVISORS.get(op.pool_kind, 0),
                weights=quantized,
                **({"tolerated": _SMALLEST_ERROR} if self.exact else {}),
            )
        except ValueError as error:
            raise InvalidInputError(str(error), location=layer_name(op)) from error
        new = kpu.LayerOp(
            op.input,
            **{field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)},
            result_element=result.quantized,
            pool=op.pool_kind,
        )
        if kpu.NUMBER in op.attributes:
            new.attributes[kpu.NUMBER] = op.attributes[kpu.NUMBER]
        rewriter.replace(op, new)


@dataclass(frozen=True)
class KpuSelectRegistersPass(ModulePass):
    """Turn layers in real numbers into the integers of the registers."""

    name = "kpu-select-registers"

    weight_bits: Literal[8, 16] = 8

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        exact = kpu.OWN_SCALES in entry_function(op).attributes
        rewrite(op, SelectRegisters(exact, self.weight_bits), recursive=False)
