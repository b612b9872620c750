"""Costs, memory and placement read off small modules written as text."""

import dataclasses

import pytest
from xdsl.context import Context
from xdsl.dialects import builtin, func
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from kpuir.analysis import cost
from kpuir.analysis.coverage import Place, Placement, coverage, placement
from kpuir.analysis.memory import CAPACITIES, BufferUse, memory
from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.kmodel import v4
from kpuir.memory import Allocation, Buffer, check
from kpuir.translate import kmodel_v4
from tests.shared import shared_file


def parse(text: str) -> ModuleOp:
    context = Context()
    for dialect in (builtin.Builtin, func.Func, ktensor.KTensor, kpu.Kpu, kbuf.Kbuf):
        context.load_dialect(dialect)
    module = Parser(context, text).parse_module()
    module.verify()
    return module


LEVEL = """
builtin.module attributes {kbuf.version = "v4", kbuf.main_bytes = 5120 : i64, kbuf.constant_bytes = 24 : i64} {
  func.func @main() {
    %x = kbuf.alloc {offset = 0 : i64} : memref<1x1x16x64xf32, #kbuf.space<main>>
    kbuf.input %x {index = 0 : i64, name = "image", shape = array<i64: 1, 1, 16, 64>}
      : memref<1x1x16x64xf32, #kbuf.space<main>>
    %q = kbuf.alloc {offset = 4096 : i64} : memref<1x1x16x64xui8, #kbuf.space<main>>
    kbuf.quantize %x -> %q {zero_point = 0 : i64, scale = 1.0 : f32}
      : memref<1x1x16x64xf32, #kbuf.space<main>> -> memref<1x1x16x64xui8, #kbuf.space<main>> loc("stem")
    %m = kbuf.alloc {offset = 128 : i64} : memref<1x1x16x64xui8, #kbuf.space<kpu>>
    kbuf.kpu_upload %q -> %m {in_shape = array<i64: 1, 1, 16, 64>}
      : memref<1x1x16x64xui8, #kbuf.space<main>> -> memref<1x1x16x64xui8, #kbuf.space<kpu>> loc("stem")
    %v = kbuf.subview %q {byte_offset = 24 : i64}
      : memref<1x1x16x64xui8, #kbuf.space<main>> -> memref<1000xui8, #kbuf.space<main>>
    %d = kbuf.alloc {offset = 0 : i64} : memref<1000xf32, #kbuf.space<main>>
    kbuf.dequantize %v -> %d {zero_point = 0 : i64, scale = 1.0 : f32}
      : memref<1000xui8, #kbuf.space<main>> -> memref<1000xf32, #kbuf.space<main>> loc("head")
    %unused = kbuf.alloc {offset = 0 : i64} : memref<8xf32, #kbuf.space<main>>
    kbuf.output %d {index = 0 : i64} : memref<1000xf32, #kbuf.space<main>>
    func.return
  }
}
"""

LAYER = """
builtin.module {{
  func.func @main() {{
    %x = kbuf.alloc {{offset = 0 : i64}} : memref<2x3x240x320xui8, #kbuf.space<kpu>>
    %y = kbuf.alloc {{offset = 460800 : i64}} : memref<2x16x120x160xui8, #kbuf.space<kpu>>
    {main}
    kbuf.kpu_conv2d %x -> %y {operand} {{batches = 2 : i64, registers = #kbuf.registers<i_ch_num 2, o_ch_num 15,
      i_row_wid 319, i_col_high 239, o_row_wid 159, o_col_high 119, kernel_type 1, pool_type 1>,
      batch_norm = dense<1> : tensor<16xi64>, activation = dense<1> : tensor<16xi64>,
      activation_add = dense<0> : tensor<16xui8>, weights = dense<1> : tensor<16x3x3x3xui8>}}
      : memref<2x3x240x320xui8, #kbuf.space<kpu>> -> memref<2x16x120x160xui8, #kbuf.space<kpu>> {kind} loc("conv1")
    func.return
  }}
}}
"""


def test_memory_of_an_allocated_module() -> None:
    use = memory(parse(LEVEL))
    assert use.steps == 3
    assert use.constant_bytes == 24
    assert use.buffers == (
        BufferUse("image", kbuf.Space.MAIN, 0, 4096, 0, 0),
        BufferUse("stem", kbuf.Space.MAIN, 4096, 1024, 0, 2),  # read through a view
        BufferUse("stem", kbuf.Space.KPU, 128, 1024, 1, 1),
        BufferUse("head", kbuf.Space.MAIN, 0, 4000, 2, 2),
    )
    assert use.peak(kbuf.Space.MAIN) == 5120
    assert use.peak(kbuf.Space.KPU) == 1152
    assert use.peak(kbuf.Space.OUTPUT) == 0


