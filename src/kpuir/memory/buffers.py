"""What allocation works on and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Buffer:
    """`size` bytes that must not be touched by others from step `first` to step `last`, both included.

    `name` is unique among buffers allocated together. The offset is a multiple of `alignment`, or `fixed_offset`.
    """

    name: str
    size: int
    first: int
    last: int
    alignment: int = 1
    fixed_offset: int | None = None

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"buffer {self.name} has {self.size} bytes")
        if self.first > self.last:
            raise ValueError(f"buffer {self.name} lives from step {self.first} to step {self.last}")
        if self.alignment < 1:
            raise ValueError(f"buffer {self.name} has alignment {self.alignment}")
        if self.fixed_offset is not None and (self.fixed_offset < 0 or self.fixed_offset % self.alignment):
            raise ValueError(
                f"buffer {self.name} is fixed at {self.fixed_offset}, which is not a multiple of {self.alignment}"
            )


@dataclass(frozen=True)
class Allocation:
    """The byte offset of each buffer by name, and how many bytes they take in all."""

    offsets: Mapping[str, int]
    peak: int
