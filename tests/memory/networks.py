"""The maps of well-known networks as buffers in KPU RAM, for allocation: how large each is, and how long it is needed.

Convolution, batch-norm and activation are one layer, as on the KPU, and a pool of 2 that follows is part of it. A map
is needed from the layer that makes it to the last that reads it; a layer's inputs and output are needed together. The
networks are built from their papers' tables; small details (paddings of odd sizes) may differ.
"""

from collections.abc import Callable, Iterator, Sequence

from kpuir.memory import Buffer
from kpuir.target.k210 import feature_map_bytes

Shape = tuple[int, int, int]


class Network:
    """Grows layer by layer; maps are numbers."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.shapes: list[Shape] = [(channels, height, width)]
        self.reads: list[Sequence[int]] = [()]

    def layer(self, inputs: Sequence[int], shape: Shape) -> int:
        """A layer that reads maps and makes one of a shape."""
        self.shapes.append(shape)
        self.reads.append(inputs)
        return len(self.shapes) - 1

    def conv(self, source: int, channels: int, stride: int = 1) -> int:
        """A convolution with padding; depthwise where `channels` is 0."""
        before, height, width = self.shapes[source]
        return self.layer((source,), (channels or before, -(-height // stride), -(-width // stride)))

    def up(self, source: int, channels: int) -> int:
        """A transposed convolution of stride 2."""
        _, height, width = self.shapes[source]
        return self.layer((source,), (channels, 2 * height, 2 * width))

    def concat(self, *sources: int) -> int:
        """A concatenation of channels, as a layer of its own; maps are cut to the smallest."""
        shapes = [self.shapes[source] for source in sources]
        height, width = min(shape[1] for shape in shapes), min(shape[2] for shape in shapes)
        return self.layer(sources, (sum(shape[0] for shape in shapes), height, width))

    def add(self, *sources: int) -> int:
        """A sum."""
        return self.layer(sources, self.shapes[sources[0]])

    def buffers(self) -> list[Buffer]:
        """One buffer for each map; what nobody reads is needed to the end."""
        end = len(self.shapes)
        last = [max((i for i, reads in enumerate(self.reads) if m in reads), default=end) for m in range(end)]
        return [Buffer(f"m{m}", feature_map_bytes(1, *self.shapes[m]), m, last[m], 64) for m in range(end)]


def mobilenet_v1(net: Network, width: float, classes: int = 1000) -> None:
    """Howard, 2017."""
    at = net.conv(0, int(32 * width), 2)
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for channels, stride in plan:
        at = net.conv(net.conv(at, 0, stride), int(channels * width))
    net.layer((at,), (classes, 1, 1))


def mobilenet_v2(net: Network, width: float) -> None:
    """Sandler, 2018."""
    at = net.conv(0, int(32 * width), 2)
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for factor, channels, count, stride in plan:
        for index in range(count):
            inside = net.conv(at, net.shapes[at][0] * factor) if factor > 1 else at
            out = net.conv(net.conv(inside, 0, stride if index == 0 else 1), int(channels * width))
            at = net.add(at, out) if index else out
    net.layer((net.conv(at, 1280),), (1000, 1, 1))


def yolov2_tiny(net: Network, width: float) -> None:
    """Redmon, 2016: pools of 2 are part of the layers in front of them."""
    at = 0
    for channels in (16, 32, 64, 128, 256):
        at = net.conv(at, int(channels * width), 2)
    for channels in (512, 1024, 1024):
        at = net.conv(at, min(1024, int(channels * width)))
    net.conv(at, 30)


def yolov2_tiny_pools(net: Network, width: float) -> None:
    """The same with pools as layers of their own."""
    at = 0
    for channels in (16, 32, 64, 128, 256):
        at = net.conv(net.conv(at, int(channels * width)), 0, 2)
    for channels in (512, 1024, 1024):
        at = net.conv(at, min(1024, int(channels * width)))
    net.conv(at, 30)


def yolov3_tiny(net: Network, width: float) -> None:
    """Redmon, 2018."""
    at, side = 0, 0
    for channels in (16, 32, 64, 128, 256):
        side = net.conv(at, int(channels * width)) if channels == 256 else side
        at = net.conv(side, 0, 2) if channels == 256 else net.conv(at, int(channels * width), 2)
    for channels in (512, 1024, 256):
        at = net.conv(at, min(1024, int(channels * width)))
    net.conv(net.conv(at, int(512 * width)), 30)
    joined = net.concat(net.up(net.conv(at, int(128 * width)), int(128 * width)), side)
    net.conv(net.conv(joined, int(256 * width)), 30)


def squeezenet(net: Network, width: float) -> None:
    """Iandola, 2016, version 1.0."""
    at = net.conv(net.conv(0, int(96 * width), 2), 0, 2)
    for index, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        inside = net.conv(at, int(squeeze * width))
        at = net.concat(net.conv(inside, int(4 * squeeze * width)), net.conv(inside, int(4 * squeeze * width)))
        at = net.conv(at, 0, 2) if index in (2, 6) else at
    net.conv(at, 1000)


def slim(net: Network, width: float, rfb: bool = False) -> None:
    """The face detectors of Linzaer, 2019: heads at four depths read what was made long before."""
    base = int(16 * width)
    at, outputs = net.conv(0, base, 2), list[int]()
    plan = [(2, 1), (2, 2), (2, 1), (4, 2), (4, 1), (4, 1), (4, 1), (8, 2), (8, 1), (8, 1), (16, 2), (16, 1)]
    for index, (channels, stride) in enumerate(plan):
        at = net.conv(net.conv(at, 0, stride), channels * base)
        if rfb and index == 6:
            branches = [net.conv(net.conv(net.conv(at, base // 2), base), base) for _ in range(3)]
            at = net.add(net.conv(net.concat(*branches), channels * base), net.conv(at, channels * base))
        if index in (6, 9, 11):
            outputs += [net.conv(net.conv(at, 0), count) for count in (6, 12)]
    at = net.conv(net.conv(net.conv(at, 4 * base), 0, 2), 16 * base)
    outputs += [net.conv(at, count) for count in (6, 12)]
    net.layer(outputs, (18, 1, 1))


def rfb(net: Network, width: float) -> None:
    """The same with a block of branches."""
    slim(net, width, rfb=True)


def resnet(net: Network, width: float, plan: Sequence[tuple[int, int]], stem: int) -> None:
    """He, 2015: two convolutions and a sum a block."""
    at = net.conv(0, int(plan[0][0] * width), stem)
    for channels, stride in plan:
        out = net.conv(net.conv(at, int(channels * width), stride), int(channels * width))
        same = net.shapes[at] == net.shapes[out]
        at = net.add(at if same else net.conv(at, int(channels * width), stride), out)
    net.layer((at,), (10, 1, 1))


def resnet8(net: Network, width: float) -> None:
    """The one of MLPerf Tiny."""
    resnet(net, width, [(16, 1), (32, 2), (64, 2)], 1)


def resnet18(net: Network, width: float) -> None:
    """With its stem of stride 4."""
    resnet(net, width, [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)], 4)


def unet(net: Network, width: float) -> None:
    """Ronneberger, 2015, three levels deep."""
    at, sides = 0, list[int]()
    for factor in (1, 2, 4):
        at = net.conv(net.conv(at, int(16 * factor * width)), int(16 * factor * width))
        sides.append(at)
        at = net.conv(at, 0, 2)
    at = net.conv(at, int(128 * width))
    for factor, side in zip((4, 2, 1), reversed(sides), strict=True):
        joined = net.concat(net.up(at, int(16 * factor * width)), side)
        at = net.conv(net.conv(joined, int(16 * factor * width)), int(16 * factor * width))
    net.conv(at, 2)


def densenet(net: Network, width: float, growth: int = 12, layers: int = 4) -> None:
    """Huang, 2016: every layer reads all before it in its block."""
    at = net.conv(0, int(24 * width), 2)
    for block in range(3):
        maps = [at]
        for _ in range(layers):
            joined = net.concat(*maps) if len(maps) > 1 else at
            maps.append(net.conv(joined, int(growth * width)))
        at = net.conv(net.concat(*maps), int(24 * width), 2 if block < 2 else 1)
    net.layer((at,), (10, 1, 1))


FAMILIES: tuple[Callable[[Network, float], None], ...] = (
    *(mobilenet_v1, mobilenet_v2, yolov2_tiny, yolov2_tiny_pools, yolov3_tiny, squeezenet, slim, rfb),
    *(resnet8, resnet18, unet, densenet),
)
RESOLUTIONS = (
    *((32, 32), (64, 64), (96, 96), (96, 128), (112, 112), (120, 160), (128, 128), (160, 160)),
    *((192, 192), (224, 224), (224, 320), (240, 320), (256, 256), (256, 320), (320, 480), (416, 416)),
)
WIDTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


def network(family: Callable[[Network, float], None], height: int, width: int, scale: float) -> list[Buffer]:
    """The buffers of one network."""
    net = Network(3, height, width)
    family(net, scale)
    return net.buffers()


def sweep() -> Iterator[tuple[str, list[Buffer]]]:
    """All of them by name, and the one for persons of MLPerf Tiny."""
    for family in FAMILIES:
        for height, width in RESOLUTIONS:
            for scale in WIDTHS:
                yield f"{family.__name__} x{scale} {height}x{width}", network(family, height, width, scale)
    for height, width in RESOLUTIONS:
        net = Network(1, height, width)
        mobilenet_v1(net, 0.25, classes=2)
        yield f"person {height}x{width}", net.buffers()