def test_memory_before_allocation_is_refused() -> None:
    with pytest.raises(ValueError, match="stem has no offset; run kbuf-allocate"):
        memory(parse(LEVEL.replace("{offset = 4096 : i64}", "")))


def test_costs_of_cpu_instructions() -> None:
    costs = cost.estimate(parse(LEVEL))
    assert [(c.layer, c.operation, c.place) for c in costs] == [
        ("stem", "kbuf.quantize", Place.CPU),
        ("stem", "kbuf.kpu_upload", Place.TRANSFER),
        ("head", "kbuf.dequantize", Place.CPU),
    ]
    assert [c.milliseconds for c in costs] == pytest.approx([1024 * 45e-6, 1024 * 1.4e-6, 1000 * 30e-6])
    assert cost.total_milliseconds(costs) == pytest.approx(sum(c.milliseconds for c in costs))


def test_narrow_maps_are_uploaded_by_the_cpu() -> None:
    """Table 10.5: 307,200 bytes 160 wide in 20.37 ms."""
    kind = "memref<1x16x120x160xui8, #kbuf.space<{}>>"
    text = f"""
    builtin.module {{ func.func @main() {{
      %x = kbuf.alloc {{offset = 0 : i64}} : {kind.format("main")}
      %y = kbuf.alloc {{offset = 0 : i64}} : {kind.format("kpu")}
      kbuf.kpu_upload %x -> %y {{in_shape = array<i64: 1, 16, 120, 160>}}
        : {kind.format("main")} -> {kind.format("kpu")}
      func.return }} }}"""
    assert cost.total_milliseconds(cost.estimate(parse(text))) == pytest.approx(20.37, rel=0.01)


def test_costs_of_a_layer() -> None:
    """Two images of layer 0 of table 10.4, .206 ms each; the copy of the result at 86 ns per byte."""
    (plain,) = cost.estimate(parse(LAYER.format(main="", operand="", kind="")))
    assert (plain.layer, plain.place) == ("conv1", Place.KPU)
    assert plain.milliseconds == pytest.approx(2 * 0.216, rel=0.005)
    copy = "%z = kbuf.alloc {offset = 0 : i64} : memref<2x16x120x160xui8, #kbuf.space<main>>"
    text = LAYER.format(main=copy, operand="main %z", kind="main memref<2x16x120x160xui8, #kbuf.space<main>>")
    again, copy_out = cost.estimate(parse(text))
    assert again == plain
    assert (copy_out.operation, copy_out.place) == ("kbuf.kpu_download", Place.TRANSFER)
    assert copy_out.milliseconds == pytest.approx(2 * 307_200 * 86e-6)
    assert coverage(parse(text)).downloads == 1
    assert coverage(parse(LAYER.format(main="", operand="", kind=""))).downloads == 0


def test_costs_of_convolutions_count_multiplications() -> None:
    """1x8x4x4 -> 1x6x4x4, 3x3, 2 groups: 96 results of 4 * 9 products each."""
    text = """
    builtin.module { func.func @main() {
      %x = kbuf.alloc {offset = 0 : i64} : memref<1x8x4x4xf32, #kbuf.space<main>>
      %y = kbuf.alloc {offset = 512 : i64} : memref<1x6x4x4xf32, #kbuf.space<main>>
      kbuf.conv2d %x -> %y {in_shape = array<i64: 1, 8, 4, 4>, groups = 2 : i64, out_channels = 6 : i64,
        pad_h = array<i64: 1, 1>, pad_w = array<i64: 1, 1>, filter_h = 3 : i64, filter_w = 3 : i64,
        stride_h = 1 : i64, stride_w = 1 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64,
        weights = dense<1.0> : tensor<6x4x3x3xf32>, bias = dense<0.0> : tensor<6xf32>}
        : memref<1x8x4x4xf32, #kbuf.space<main>> -> memref<1x6x4x4xf32, #kbuf.space<main>>
      func.return } }"""
    (conv,) = cost.estimate(parse(text))
    assert conv.milliseconds == pytest.approx(96 * 36 * 15e-6)


def test_every_instruction_has_a_cost() -> None:
    priced = cost._NANOSECONDS  # pyright: ignore[reportPrivateUsage]  # the table itself is what must be complete
    ops = {*kbuf.INSTRUCTIONS, *kbuf.v3.INSTRUCTIONS, kbuf.KpuDownloadOp, kbuf.V5TensorOp}
    assert ops == {*priced, kbuf.KpuConv2dOp}


