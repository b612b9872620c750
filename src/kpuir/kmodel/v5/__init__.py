"""kmodel version 5: bytes to dataclasses and back, byte for byte; its stack code as tensor operations."""

from kpuir.kmodel.v5.codec import Location, MemoryRange, TensorType
from kpuir.kmodel.v5.k210 import KpuConv2d, KpuCopy, KpuDownload, KpuInstruction, KpuUpload
from kpuir.kmodel.v5.model import K210, STACKVM, VERSION, Function, Model, Module, offsets, read, write
from kpuir.kmodel.v5.stackvm import Address, Argument, Call, Code, Operation

__all__ = [
    "K210",
    "STACKVM",
    "VERSION",
    "Address",
    "Argument",
    "Call",
    "Code",
    "Function",
    "KpuConv2d",
    "KpuCopy",
    "KpuDownload",
    "KpuInstruction",
    "KpuUpload",
    "Location",
    "MemoryRange",
    "Model",
    "Module",
    "Operation",
    "TensorType",
    "offsets",
    "read",
    "write",
]
