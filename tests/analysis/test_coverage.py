"""Who is the reason for each transfer, what a detour costs, and hints for every rule."""

import inspect
from itertools import chain
from typing import Any

import pytest

from kpuir.analysis.coverage import Place, milliseconds_by_place, placement
from kpuir.analysis.flow import Role, flow
from kpuir.analysis.reasons import hint_of, reason_of
from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.importers import import_model
from kpuir.named_pipelines import PIPELINES
from kpuir.pipelines import make_context, parse_passes, run_passes
from kpuir.runtime import parse_module
from kpuir.target import k210
from tests import networks

CHAIN = """
func.func @main(%x: tensor<1x3x8x8xf32>) -> (tensor<1x3x8x8xf32>, tensor<1x3x8x8xf32>) {
  %w = ktensor.constant dense<2.0> : tensor<3x3x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<3xf32>
  %a = kpu.conv2d %x, %w, %b : (tensor<1x3x8x8xf32>, tensor<3x3x1x1xf32>, tensor<3xf32>) -> tensor<1x3x8x8xf32> loc("a")
  %s = ktensor.unary<exp> %a : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> loc("s")
  %t = ktensor.unary<cos> %a : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> loc("t")
  %u = ktensor.binary<mul> %s, %t : (tensor<1x3x8x8xf32>, tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> loc("u")
  %c = kpu.conv2d %u, %w, %b : (tensor<1x3x8x8xf32>, tensor<3x3x1x1xf32>, tensor<3xf32>) -> tensor<1x3x8x8xf32> loc("c")
  func.return %c, %s : tensor<1x3x8x8xf32>, tensor<1x3x8x8xf32>
}
"""
"""Two layers; between them an exp and a cos of one map, and their product."""


def lowered(text: str, passes: str = "kpu-assume-ranges,kpu-quantize-all{from=kpu-quantize},kbuf-lower") -> Any:
    module = parse_module(text.encode(), "case.mlir")
    run_passes(make_context(), module, parse_passes(passes, lambda: PIPELINES))
    return module


@pytest.mark.parametrize("until", ["convert-kpu-to-kbuf", "kbuf-allocate"])
def test_a_transfer_counts_once_and_names_who_needs_it(until: str) -> None:
    passes = f"kpu-assume-ranges,kpu-quantize-all{{from=kpu-quantize}},kbuf-lower{{until={until}}}"
    rows = {(one.layer, one.operation): one for one in placement(lowered(CHAIN, passes))}
    exp, cos, mul = rows["s", "kbuf.unary<exp>"], rows["t", "kbuf.unary<cos>"], rows["u", "kbuf.binary<mul>"]
    down, floats = rows["a", "kbuf.kpu_download"], rows["s", "kbuf.dequantize"]
    up, bytes_ = rows["c", "kbuf.kpu_upload"], rows["c", "kbuf.quantize"]
    assert exp.detour == pytest.approx(exp.milliseconds + down.milliseconds + floats.milliseconds)
    assert cos.detour == cos.milliseconds  # the first reader pays
    assert mul.detour == pytest.approx(mul.milliseconds + up.milliseconds + bytes_.milliseconds)
    assert down.reason.startswith("unary<exp> (s) is on the CPU: the KPU computes functions")
    assert "; unary<cos> (t) is on the CPU: " in down.reason
    assert (
        up.reason
        == bytes_.reason
        == "binary<mul> (u) is on the CPU: the KPU adds and multiplies by constant weights only"
    )
    assert (down.place, up.place, floats.place) == (Place.TRANSFER, Place.TRANSFER, Place.CPU)
    assert rows["c", "kbuf.kpu_download"].reason == "output 'output0' is read from main RAM"


