"""Layers that work on bands of rows, one band after another, because KPU RAM does not hold their maps at once.

A region is some operations on feature maps that do the same to every band: what a band lacks of its neighbours spoils
rows at its borders, one more with every 3x3 kernel, because there the engine pads (`kpu-hardware.md` 6.1). Bands
overlap by as many rows, so that each row of a result is right in one of them. Nothing in between is ever cropped.

Rows are counted in units: so many rows that every map of the region gets whole ones of them, whatever is pooled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache, cached_property
from itertools import pairwise
from math import lcm
from typing import TYPE_CHECKING

from xdsl.ir import BlockArgument, Operation, SSAValue

from kpuir.analysis import estimates
from kpuir.analysis.estimates import Cost
from kpuir.dialects import kpu
from kpuir.target import k210
from kpuir.target.k210 import K210, CpuCosts, PoolKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OPS = (kpu.LayerOp, kpu.ConcatOp, kpu.ChannelSliceOp, kpu.PadOp, kpu.CropOp)
_BYTES_PER_MILLISECOND = 50e3
"""Of a kmodel: bands repeat layers, and copies are layers, and all have to be in main RAM."""

_SLACK = 8
"""This part of KPU RAM is left free where that is possible: what fits together does not always find places."""


class Place(Enum):
    """Where a whole map is that enters a region or leaves it."""

    KPU = auto()
    MAIN = auto()
    BOTH = auto()


Places = Mapping[SSAValue, Place]


@dataclass(frozen=True)
class Limits:
    """The bytes of KPU RAM, and the most pixels per channel that a layer may send to main RAM (None: any number)."""

    ram: int
    sent: int | None = None

    def may_send(self, value: SSAValue) -> bool:
        """Whether a layer may send its result."""
        _, _, height, width = kpu.size4(value.type)
        return self.sent is None or height * width <= self.sent


def is_tileable(op: Operation) -> bool:
    """Whether an operation on feature maps does the same to all rows."""
    if not isinstance(op, _OPS) or not isinstance(op.results[0].type, kpu.FeatureMapType):
        return False
    if isinstance(op, kpu.PadOp | kpu.CropOp):
        top, _, bottom, _ = (op.pads if isinstance(op, kpu.PadOp) else op.crops).get_values()
        if top or bottom:
            return False
    return all(kpu.size4(value.type)[0] == 1 for value in (*op.operands, *op.results))


def exceeds(op: Operation, limits: Limits) -> bool:
    """Whether an operation reads, writes or sends more than KPU RAM or the engine takes, and bands could be less."""
    if not is_tileable(op):
        return False
    copied = [value for value in op.operands if _is_copied(value, op)]
    if isinstance(op, kpu.LayerOp) and not k210.height_rule(kpu.size4(op.input.type)[2]).ok:
        return True
    if _is_downloaded(op.results[0]) and not limits.may_send(op.results[0]):
        return True
    return max((_bytes(_held(value)) for value in copied), default=0) + _bytes(op.results[0]) > limits.ram


def _held(value: SSAValue) -> SSAValue:
    """The map that is in KPU RAM while a value is read: all of what a slice is of, unless that was written in parts."""
    whole = value
    while isinstance(whole.owner, kpu.ChannelSliceOp):
        whole = whole.owner.input
    return value if isinstance(whole.owner, kpu.ConcatOp) else whole


def beside(op: Operation, ram: int) -> list[Operation]:
    """The layers that read slices of a map, where one of them exceeds KPU RAM for its size: all need the same bands."""
    whole = _held(op.operands[0])
    if whole is op.operands[0] or _bytes(whole) + _bytes(op.results[0]) <= ram:
        return []
    slices = [use.operation for use in whole.uses if isinstance(use.operation, kpu.ChannelSliceOp)]
    layers = [use.operation for each in slices for use in each.output.uses if isinstance(use.operation, kpu.LayerOp)]
    return [*slices, *layers]


def _is_copied(value: SSAValue, op: Operation) -> bool:
    """Whether a layer reads an operand to make the result: not where it is a view, or written where it belongs."""
    owner = value.owner
    if isinstance(op, kpu.ConcatOp):
        places = [use.operation for use in value.uses if isinstance(use.operation, kpu.ConcatOp)]
        elsewhere = places.count(op) > 1 or any(other.is_before_in_block(op) for other in places)
        view = isinstance(owner, kpu.ChannelSliceOp | kpu.FoldRowsOp | kpu.LinesOp)
        return elsewhere or view or (isinstance(owner, kpu.UploadOp) and isinstance(owner.input, BlockArgument))
    if isinstance(op, kpu.CropOp):
        return op.crops.get_values()[1] > 0
    return not isinstance(op, kpu.ChannelSliceOp)


def whole_cost(op: Operation) -> Cost:
    """What an operation takes on whole maps: nothing unless it is a layer."""
    return _layer(op, kpu.size4(op.operands[0].type)[2]) if isinstance(op, kpu.LayerOp) else estimates.NOTHING


@dataclass(frozen=True)
class Bands:
    """How a region is computed: where whole maps are, the first unit of each band, and units a band."""

    region: "Region"
    places: Places
    starts: tuple[int, ...]
    units: int
    cost: Cost

    def rows(self, value: SSAValue, band: int) -> tuple[int, int]:
        """The first row of a map in a band, and the first one behind it."""
        step = self.region.unit_rows(value)
        last = band == len(self.starts) - 1
        end = kpu.size4(value.type)[2] if last else (self.starts[band] + self.units) * step
        return self.starts[band] * step, end

    def kept(self, value: SSAValue) -> list[tuple[int, int]]:
        """The rows of a result that are taken from each band."""
        return _kept(self.region, value, self.starts, self.units)


class Catalog:
    """What many regions ask of the same operations and maps, looked up once. The module does not change meanwhile."""

    def __init__(self) -> None:
        self.size = cache(lambda value: kpu.size4(value.type))
        self.operands: Callable[[Operation], tuple[SSAValue, ...]] = cache(lambda op: tuple(dict.fromkeys(op.operands)))
        self.users = cache(lambda value: [use.operation for use in value.uses])
        self.pool = cache(_pool)
        self.layer = cache(_layer)
        self.row_bytes = cache(lambda value: _bytes(value, 1))


class Region:
    """Operations in order, with what they read and what others read of them."""

    def __init__(self, ops: Sequence[Operation], catalog: Catalog) -> None:
        self.ops, self.inside, self.catalog = tuple(ops), frozenset(ops), catalog
        operands = [catalog.operands(op) for op in ops]
        self.edges = [(op, sources, op.results[0]) for op, sources in zip(ops, operands, strict=True)]
        self.made = dict.fromkeys(result for _, _, result in self.edges)
        self.inputs = tuple(dict.fromkeys(value for each in operands for value in each if value not in self.made))
        self.outputs = tuple(value for value in self.made if not self.inside.issuperset(catalog.users(value)))
        self.values = *self.inputs, *self.made
        self.sizes = {value: catalog.size(value) for value in self.values}
        self._layers: dict[tuple[int, int], Cost] = {}

    def readers(self, value: SSAValue) -> list[Operation]:
        """What reads a map outside of the region."""
        return [user for user in self.catalog.users(value) if user not in self.inside]

    @cached_property
    def scales(self) -> "dict[SSAValue, int] | None":
        """How many rows of the finest map are one of each map; None where maps have no common measure."""
        found: dict[SSAValue, int] = {self.edges[0][2]: 0}  # the logarithm, as strides are 1, 2 or 4
        edges = [
            (source, result, self.catalog.pool(op).stride.bit_length() - 1)
            for op, sources, result in self.edges
            for source in sources
        ]
        while True:
            before = len(found)
            for source, result, stride in edges:
                if source in found:
                    found.setdefault(result, found[source] + stride)
                elif result in found:
                    found[source] = found[result] - stride
            if len(found) == before:
                break
        if not all(s in found and r in found and found[r] == found[s] + stride for s, r, stride in edges):
            return None
        finest = min(found.values())
        return {value: 1 << (scale - finest) for value, scale in found.items()}

    @cached_property
    def margins(self) -> dict[SSAValue, tuple[int, int]]:
        """How many rows of each map are spoilt at the top of a band and at its bottom, where it has neighbours."""
        found: dict[SSAValue, tuple[int, int]] = dict.fromkeys(self.inputs, (0, 0))
        for op, sources, result in self.edges:
            tops, bottoms = zip(*(found[value] for value in sources), strict=True)
            found[result] = _spoilt(op, max(tops), max(bottoms))
        return found

    @cached_property
    def unit(self) -> int:
        """The rows of the finest map that are a unit."""
        assert self.scales is not None
        return lcm(*self.scales.values())

    @cached_property
    def _unit_rows(self) -> dict[SSAValue, int]:
        assert self.scales is not None
        return {value: self.unit // scale for value, scale in self.scales.items()}

    def unit_rows(self, value: SSAValue) -> int:
        """The rows of a map that are a unit."""
        return self._unit_rows[value]

    @cached_property
    def units(self) -> int:
        """How many whole units all maps have; the last band takes what is left over too."""
        return min(self.sizes[value][2] // self.unit_rows(value) for value in self.values)

    def last_rows(self, start: int) -> dict[SSAValue, int]:
        """How many rows of each map a band has that begins at a unit and goes to the end."""
        return {value: self.sizes[value][2] - start * self.unit_rows(value) for value in self.values}

    @cached_property
    def overlap(self) -> int:
        """By how many units two bands overlap."""
        return max(-(-sum(self.margins[value]) // self.unit_rows(value)) for value in self.outputs)

    @cached_property
    def least(self) -> int:
        """The least units of a band: more than the overlap, and the engine's least rows."""
        fewest = max(-(-K210.MIN_HEIGHT // self.unit_rows(value)) for value in self.values)
        return max(fewest, self.overlap + 1)

    def layers(self, units: int, end: int) -> Cost:
        """What all layers of a band take, of one at the end of the maps with `end` set to all units."""
        if (units, end) not in self._layers:
            cost = estimates.NOTHING
            for op, (source, *_), _ in self.edges:
                if isinstance(op, kpu.LayerOp):
                    rows = units * self.unit_rows(source)
                    more = self.sizes[source][2] - end * self.unit_rows(source) if end else 0
                    cost += self.catalog.layer(op, rows + more)
            self._layers[units, end] = cost
        return self._layers[units, end]

    @cached_property
    def tallest(self) -> int:
        """The most units of a band: fewer than all, and the engine's most rows."""
        return min(self.units - 1, *(self.most_rows(value, K210.MAX_HEIGHT) for value in self.values))

    def most_rows(self, value: SSAValue, rows: int) -> int:
        """The most units of a band that has up to so many rows of a map."""
        step = self.unit_rows(value)
        return (rows - self.sizes[value][2] + self.units * step) // step

    @cached_property
    def lives(self) -> list[tuple[SSAValue, int, int]]:
        """The maps of a band that have bytes of their own, with the first and the last operation they are alive at.

        Parts of a concatenation are written where they belong, and slices are views.
        """
        roots: dict[SSAValue, SSAValue] = {}
        for op in reversed(self.ops):
            if isinstance(op, kpu.ConcatOp):
                for operand in op.inputs:
                    roots.setdefault(operand, roots.get(op.output, op.output))
        for op in self.ops:
            if isinstance(op, kpu.ChannelSliceOp):
                roots[op.output] = roots.get(op.input, op.input)
        lives: dict[SSAValue, tuple[int, int]] = {}
        for step, (_, sources, result) in enumerate(self.edges):
            for value in (*sources, result):
                root = roots.get(value, value)
                lives[root] = lives.get(root, (step, step))[0], step
        return [(value, *life) for value, life in lives.items()]

    @cached_property
    def busy(self) -> "NDArray[np.int64]":
        """Of each operation the bytes that all maps of a band take meanwhile: of one unit, and of what is left over."""
        return sum((self._busy(*life) for life in self.lives), self._busy(self.values[0], 0, -1))

    def _busy(self, value: SSAValue, first: int, last: int) -> "NDArray[np.int64]":
        import numpy as np

        step, height = self.unit_rows(value), self.sizes[value][2]
        busy = np.zeros((2, len(self.ops)), np.int64)
        busy[0, first : last + 1] = self.catalog.row_bytes(value) * step
        busy[1, first : last + 1] = self.catalog.row_bytes(value) * (height - self.units * step)
        return busy

    def most_units(self, room: int, places: Places) -> int:
        """The most units a band can have that takes at most `room` bytes beside whole maps, 0 if none."""
        busy = self.busy
        for value, first, last in self.lives:
            if places.get(value) is Place.KPU and value not in self.made and _shares_lines(value):
                busy = busy - self._busy(value, first, last)
        return max(int(((room - busy[1]) // busy[0].clip(1)).min()), 0)


def plan(region: Region, limits: Limits, alive: int = 0) -> Bands | None:
    """The best way to compute a region in bands within the limits, None where there is none.

    `alive` bytes of other maps are to be there meanwhile, or have to wait in main RAM.
    """
    if region.scales is None or region.units <= region.least:
        return None
    options = {value: _input_places(value, limits) for value in region.inputs}
    options |= {value: _output_places(region, value) for value in region.outputs}
    best: Bands | None = None
    for start in (0, -1):
        places = {value: choice[start] for value, choice in options.items()}
        best = _cheaper(best, _with_places(region, limits, alive, places))
    for value, place in [(value, place) for value, choice in options.items() for place in choice]:
        if best is not None and place is not best.places[value]:
            best = _cheaper(best, _with_places(region, limits, alive, {**best.places, value: place}))
    return best


def _cheaper(one: Bands | None, other: Bands | None) -> Bands | None:
    if one is None or (other is not None and price(other.cost) < price(one.cost)):
        return other
    return one


def price(cost: Cost) -> float:
    """Milliseconds, with those that the bytes of layers are worth."""
    return cost.milliseconds + cost.bytes / _BYTES_PER_MILLISECOND


def _input_places(value: SSAValue, limits: Limits) -> list[Place]:
    match value.owner:
        case kpu.LayerOp() as owner:  # what it may not send at once it sends in bands
            possible = limits.may_send(value) or is_tileable(owner)
        case kpu.UploadOp() as owner:
            possible = limits.may_send(value) or not isinstance(owner.input, BlockArgument)
        case _:
            possible = False
    return [Place.KPU, Place.MAIN] if possible else [Place.KPU]


def _output_places(region: Region, value: SSAValue) -> list[Place]:
    sent = [isinstance(user, kpu.DownloadOp) for user in region.readers(value)]
    if all(sent):
        return [Place.MAIN]
    here = Place.BOTH if any(sent) else Place.KPU
    return [here, Place.MAIN] if isinstance(value.owner, kpu.LayerOp) else [here]


def _with_places(region: Region, limits: Limits, alive: int, places: Places) -> Bands | None:
    """The fewest bands that fit."""
    ram = limits.ram
    whole = sum(map(_bytes, {_held(value) for value, place in places.items() if place is not Place.MAIN}))
    sent = [value for value, place in places.items() if value in region.made and place is not Place.KPU]
    overlap, most = region.overlap, region.tallest
    if limits.sent is not None:
        most = min([most, *(region.most_rows(value, limits.sent // region.sizes[value][3]) for value in sent)])
    low = min(region.most_units(ram - ram // _SLACK - whole, places), most)
    if low < region.least:
        low = min(region.most_units(ram - whole, places), region.least, most)
    if low < region.least:
        return None
    count = -(-(region.units - overlap) // (low - overlap))
    units = max(-(-(region.units + (count - 1) * overlap) // count), region.least)
    last = region.units - units
    starts = tuple(sorted({min(band * (units - overlap), last) for band in range(count)}))
    for value, place in places.items():
        if value in region.made and place is not Place.MAIN:
            kept = _kept(region, value, starts, units)
            if min(end - first for first, end in kept) < K210.MIN_HEIGHT:
                return None
    excess = whole + int((units * region.busy[0] + region.busy[1]).max()) + alive - ram
    return Bands(region, places, starts, units, _cost(region, places, starts, units, excess))


def _kept(region: Region, value: SSAValue, starts: Sequence[int], units: int) -> list[tuple[int, int]]:
    """The rows of a result that are taken from each band: its own are right between its margins."""
    step, (top, bottom) = region.unit_rows(value), region.margins[value]
    height = region.sizes[value][2]
    cuts = [0, *((start + units) * step - bottom for start in starts[:-1]), height]
    for index in range(len(cuts) - 2, 0, -1):  # few rows are not copied: leave more to the last bands
        least = starts[index] * step + top
        cuts[index] = max(min(cuts[index], cuts[index + 1] - K210.MIN_HEIGHT), least)
    return list(pairwise(cuts))


def _cost(region: Region, places: Places, starts: Sequence[int], units: int, excess: int) -> Cost:
    """All bands, and the ways of the maps that enter and leave; `excess` bytes of others have to wait."""
    total = Cost(1e-6 * max(excess, 0) * (CpuCosts.DOWNLOAD + CpuCosts.UPLOAD))
    total += region.layers(units, 0) * (len(starts) - 1) + region.layers(units, region.units)
    for value, place in places.items():
        step, made = region.unit_rows(value), value in region.made
        rows, last = units * step, region.sizes[value][2] - starts[-1] * step
        way = _leaving if made else _entering
        total += way(region.sizes[value], place, rows) * (len(starts) - 1) + way(region.sizes[value], place, last)
        whole = region.sizes[value]
        if made:
            sent_back = place is Place.MAIN and _is_read(region, value)
            total += Cost(estimates.upload(whole) if sent_back else 0.0)
        elif place is Place.MAIN and isinstance(value.owner, kpu.LayerOp) and not _is_downloaded(value):
            total += Cost(estimates.download(whole))
        elif place is Place.KPU and isinstance(value.owner, kpu.UploadOp) and not _is_given(value.owner):
            total += Cost(estimates.upload(whole))
    return total


def _is_read(region: Region, value: SSAValue) -> bool:
    """Whether the KPU reads a result of a region."""
    return any(not isinstance(user, kpu.DownloadOp) for user in region.readers(value))


def _entering(size: kpu.Size4, place: Place, rows: int) -> Cost:
    """What the rows of a band take to become a map of their own."""
    _, channels, _, width = size
    band = (1, channels, rows, width)
    if place is Place.MAIN:
        return Cost(estimates.move(band) + estimates.upload(band))
    return estimates.NOTHING if k210.is_view(channels, width, 1, 1) else _copies(band)


def _leaving(size: kpu.Size4, place: Place, rows: int) -> Cost:
    """What the rows of a band take to be part of the whole."""
    _, channels, _, width = size
    band = (1, channels, rows, width)
    total = estimates.NOTHING if place is Place.MAIN else _copies(band)
    if place is Place.KPU:
        return total
    return total + Cost(estimates.download(band) + estimates.move(band) + estimates.elements(band, CpuCosts.COPY))


def _copies(shape: tuple[int, int, int, int]) -> Cost:
    """Layers that copy rows, those of each group of channels."""
    _, channels, rows, width = shape
    group = k210.row_layout(width).channels_per_line
    return estimates.layers((1, group, rows, width), group, depthwise=True, count=-(-channels // group))


def _layer(op: kpu.LayerOp, rows: int) -> Cost:
    _, channels, _, width = kpu.size4(op.input.type)
    outputs = kpu.size4(op.output.type)[1]
    return estimates.layers((1, channels, rows, width), outputs, op.integer("kernel_size"), op.is_depthwise)


def _pool(op: Operation) -> PoolKind:
    return op.pool_kind if isinstance(op, kpu.LayerOp) else PoolKind.BYPASS


def _spoilt(op: Operation, top: int, bottom: int) -> tuple[int, int]:
    """The rows spoilt in the result of an operation by those spoilt in its input and by its kernel."""
    if not isinstance(op, kpu.LayerOp):
        return top, bottom
    halo = op.integer("kernel_size") // 2
    pool = op.pool_kind
    stride, window = pool.stride, pool.window
    below = bottom + halo if stride == 1 else bottom + halo + stride - 1
    if stride == 1:
        return top + halo, below + window - 1
    return -(-(top + halo) // stride), (bottom + halo if window == 1 else below) // stride


def _shares_lines(value: SSAValue) -> bool:
    """Whether rows of a map are a part of its lines."""
    _, channels, _, width = kpu.size4(value.type)
    return k210.is_view(channels, width, 1, 1)


def _bytes(value: SSAValue, rows: int | None = None) -> int:
    """The bytes of a map, or of so many rows of it."""
    batch, channels, height, width = kpu.size4(value.type)
    return k210.feature_map_bytes(batch, channels, height if rows is None else rows, width)


def _is_downloaded(value: SSAValue) -> bool:
    return any(isinstance(use.operation, kpu.DownloadOp) for use in value.uses)


def _is_given(op: kpu.UploadOp) -> bool:
    """Whether an input of the model is uploaded, which the caller may do."""
    return isinstance(op.input, BlockArgument) and all(isinstance(use.operation, kpu.UploadOp) for use in op.input.uses)
