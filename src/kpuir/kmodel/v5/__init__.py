"""kmodel version 5: bytes to dataclasses and back, byte for byte; its stack code as tensor operations."""

from kpuir.kmodel.v5.codec import DataType, Location, MemoryRange, TensorType
from kpuir.kmodel.v5.functions import (
    BINARY,
    NEWEST,
    REDUCE,
    RELEASES,
    UNARY,
    Kind,
    Signature,
    padding_length,
    signatures,
    unary_number,
)
from kpuir.kmodel.v5.k210 import KpuConv2d, KpuCopy, KpuDownload, KpuInstruction, KpuUpload
from kpuir.kmodel.v5.model import K210, STACKVM, VERSION, Function, Model, Module, offsets, read, write
from kpuir.kmodel.v5.stackvm import Address, Argument, Call, Code, Operation

__all__ = [
    "BINARY",
    "K210",
    "NEWEST",
    "REDUCE",
    "RELEASES",
    "STACKVM",
    "UNARY",
    "VERSION",
    "Address",
    "Argument",
    "Call",
    "Code",
    "DataType",
    "Function",
    "Kind",
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
    "Signature",
    "TensorType",
    "offsets",
    "padding_length",
    "read",
    "signatures",
    "unary_number",
    "write",
]