FLOATS = """
builtin.module {
  func.func @main(%x: tensor<1x3x8x8xf32>) -> tensor<1x192xf32> {
    %w = ktensor.constant dense<1.0> : tensor<3x3x1x1xf32>
    %b = ktensor.constant dense<0.0> : tensor<3xf32>
    %0 = kpu.pad %x {pads = array<i64: 1, 1, 1, 1>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x10x10xf32> loc("a")
    %1 = kpu.conv2d %0, %w, %b
      : (tensor<1x3x10x10xf32>, tensor<3x3x1x1xf32>, tensor<3xf32>) -> tensor<1x3x10x10xf32> loc("a")
    %2 = kpu.crop %1 {crops = array<i64: 1, 1, 1, 1>} : (tensor<1x3x10x10xf32>) -> tensor<1x3x8x8xf32> loc("a")
    %3 = ktensor.unary<exp> %2 {kpu.reason = "no layer in front"}
      : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> loc("b")
    %4 = ktensor.reshape %3 : (tensor<1x3x8x8xf32>) -> tensor<1x192xf32>
    func.return %4 : tensor<1x192xf32>
  }
}
"""

MAPS = """
builtin.module {
  func.func @main(%x: tensor<1x3x8x8x!ktensor.quantized<ui8, 1.0, 0>>) -> tensor<1x3x8x8xf32> {
    %0 = kpu.upload %x : (tensor<1x3x8x8x!ktensor.quantized<ui8, 1.0, 0>>) -> !kpu.fmap<1x3x8x8, 1.0, 0> loc("a")
    %1 = kpu.download %0 : (!kpu.fmap<1x3x8x8, 1.0, 0>) -> tensor<1x3x8x8x!ktensor.quantized<ui8, 1.0, 0>> loc("a")
    %2 = ktensor.dequantize %1 : (tensor<1x3x8x8x!ktensor.quantized<ui8, 1.0, 0>>) -> tensor<1x3x8x8xf32> loc("out")
    func.return %2 : tensor<1x3x8x8xf32>
  }
}
"""


def test_placement_of_the_float_level() -> None:
    found = placement(parse(FLOATS))
    assert [dataclasses.replace(one, hint="") for one in found] == [
        Placement("a", "kpu.pad", Place.CPU, "the KPU pads one pixel of a 3x3 convolution, nothing else"),
        Placement("a", "kpu.conv2d", Place.KPU),
        Placement("a", "kpu.crop", Place.CPU, "the KPU keeps all rows and columns of a result"),
        Placement("b", "ktensor.unary", Place.CPU, "no layer in front"),
    ]
    assert [one.hint for one in found] == [
        "use a padding of half the kernel's size",
        "",
        "use a padding of half the kernel's size",
        "put the function directly behind a convolution",
    ]
    counts = coverage(parse(FLOATS))
    assert (counts.kpu_layers, counts.cpu_ops) == (1, {"crop": 1, "pad": 1, "unary": 1})


def test_placement_of_the_quantized_level() -> None:
    found = placement(parse(MAPS))
    assert [(p.operation, p.place) for p in found] == [
        ("kpu.upload", Place.TRANSFER),
        ("kpu.download", Place.TRANSFER),
        ("ktensor.dequantize", Place.CPU),
    ]
    counts = coverage(parse(MAPS))
    assert (counts.uploads, counts.downloads, counts.kpu_layers, counts.cpu_ops) == (1, 1, 0, {"dequantize": 1})


def test_placement_of_instructions() -> None:
    assert [p.operation for p in placement(parse(LEVEL))] == ["kbuf.quantize", "kbuf.kpu_upload", "kbuf.dequantize"]
    counts = coverage(parse(LEVEL))
    assert (counts.uploads, counts.cpu_ops) == (1, {"dequantize": 1, "quantize": 1})
    assert coverage(parse(LAYER.format(main="", operand="", kind=""))).kpu_layers == 1


def test_a_published_kmodel() -> None:
    """slim-320: 7.5 ms of computing and 65 kB copied (kpu-hardware.md 10.6); its own allocation has no overlap."""
    data = shared_file("models/slim-320.kmodel").read_bytes()
    module = kmodel_v4.from_v4(v4.read(data))
    layers = [c for c in cost.estimate(module) if c.place is Place.KPU]
    use = memory(module)
    counts = coverage(module)
    assert (counts.kpu_layers, counts.uploads, counts.downloads) == (42, 1, 9)
    downloaded = sum(
        kbuf.byte_size(op.main_output)
        for op in module.walk()
        if isinstance(op, kbuf.KpuConv2dOp) and op.main_output is not None
    )
    assert downloaded == pytest.approx(65_000, rel=0.01)
    spent = sum(c.milliseconds for c in layers) - 42 * 0.010
    assert spent == pytest.approx(7.5, abs=0.05)
    for space in (kbuf.Space.KPU, kbuf.Space.MAIN):
        uses = {f"{index}": b for index, b in enumerate(use.buffers) if b.space is space}
        buffers = [Buffer(name, b.size, b.first, b.last) for name, b in uses.items()]
        offsets = {name: b.offset for name, b in uses.items()}
        check(buffers, Allocation(offsets, use.peak(space)), capacity=CAPACITIES[space])
