"""`kpu-tile`: layers whose maps exceed KPU RAM work on bands of rows.

Before: `kpu.layer`s on feature maps of any size. After: every layer's input and output fit KPU RAM together; where they
did not, the layer and those around it are done band by band, each band with as many rows of its neighbours as 3x3
kernels look across its borders. The same integers come out, and where everything fits nothing changes.

    %y = kpu.layer %x {...} : (!kpu.fmap<1x3x240x320, ...>) -> !kpu.fmap<1x32x240x320, ...>       // 0.2 and 2.3 MiB
    %z = kpu.layer %y {..., pool = #kpu.pool<max_2_s2>}                                           // 0.7 MiB
      =>
    %x0 = kpu.crop %x {crops = array<i64: 0, 0, 156, 0>}
    %y0 = kpu.layer %x0 {...} : (!kpu.fmap<1x3x84x320, ...>) -> !kpu.fmap<1x32x84x320, ...>
    %z0 = kpu.layer %y0 {..., pool = #kpu.pool<max_2_s2>}
    ...                                                                                           // two more bands
    %z = kpu.concat_rows %z0, %z1, %z2 {crops = array<i64: 0, 1, 1, 1, 1, 0>}

How many layers are done together, and whether the maps they read and write are whole in KPU RAM or in main RAM, is
what takes least time (`kpuir.analysis.bands`, `kpu-hardware.md` 10): a map that never exists whole goes nowhere.

Raises DoesNotFitError for a layer that no band of is small enough.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from kpuir.analysis import bands
from kpuir.analysis.bands import Bands, Catalog, Limits, Place, Region
from kpuir.dialects import kpu, ktensor
from kpuir.errors import DoesNotFitError
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.target import k210

_MOST_AROUND = 64
"""Operations in front of a layer and behind it, each, that are considered to be done with it band by band."""
_MOST_RESULTS = 3
"""A region with more results, such as half of the parts of a layer, is better with more or fewer of the operations."""
_PATIENCE = 12
"""How many more regions are tried where that was better the last time."""
_NEVER = 1e6
"""The price of a layer that no band of fits by itself."""


def _above(ops: Sequence[Operation], layer: Operation) -> list[Operation]:
    """What a layer depends on, nearest first, without what is beyond something that has to be done as a whole."""
    inside, barred = {layer}, set[Operation]()
    above: list[Operation] = []
    for op in reversed(ops):
        users = {use.operation for value in op.results for use in value.uses}
        if not users & (inside | barred):
            continue
        if users & barred or not bands.is_tileable(op) or len(above) == _MOST_AROUND:
            barred.add(op)
        else:
            inside.add(op)
            above.append(op)
    return above


def _below(ops: Sequence[Operation], region: set[Operation]) -> list[Operation]:
    """What depends on a region, nearest first, without what is beyond something that has to be done as a whole."""
    inside, barred = set(region), set[Operation]()
    below: list[Operation] = []
    for op in ops:
        sources = {value.owner for value in op.operands}
        if op in region or not sources & (inside | barred):
            continue
        if sources & barred or not bands.is_tileable(op) or len(below) == _MOST_AROUND:
            barred.add(op)
        else:
            inside.add(op)
            below.append(op)
    return below


class _Lives:
    """The steps at which maps are made and used the last time."""

    def __init__(self, ops: Sequence[Operation]) -> None:
        self.steps = {op: step for step, op in enumerate(ops)}
        self.maps = [
            (value, step, max(self.steps[use.operation] for use in value.uses), value.type.byte_size)
            for op, step in self.steps.items()
            for value in op.results
            if isinstance(value.type, kpu.FeatureMapType) and value.first_use is not None
        ]

    def around(self, region: Region) -> int:
        """The bytes of other maps that are made before a region is done and used after it began."""
        first, last = self.steps[region.ops[0]], self.steps[region.ops[-1]]
        own = set(region.values)
        return sum(size for value, made, used, size in self.maps if made < last and used > first and value not in own)


_Found = tuple[float, Bands]


def _cheapest(candidates: Iterable[_Found | None]) -> _Found | None:
    """The cheapest of candidates that grow, as far as it seems worth looking."""
    best, waited = None, 0
    for candidate in candidates:
        waited += 1
        if candidate is not None and (best is None or candidate[0] < best[0]):
            best, waited = candidate, 0
        if best is not None and waited > _PATIENCE:
            break
    return best


def _best(ops: Sequence[Operation], layer: Operation, exceeding: Sequence[Operation], limits: Limits) -> Bands:
    """The best way to do a layer in bands, with those around it that are better done with it.

    What remains of other layers that exceed KPU RAM is taken to be done one by one. Raises DoesNotFitError.
    """
    catalog = Catalog()
    elsewhere = {op: bands.price(bands.whole_cost(op)) for op in ops}
    for op in exceeding:
        alone = bands.plan(Region([op], catalog), limits)
        elsewhere[op] = _NEVER if alone is None else bands.price(alone.cost)
    index, total = ops.index(layer), sum(elsewhere.values())
    above, lives = _above(ops[:index], layer), _Lives(ops)

    def priced(region: Region) -> _Found | None:
        plan = bands.plan(region, limits, lives.around(region))
        others = total - sum(elsewhere[op] for op in region.ops)
        return None if plan is None else (bands.price(plan.cost) + others, plan)

    def grown(inside: set[Operation]) -> Iterator[_Found | None]:
        below = _below(ops[min(map(lives.steps.__getitem__, inside)) :], inside)
        for behind in range(len(below) + 1):
            region = Region(sorted(inside | set(below[:behind]), key=lives.steps.__getitem__), catalog)
            if not behind or len(region.outputs) <= _MOST_RESULTS:
                yield priced(region)

    seed = {layer, *bands.beside(layer, limits.ram)}
    best = _cheapest(_cheapest(grown(seed | set(above[:front]))) for front in range(len(above) + 1))
    if best is None:
        raise DoesNotFitError(
            f"{_reason(layer, limits)}; {_maps(layer)}\n"
            f"tried: bands of rows, of this layer and with those around it; any takes at least {_least(layer)} bytes",
            location=layer_name(layer),
            hint="use a smaller input (kpu-compile --suggest-input-size finds the largest that fits), fewer channels, "
            "or pool or stride in this layer so that less is stored",
        )
    return best[1]


def _sizes(layer: Operation) -> tuple[int, int]:
    """The bytes that a layer reads and writes."""
    source, result = (k210.feature_map_bytes(*kpu.size4(v.type)) for v in (layer.operands[0], layer.results[0]))
    return source, result


def _maps(layer: Operation) -> str:
    """The maps that a layer reads and writes, with their rows of KPU RAM."""
    source, result = (
        f"{'x'.join(map(str, kpu.size4(value.type)))} in {size // k210.K210.LINE_BYTES} rows of {k210.K210.LINE_BYTES}"
        for value, size in zip((layer.operands[0], layer.results[0]), _sizes(layer), strict=True)
    )
    return f"input {source}, output {result}"


def _least(layer: Operation) -> int:
    """The bytes that the smallest band of a layer reads and writes: no map has fewer rows than the engine takes."""
    sizes = (kpu.size4(value.type) for value in (layer.operands[0], layer.results[0]))
    return sum(
        k210.feature_map_bytes(batch, channels, min(rows, k210.K210.MIN_HEIGHT), columns)
        for batch, channels, rows, columns in sizes
    )


def _reason(layer: Operation, limits: Limits) -> str:
    """The rule that a layer breaks."""
    _, _, *source = kpu.size4(layer.operands[0].type)
    _, _, *result = kpu.size4(layer.results[0].type)
    rules = k210.ram_rule(*_sizes(layer), limits.ram), k210.height_rule(source[0]), k210.dma_rule(*result)
    return next((rule.reason for rule in rules if not rule.ok), "KPU RAM does not hold what it is a slice of")


class _Tiling:
    """Replaces a region by its bands."""

    def __init__(self, plan: Bands, reason: str) -> None:
        self.plan, self.region, self.reason = plan, plan.region, reason
        self.builder = Builder(InsertPoint.before(self.region.ops[-1]))
        self.sources: dict[SSAValue, SSAValue] = {}

    def run(self) -> None:
        """Rewrite the function in place."""
        here: dict[SSAValue, list[SSAValue]] = {value: [] for value in self.region.outputs}
        sent: dict[SSAValue, list[SSAValue]] = {value: [] for value in self.region.outputs}
        for index in range(len(self.plan.starts)):
            band: dict[SSAValue, SSAValue] = {}
            for op in self.region.ops:
                for value in op.operands:
                    if value not in band:
                        band[value] = self._entering(op, value, index)
                result = op.results[0]
                band[result] = self._clone(op, band, index)
                if result in here:
                    here[result].append(band[result])
                    if self.plan.places[result] is not Place.KPU:
                        sent[result].append(self._leaving(result, band[result], index))
        self._move_readers()
        for value in self.region.outputs:
            self._join(value, here[value], sent[value])
        for op in reversed(self.region.ops):
            op.detach()
            op.erase()

    def _insert(self, op: Operation, layer: Operation) -> SSAValue:
        op.location = layer.location
        if isinstance(op, kpu.CropOp | ktensor.ConcatOp) and not isinstance(op.output.type, kpu.FeatureMapType):
            op.attributes[kpu.REASON] = StringAttr(self.reason)
        return self.builder.insert(op).results[0]

    def _clone(self, op: Operation, band: dict[SSAValue, SSAValue], index: int) -> SSAValue:
        """An operation on a band."""
        kind = op.results[0].type
        assert isinstance(kind, kpu.FeatureMapType)
        first, end = self.plan.rows(op.results[0], index)
        batch, channels, _, width = kpu.size4(kind)
        new = type(op).create(
            operands=[band[value] for value in op.operands],
            result_types=[
                kpu.FeatureMapType.of((batch, channels, end - first, width), kind.scale_value, kind.zero_point_value)
            ],
            properties=op.properties,
        )
        return self._insert(new, op)

    def _entering(self, op: Operation, value: SSAValue, index: int) -> SSAValue:
        """A band of a map that is not made in the region."""
        first, end = self.plan.rows(value, index)
        gone = (first, kpu.size4(value.type)[2] - end)
        if self.plan.places[value] is Place.KPU:
            return self._cropped(value, gone, op)
        return self._insert(kpu.UploadOp(self._cropped(self._in_main(value), gone, op)), op)

    def _cropped(self, value: SSAValue, gone: tuple[int, int], layer: Operation) -> SSAValue:
        """A map without rows at its top and bottom."""
        return self._insert(kpu.CropOp(value, (gone[0], 0, gone[1], 0)), layer) if any(gone) else value

    def _in_main(self, value: SSAValue) -> SSAValue:
        """A map that a layer made or that was uploaded, in main RAM."""
        if isinstance(value.owner, kpu.UploadOp):
            return value.owner.input
        if value not in self.sources:
            owner = value.owner
            assert isinstance(owner, kpu.LayerOp)
            downloads = (use.operation for use in value.uses if isinstance(use.operation, kpu.DownloadOp))
            found = next(downloads, None)
            if found is None:
                found = kpu.DownloadOp(value)
                found.location = owner.location
                Builder(InsertPoint.after(owner)).insert(found)
            self.sources[value] = found.results[0]
        return self.sources[value]

    def _leaving(self, value: SSAValue, band: SSAValue, index: int) -> SSAValue:
        """The rows of a band that are wanted in main RAM."""
        layer = value.owner
        assert isinstance(layer, Operation)
        (first, end), (top, bottom) = self.plan.rows(value, index), self.plan.kept(value)[index]
        return self._cropped(self._insert(kpu.DownloadOp(band), layer), (top - first, end - bottom), layer)

    def _join(self, value: SSAValue, here: Sequence[SSAValue], sent: Sequence[SSAValue]) -> None:
        """Let those who read a result read the whole that its bands make."""
        layer, crops = value.owner, list[int]()
        assert isinstance(layer, Operation)
        for index, (top, bottom) in enumerate(self.plan.kept(value)):
            first, end = self.plan.rows(value, index)
            crops += [top - first, end - bottom]
        readers, place = self.region.readers(value), self.plan.places[value]
        main = whole = value
        if place is not Place.KPU:
            joined = ktensor.ConcatOp(sent, 2)
            joined.attributes.update({key: number for key, number in layer.attributes.items() if key == kpu.NUMBER})
            main = self._insert(joined, layer)
        if place is not Place.MAIN:
            whole = self._insert(kpu.ConcatRowsOp(here, crops), layer)
        elif not all(isinstance(reader, kpu.DownloadOp) for reader in readers):
            whole = self._insert(kpu.UploadOp(main), layer)
        for reader in readers:
            if isinstance(reader, kpu.DownloadOp):
                reader.output.replace_all_uses_with(main)
                reader.detach()
                reader.erase()
            else:
                reader.operands = [whole if operand is value else operand for operand in reader.operands]

    def _move_readers(self) -> None:
        """Let what depends on the region, and stood in between, follow it."""
        block, last = self.region.ops[-1].parent, self.region.ops[-1]
        assert block is not None
        depending, between = set(self.region.ops), list[Operation]()
        for op in block.ops:
            if op is last:
                break
            if op not in depending and any(value.owner in depending for value in op.operands):
                depending.add(op)
                between.append(op)
        for op in reversed(between):
            op.detach()
            block.insert_op_after(op, last)


@dataclass(frozen=True)
class KpuTilePass(ModulePass):
    """Do layers band by band where KPU RAM does not hold their maps.

    `ram`: the bytes of KPU RAM to make do with; all there are unless given. `sent`: the most pixels per channel of what
    a layer sends to main RAM, any number unless given.
    """

    name = "kpu-tile"

    ram: int = k210.K210.KPU_RAM_BYTES
    sent: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place. Raises DoesNotFitError."""
        block, limits = entry_function(op).body.block, Limits(self.ram, self.sent)
        while exceeding := [each for each in block.ops if bands.exceeds(each, limits)]:
            largest = max(exceeding, key=lambda each: sum(_sizes(each)))
            plan = _best(list(block.ops), largest, exceeding, limits)
            _Tiling(plan, _reason(largest, limits)).run()
