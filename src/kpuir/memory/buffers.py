"""What allocation works on and what it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Buffer:
    """`size` bytes that must not be touched by others from step `first` to step `last`, both included.

    `name` is unique among buffers allocated together. The offset is a multiple of `alignment`, or `fixed_offset`.
    Buffers named in `apart` get other bytes even where their lives do not meet. A buffer with a `parent` is the bytes
    from `parent_offset` on of that one, which has no parent itself and lives at least as long as its parts.
    """

    name: str
    size: int
    first: int
    last: int
    alignment: int = 1
    fixed_offset: int | None = None
    apart: frozenset[str] = frozenset()
    parent: str | None = None
    parent_offset: int = 0

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
        if self.parent is not None and (self.fixed_offset is not None or self.apart):
            raise ValueError(f"buffer {self.name} is a part of {self.parent}, whose place and neighbours it has")


@dataclass(frozen=True)
class Allocation:
    """The byte offset of each buffer by name, and how many bytes they take in all.

    `bound`: no allocation takes fewer bytes. `nodes`: how far the exact search went to find out, 0 where it was not
    needed.
    """

    offsets: Mapping[str, int]
    peak: int
    bound: int = 0
    nodes: int = 0


def wholes(buffers: Sequence[Buffer]) -> list[Buffer]:
    """The buffers without parts of others; who has parts lives as long as any of them.

    Raises ValueError for two buffers of one name, and for a part that is not inside of a whole, or not aligned there.
    """
    found: dict[str, Buffer] = {}
    for buffer in buffers:
        if buffer.name in found:
            raise ValueError(f"two buffers are called {buffer.name}")
        found[buffer.name] = buffer
    for part in buffers:
        if part.parent is None:
            continue
        whole = found.get(part.parent)
        if whole is None or whole.parent is not None:
            raise ValueError(f"buffer {part.name} is a part of {part.parent}, which is not a whole buffer")
        if part.parent_offset < 0 or part.parent_offset + part.size > whole.size:
            raise ValueError(f"buffer {part.name} is not inside of the {whole.size} bytes of {whole.name}")
        if part.parent_offset % part.alignment or whole.alignment % part.alignment:
            raise ValueError(f"buffer {part.name} at {part.parent_offset} of {whole.name} is not aligned")
        found[whole.name] = replace(whole, first=min(whole.first, part.first), last=max(whole.last, part.last))
    return [found[buffer.name] for buffer in buffers if buffer.parent is None]
