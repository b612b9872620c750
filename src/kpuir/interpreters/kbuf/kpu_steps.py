"""How the KPU's instructions run."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from kpuir.dialects import kbuf
from kpuir.interpreters.kbuf.machine import Step, executes
from kpuir.interpreters.kbuf.memory import Access
from kpuir.interpreters.kernels import kpu_layer
from kpuir.interpreters.kernels.kpu_layout import Layout, copy_map
from kpuir.kmodel.layer import LayerRegisters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@executes(kbuf.KpuUploadOp)
def _upload(op: kbuf.KpuUploadOp, access: Access) -> Step:
    shape = op.values()["in_shape"]
    dense, lines = Layout.dense(shape), Layout.lines(shape)
    source = access.read(op.input, (dense.size,))
    target = access.write_map(op.output, lines)
    return lambda: copy_map(source, dense, target, lines)


@executes(kbuf.KpuConv2dOp)
def _layer(op: kbuf.KpuConv2dOp, access: Access) -> Step:
    fields = SimpleNamespace(**op.values())
    registers = cast("LayerRegisters", fields.registers)
    numbers = kpu_layer.LayerNumbers.of_registers(
        registers, fields.batch_norm, fields.activation, fields.activation_add, fields.weights
    )
    batches = int(fields.batches)
    input_layout = Layout.lines((batches, *registers.input_shape))
    output_layout = Layout.lines((batches, *registers.output_shape))
    if access.overlaps(op.input, op.output):
        access.warn("the input and the output of a KPU layer overlap")
    source = access.read_map(op.input, input_layout)
    target = access.write_map(op.output, output_layout)
    layer = kpu_layer.prepare(numbers, input_layout, output_layout, scratch=access.scratch)
    images = [(source[image * input_layout.image :], target[image * output_layout.image :]) for image in range(batches)]
    if op.main_output is None or not kbuf.byte_size(op.main_output):
        if batches == 1:
            return lambda: layer.image(source, target)
        return lambda: _run(layer, images)
    dense = Layout.dense(output_layout.shape)
    copy = access.write(op.main_output, (dense.size,), "uint8")

    def step() -> None:
        _run(layer, images)
        copy_map(target, output_layout, copy, dense)

    return step


def _run(layer: kpu_layer.PreparedLayer, images: "list[Image]") -> None:
    for source, target in images:
        layer.image(source, target)
