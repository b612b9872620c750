"""The kpu dialect: what the KPU can do, first in real numbers, then in its integers.

Every `kpu.conv2d` is one pass of the engine that meets all limits of the hardware; what legalization had to add around
it is explicit (`kpu.pad`, `kpu.crop`, `kpu.strided_slice`, `kpu.space_to_batch`, `kpu.batch_to_space`) and runs on the
CPU. After quantization values in main RAM are tensors of `!ktensor.quantized`, values in KPU RAM are `!kpu.fmap`,
`kpu.upload` and `kpu.download` are the only ways between them, and every pass is a `kpu.layer`, fully in integers.

    %1 = kpu.upload %0 : (tensor<1x3x32x32x!ktensor.quantized<ui8, 5.000000e-01, 3>>)
         -> !kpu.fmap<1x3x32x32, 5.000000e-01, 3>
    %2 = kpu.layer %1 {kernel_size = 3, pool = #kpu.pool<max_2_s2>, ...}
         : (!kpu.fmap<1x3x32x32, 5.000000e-01, 3>) -> !kpu.fmap<1x16x16x16, 2.500000e-01, 0>
    %3 = kpu.download %2 : (!kpu.fmap<1x16x16x16, 2.500000e-01, 0>)
         -> tensor<1x16x16x16x!ktensor.quantized<ui8, 2.500000e-01, 0>>
"""

from xdsl.ir import Dialect

from kpuir.dialects.kpu.annotations import (
    KEPT_FLOAT,
    LATTICE,
    MOVES,
    NUMBER,
    OWN_SCALES,
    RANGE,
    REASON,
    WEIGHT_SCALE,
    stays_float,
)
from kpuir.dialects.kpu.attributes import FeatureMapType, PoolAttr, Size4, size4
from kpuir.dialects.kpu.convolution import Conv2dOp, LayerOp
from kpuir.dialects.kpu.movement import (
    BatchToSpaceOp,
    ConcatRowsOp,
    CropOp,
    DownloadOp,
    PadOp,
    SpaceToBatchOp,
    StridedSliceOp,
    UploadOp,
)
from kpuir.dialects.kpu.placement import ChannelSliceOp, ConcatOp, FoldRowsOp, ImagesOp, LinesOp
from kpuir.target.k210 import PoolKind

Kpu = Dialect(
    "kpu",
    [
        Conv2dOp,
        PadOp,
        CropOp,
        StridedSliceOp,
        SpaceToBatchOp,
        BatchToSpaceOp,
        ConcatOp,
        ConcatRowsOp,
        ChannelSliceOp,
        FoldRowsOp,
        ImagesOp,
        LinesOp,
        UploadOp,
        DownloadOp,
        LayerOp,
    ],
    [PoolAttr, FeatureMapType],
)

__all__ = [
    "KEPT_FLOAT",
    "LATTICE",
    "MOVES",
    "NUMBER",
    "OWN_SCALES",
    "RANGE",
    "REASON",
    "WEIGHT_SCALE",
    "BatchToSpaceOp",
    "ChannelSliceOp",
    "ConcatOp",
    "ConcatRowsOp",
    "Conv2dOp",
    "CropOp",
    "DownloadOp",
    "FeatureMapType",
    "FoldRowsOp",
    "ImagesOp",
    "Kpu",
    "LayerOp",
    "LinesOp",
    "PadOp",
    "PoolAttr",
    "PoolKind",
    "Size4",
    "SpaceToBatchOp",
    "StridedSliceOp",
    "UploadOp",
    "size4",
    "stays_float",
]
