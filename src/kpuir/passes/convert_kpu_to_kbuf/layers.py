"""Conversion of KPU layers and of the ways between the two RAMs."""

from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.kmodel.layer import LayerRegisters, pack_activation, pack_batch_norm
from kpuir.passes.convert_kpu_to_kbuf.lowering import Lowering, converts
from kpuir.target import k210


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
    downloads = [use.operation for use in op.output.uses if isinstance(use.operation, kpu.DownloadOp)]
    source, output = lowering.buffer(op.input), lowering.result(op.output)
    main = lowering.result(downloads[0].output) if downloads else None
    for other in downloads[1:]:
        assert main is not None
        lowering.buffers[other.output] = main
    lowering.emit(
        kbuf.KpuConv2dOp(
            source,
            output,
            main,
            batches=ktensor.shape_of(op.input)[0],
            registers=layer_registers(op, send_data_out=main is not None),
            batch_norm=pack_batch_norm(op.array("bn_mul"), op.array("bn_shift"), op.array("bn_add")),
            activation=pack_activation(op.array("act_start"), op.array("act_mul"), op.array("act_shift")),
            activation_add=op.array("act_add"),
            weights=op.array("weights").ravel(),
        )
    )


def layer_registers(op: kpu.LayerOp, send_data_out: bool) -> LayerRegisters:
    """The layer block without its addresses (`kpu-hardware.md` 4, kmodel-v4.md 9.4)."""
    _, inputs, height, width = ktensor.shape_of(op.input)
    _, outputs, out_height, out_width = ktensor.shape_of(op.output)
    source, result = k210.row_layout(width), k210.row_layout(out_width)
    kernel = op.integer("kernel_size")
    loads = k210.weight_loads(inputs, outputs, kernel, op.is_depthwise)
    pixels = out_height * out_width
    return LayerRegisters(
        depth_wise_layer=int(op.is_depthwise),
        i_ch_num=inputs - 1,
        o_ch_num=outputs - 1,
        o_ch_num_coef=loads.channels_per_load - 1,
        i_row_wid=width - 1,
        i_col_high=height - 1,
        o_row_wid=out_width - 1,
        o_col_high=out_height - 1,
        kernel_type=int(kernel == 3),
        pool_type=op.pool_kind.code,
        load_para=1,
        dma_burst_size=15,
        pad_value=op.integer("pad_value"),
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
        shr_w=op.integer("shr_w"),
        shr_x=op.integer("shr_x"),
        arg_w=op.integer("arg_w"),
        arg_x=op.integer("arg_x"),
        arg_add=op.integer("arg_add"),
        send_data_out=int(send_data_out),
        channel_byte_num=(pixels - 1) % 65536,
        dma_total_byte=pixels * outputs - 1,
    )