@pytest.mark.parametrize("name", [*networks.QUANTIZED, *networks.FLOATS])
def test_the_parts_add_up_and_all_is_explained(name: str, tmp_path: Any) -> None:
    """Layers, detours, and what inputs and outputs need are the whole time; what is not on the KPU says why."""
    import onnx

    path = tmp_path / "net.onnx"
    onnx.save({**networks.QUANTIZED, **networks.FLOATS}[name](), path)
    module = import_model(path)
    run_passes(make_context(), module, parse_passes("kpu-coverage", lambda: PIPELINES))
    rows = placement(module)
    steps = flow(module)
    ports = sum(
        step.cost.milliseconds
        for step in steps
        if step.cost is not None and step.role is Role.WAY and not any(end.role is Role.CPU for end in _ends(step))
    )
    layers = sum(one.milliseconds for one in rows if one.place is Place.KPU)
    whole = sum(milliseconds_by_place(rows).values())
    assert layers + ports + sum(one.detour for one in rows) == pytest.approx(whole)
    assert [one for one in rows if one.place is not Place.KPU and not one.reason] == []


def _ends(step: Any) -> Any:
    return step.sources() if isinstance(step.op, kbuf.KpuUploadOp | kbuf.QuantizeOp) else step.targets()


BROKEN: dict[Any, tuple[Any, ...]] = {
    k210.kernel_rule: (5, 3),
    k210.stride_rule: (3, 3),
    k210.dilation_rule: (2, 2),
    k210.groups_rule: (2, 4, 4),
    k210.input_size_rule: (2000, 8),
    k210.height_rule: (300,),
    k210.output_size_rule: (2, 2),
    k210.channel_rule: (2000, 4),
    k210.depthwise_rule: (4, 8),
    k210.depthwise_pool_rule: (k210.PoolKind.MAX_2_S2,),
    k210.weight_loads_rule: (1024, 1024, 3),
    k210.ram_rule: (2**21, 64),
    k210.band_rule: ((1, 1024, 16, 512), (1, 1024, 16, 512)),
    k210.line_start_rule: (3, 8),
    k210.border_rule: ((1, 3, 8, 16), (1, 3, 8, 17)),
    k210.dma_rule: (512, 512),
}
"""Arguments that break each rule a model can break."""
OF_REGISTERS = {k210.field_rule, k210.activation_order_rule}


def test_every_rule_has_a_hint() -> None:
    rules = {one for name, one in vars(k210).items() if name.endswith("_rule") and inspect.isfunction(one)}
    assert rules == {*BROKEN, *OF_REGISTERS}
    for rule, arguments in BROKEN.items():
        verdict = rule(*arguments)
        assert not verdict.ok
        op = ktensor.ConstantOp(_one())
        op.attributes[kpu.REASON] = _text(verdict.reason)
        assert hint_of(op), verdict.reason


def _one() -> Any:
    import numpy as np

    return np.ones(1, np.float32)


def _text(text: str) -> Any:
    from xdsl.dialects.builtin import StringAttr

    return StringAttr(text)


def test_every_kind_has_a_reason() -> None:
    """Of operations and instructions, all but ways, layers, what they copy, and what takes no time."""
    silent = {
        *(ktensor.ConstantOp, ktensor.ReshapeOp, ktensor.QuantizeOp, ktensor.DequantizeOp),
        *(kpu.Conv2dOp, kpu.LayerOp, kpu.UploadOp, kpu.DownloadOp, kpu.ConcatOp, kpu.ChannelSliceOp, kpu.FoldRowsOp),
        *(kpu.ImagesOp, kpu.LinesOp, kpu.ConcatRowsOp),
        *(kbuf.KpuConv2dOp, kbuf.KpuUploadOp, kbuf.QuantizeOp, kbuf.DequantizeOp, kbuf.MemoryCopyOp),
    }
    kinds = [*chain(ktensor.KTensor.operations, kpu.Kpu.operations), *kbuf.INSTRUCTIONS]
    weighted = (kbuf.Conv2dOp, kbuf.MatmulOp, kbuf.QuantizedConv2dOp, kbuf.QuantizedMatmulOp)
    assert [
        kind.name
        for kind in kinds
        if kind not in silent and "conv2d" not in kind.name and kind not in weighted and not reason_of(kind.create())
    ] == []
