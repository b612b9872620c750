"""Conversion of KPU layers and of the ways between the two RAMs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from xdsl.ir import SSAValue

from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.kmodel.layer import LayerRegisters, pack_activation, pack_batch_norm
from kpuir.passes.convert_kpu_to_kbuf.lowering import Lowering, converts
from kpuir.target import k210

if TYPE_CHECKING:
    from kpuir.quantization.registers import LayerData


@converts(kpu.UploadOp)
def upload(lowering: Lowering, op: kpu.UploadOp) -> None:
    """kpu_upload, unless the caller fills KPU RAM itself."""
    source = lowering.buffer(op.input)
    if kbuf.space_of(source) is kbuf.Space.KPU:
        lowering.buffers[op.output] = source
        return
    lowering.emit(kbuf.KpuUploadOp(source, lowering.result(op.output), in_shape=ktensor.shape_of(op.input)))


@converts(kpu.DownloadOp)
def download(lowering: Lowering, op: kpu.DownloadOp) -> None:
    """Nothing: the layer that makes the map writes main RAM too."""


@converts(kpu.LayerOp)
def layer(lowering: Lowering, op: kpu.LayerOp) -> None:
    """kpu_conv2d, with a second output in main RAM where the result is downloaded."""
    from kpuir.quantization.registers import LayerData

    downloads = [use.operation for use in op.output.uses if isinstance(use.operation, kpu.DownloadOp)]
    source, output = lowering.buffer(op.input), lowering.result(op.output)
    main = lowering.result(downloads[0].output) if downloads else None
    for other in downloads[1:]:
        assert main is not None
        lowering.buffers[other.output] = main
    numbers = LayerData(kernel_size=op.integer("kernel_size"), depthwise=op.is_depthwise, **op.numbers())
    emit_layer(lowering, numbers, source, output, main, op.pool_kind)


def emit_layer(
    lowering: Lowering,
    numbers: "LayerData",
    source: SSAValue,
    output: SSAValue,
    main: SSAValue | None = None,
    pool: kpu.PoolKind = kpu.PoolKind.BYPASS,
) -> kbuf.KpuConv2dOp:
    """One kpu_conv2d between buffers of shape [N, C, H, W]; `main` gets a copy in main RAM.

    Where the others have 16-bit weights this one has its codes in such, which changes no result.
    """
    if lowering.words:
        numbers = replace(numbers, weights=numbers.weights.astype("uint16"))
    return lowering.emit(
        kbuf.KpuConv2dOp(
            source,
            output,
            main,
            batches=kbuf.shape_of(source)[0],
            registers=_registers(numbers, kbuf.shape_of(source), kbuf.shape_of(output), pool, main is not None),
            batch_norm=pack_batch_norm(numbers.bn_mul, numbers.bn_shift, numbers.bn_add),
            activation=pack_activation(numbers.act_start, numbers.act_mul, numbers.act_shift),
            activation_add=numbers.act_add,
            weights=numbers.weights.ravel(),
        )
    )


def _registers(
    numbers: "LayerData", source_shape: Sequence[int], result_shape: Sequence[int], pool: kpu.PoolKind, sends: bool
) -> LayerRegisters:
    """The layer block without its addresses (`kpu-hardware.md` 4, kmodel-v4.md 9.4)."""
    _, inputs, height, width = source_shape
    _, outputs, out_height, out_width = result_shape
    source, result = k210.row_layout(width), k210.row_layout(out_width)
    loads = k210.weight_loads(inputs, outputs, numbers.kernel_size, numbers.depthwise, numbers.weights.itemsize)
    pixels = out_height * out_width
    return LayerRegisters(
        depth_wise_layer=int(numbers.depthwise),
        i_ch_num=inputs - 1,
        o_ch_num=outputs - 1,
        o_ch_num_coef=loads.channels_per_load - 1,
        i_row_wid=width - 1,
        i_col_high=height - 1,
        o_row_wid=out_width - 1,
        o_col_high=out_height - 1,
        kernel_type=int(numbers.kernel_size == 3),
        pool_type=pool.code,
        load_para=1,
        dma_burst_size=15,
        pad_value=numbers.pad_value,
        load_coor=1,
        load_time=loads.loads - 1,
        para_size=loads.bytes_per_load,
        channel_switch_addr=source.lines_per_row * height,
        row_switch_addr=source.lines_per_row,
        coef_group=source.channels_per_line,
        load_act=1,
        wb_channel_switch_addr=result.lines_per_row * out_height,
        wb_row_switch_addr=result.lines_per_row,
        wb_group=result.channels_per_line,
        shr_w=numbers.shr_w,
        shr_x=numbers.shr_x,
        arg_w=numbers.arg_w,
        arg_x=numbers.arg_x,
        arg_add=numbers.arg_add,
        send_data_out=int(sends),
        channel_byte_num=(pixels - 1) % 65536,
        dma_total_byte=pixels * outputs - 1,
    )
