"""kmodel version 3: bytes to dataclasses and back, byte for byte (`kmodel-v3.md`)."""

from kpuir.kmodel.v3.layers import (
    LAYERS,
    SENDS,
    FullyConnected,
    K210AddPadding,
    K210Conv,
    K210Upload,
    Layer,
)
from kpuir.kmodel.v3.model import VERSION, Model, read, write

__all__ = [
    "LAYERS",
    "SENDS",
    "VERSION",
    "FullyConnected",
    "K210AddPadding",
    "K210Conv",
    "K210Upload",
    "Layer",
    "Model",
    "read",
    "write",
]
