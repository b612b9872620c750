"""`kpu-place`: what KPU layers read and write lives in KPU RAM.

Before: `kpu.conv2d` on quantized tensors. After: on feature maps (`!kpu.fmap`), with `kpu.upload` where a value comes
from main RAM and `kpu.download` where it is needed there; a value made and used by layers never leaves KPU RAM.

    %f = kpu.conv2d %x, %w, %b
    %g = kpu.conv2d %f, %v, %c
      =>
    %u = kpu.upload %x
    %f = kpu.conv2d %u, %w, %b
    %g = kpu.conv2d %f, %v, %c
    %y = kpu.download %g

Raises DoesNotFitError for a layer whose input and output exceed KPU RAM together (`kpu-hardware.md` 2).
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects import kpu, ktensor
from kpuir.errors import DoesNotFitError
from kpuir.ir.locations import layer_name
from kpuir.ir.rewriting import rewrite
from kpuir.target import k210


class PlaceConv2d(RewritePattern):
    """A layer on tensors becomes one on feature maps between an upload and a download."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Place one layer."""
        if isinstance(op.input.type, kpu.FeatureMapType):
            return
        source = op.input.owner
        if isinstance(source, kpu.DownloadOp):
            value = source.input
        elif (shared := _existing_upload(op.input)) is not None:
            value = shared.output
        else:
            rewriter.insert(new := kpu.UploadOp(op.input))
            value = new.output
        element = ktensor.element_of(op.output)
        assert isinstance(element, ktensor.QuantizedType)
        layer = kpu.Conv2dOp(
            value,
            op.weight,
            op.bias,
            depthwise=op.is_depthwise,
            activation=op.activation.data,
            pool=op.pool_kind,
            result_element=element,
        )
        layer.attributes.update(op.attributes)
        _require_fit(layer, layer_name(op))
        rewriter.replace(op, [layer, kpu.DownloadOp(layer.output)])


def _existing_upload(value: SSAValue) -> kpu.UploadOp | None:
    """An upload of the same value for an earlier layer."""
    users = (use.operation for use in value.uses)
    return next((user for user in users if isinstance(user, kpu.UploadOp)), None)


def _require_fit(layer: kpu.Conv2dOp, name: str) -> None:
    source, result = layer.input.type, layer.output.type
    assert isinstance(source, kpu.FeatureMapType)
    assert isinstance(result, kpu.FeatureMapType)
    verdict = k210.ram_rule(source.byte_size, result.byte_size)
    if not verdict.ok:
        raise DoesNotFitError(
            verdict.reason,
            location=name,
            hint="use a smaller input or fewer channels, or pool or stride in this layer so that less is stored",
        )


@dataclass(frozen=True)
class KpuPlacePass(ModulePass):
    """Move the inputs and outputs of layers into KPU RAM, with uploads and downloads only where needed."""

    name = "kpu-place"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, PlaceConv2d(), recursive=False)
