"""The kbuf dialect: a straight list of runtime instructions on static buffers, destinations passed.

One op is one node of a kmodel; after allocation each buffer has a byte offset in its RAM, and a file is a walk away.

    builtin.module attributes {kbuf.version = "v4", kbuf.main_bytes = 40 : i64, kbuf.constant_bytes = 0 : i64} {
      func.func @main() {
        %x = kbuf.alloc {offset = 0 : i64} : memref<1x1x2x4xui8, #kbuf.space<main>>
        kbuf.input %x {index = 0 : i64, shape = array<i64: 1, 1, 2, 4>} : memref<1x1x2x4xui8, #kbuf.space<main>>
        %y = kbuf.alloc {offset = 8 : i64} : memref<8xf32, #kbuf.space<main>>
        kbuf.dequantize %x -> %y {zero_point = 128 : i64, scale = 6.400000e+01 : f32} : ...
        kbuf.output %y {index = 0 : i64} : memref<8xf32, #kbuf.space<main>>
        func.return
      }
    }
"""

from xdsl.ir import Dialect

from kpuir.dialects.kbuf import v3
from kpuir.dialects.kbuf.attributes import (
    ADDRESS_FIELDS,
    ELEMENT_TYPES,
    FLOAT_MAX,
    UI8,
    BinaryKind,
    BinaryKindAttr,
    BufferType,
    ClampAttr,
    ReduceKind,
    ReduceKindAttr,
    RegistersAttr,
    ResizeMode,
    ResizeModeAttr,
    Space,
    SpaceAttr,
    UnaryKind,
    UnaryKindAttr,
)
from kpuir.dialects.kbuf.base import (
    InstructionOp,
    buffer_type,
    byte_size,
    element_size,
    property_kinds,
    shape_of,
    space_of,
)
from kpuir.dialects.kbuf.buffers import (
    AllocOp,
    ConstantOp,
    InputOp,
    OutputOp,
    SubviewOp,
    offset_in_root,
    offset_of,
    root_of,
    users_of,
)
from kpuir.dialects.kbuf.cpu import (
    CpuConv2dOp,
    CpuDepthwiseConv2dOp,
    CpuQuantizedConv2dOp,
    CpuQuantizedDepthwiseConv2dOp,
    CpuReduceWindow2dOp,
)
from kpuir.dialects.kbuf.floating import (
    BinaryOp,
    Conv2dOp,
    Conv2dTransposeOp,
    DequantizeOp,
    MatmulOp,
    NnilUnaryMethodOp,
    QuantizeOp,
    ReduceOp,
    ReduceWindow2dOp,
    SoftmaxOp,
    UnaryOp,
)
from kpuir.dialects.kbuf.kpu import KpuConv2dOp, KpuUploadOp
from kpuir.dialects.kbuf.moving import (
    ConcatOp,
    MemoryCopyOp,
    PadOp,
    ResizeImageOp,
    StridedSliceOp,
    TableLookup1dOp,
    TransposeOp,
)
from kpuir.dialects.kbuf.quantized import QuantizedBinaryOp, QuantizedConv2dOp, QuantizedMatmulOp
from kpuir.dialects.kbuf.v5 import KpuDownloadOp, V5TensorOp

INSTRUCTIONS: list[type[InstructionOp]] = [
    BinaryOp,
    ConcatOp,
    Conv2dOp,
    DequantizeOp,
    MatmulOp,
    PadOp,
    QuantizeOp,
    ReduceOp,
    ReduceWindow2dOp,
    MemoryCopyOp,
    ResizeImageOp,
    SoftmaxOp,
    TransposeOp,
    StridedSliceOp,
    UnaryOp,
    QuantizedConv2dOp,
    QuantizedMatmulOp,
    QuantizedBinaryOp,
    TableLookup1dOp,
    Conv2dTransposeOp,
    NnilUnaryMethodOp,
    CpuConv2dOp,
    CpuDepthwiseConv2dOp,
    CpuReduceWindow2dOp,
    CpuQuantizedConv2dOp,
    CpuQuantizedDepthwiseConv2dOp,
    KpuUploadOp,
    KpuConv2dOp,
]
"""Every instruction of kmodel v4, in the order of the opcodes; those of v3 are `v3.INSTRUCTIONS`."""

Kbuf = Dialect(
    "kbuf",
    [AllocOp, ConstantOp, SubviewOp, InputOp, OutputOp, *INSTRUCTIONS, *v3.INSTRUCTIONS, KpuDownloadOp, V5TensorOp],
    [
        SpaceAttr,
        BinaryKindAttr,
        UnaryKindAttr,
        ReduceKindAttr,
        ResizeModeAttr,
        ClampAttr,
        RegistersAttr,
    ],
)

__all__ = [
    "ADDRESS_FIELDS",
    "ELEMENT_TYPES",
    "FLOAT_MAX",
    "INSTRUCTIONS",
    "UI8",
    "AllocOp",
    "BinaryKind",
    "BinaryKindAttr",
    "BinaryOp",
    "BufferType",
    "ClampAttr",
    "ConcatOp",
    "ConstantOp",
    "Conv2dOp",
    "Conv2dTransposeOp",
    "CpuConv2dOp",
    "CpuDepthwiseConv2dOp",
    "CpuQuantizedConv2dOp",
    "CpuQuantizedDepthwiseConv2dOp",
    "CpuReduceWindow2dOp",
    "DequantizeOp",
    "InputOp",
    "InstructionOp",
    "Kbuf",
    "KpuConv2dOp",
    "KpuDownloadOp",
    "KpuUploadOp",
    "MatmulOp",
    "MemoryCopyOp",
    "NnilUnaryMethodOp",
    "OutputOp",
    "PadOp",
    "QuantizeOp",
    "QuantizedBinaryOp",
    "QuantizedConv2dOp",
    "QuantizedMatmulOp",
    "ReduceKind",
    "ReduceKindAttr",
    "ReduceOp",
    "ReduceWindow2dOp",
    "RegistersAttr",
    "ResizeImageOp",
    "ResizeMode",
    "ResizeModeAttr",
    "SoftmaxOp",
    "Space",
    "SpaceAttr",
    "StridedSliceOp",
    "SubviewOp",
    "TableLookup1dOp",
    "TransposeOp",
    "UnaryKind",
    "UnaryKindAttr",
    "UnaryOp",
    "V5TensorOp",
    "buffer_type",
    "byte_size",
    "element_size",
    "offset_in_root",
    "offset_of",
    "property_kinds",
    "root_of",
    "shape_of",
    "space_of",
    "users_of",
    "v3",
]
