"""Random float graphs of what convolutional networks consist of: odd and tiny maps, any padding, stride and group."""

from collections.abc import Callable, Sequence

import numpy as np
from xdsl.dialects.builtin import ModuleOp, TensorType, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, BlockArgument, Operation, Region, SSAValue

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import ActivationAttr, shape_of
from kpuir.ir.locations import named

Rng = np.random.Generator
Put = Callable[[Operation], SSAValue]
Step = Callable[[Put, Rng, SSAValue], SSAValue]

MOST_ELEMENTS = 6000

ACTIVATIONS = (
    ("relu",),
    ("relu6",),
    ("leaky_relu", 0.1),
    ("sigmoid",),
    ("hard_swish",),
    ("swish",),
    ("elu", 0.5),
    ("hard_sigmoid", 0.2, 0.5),
    ("clamp", -0.5, 1.5),
    ("gelu",),
    ("gelu_tanh",),
    ("mish",),
    ("softplus",),
    ("tanh",),
)


def module_of(shapes: Sequence[Sequence[int]], body: Callable[[Block, Put], list[SSAValue]]) -> ModuleOp:
    """A module whose @main has float32 arguments of the given shapes; every operation is named after its number."""
    kinds: list[Attribute] = [TensorType(f32, shape) for shape in shapes]
    block = Block(arg_types=kinds)

    def put(op: Operation) -> SSAValue:
        op.location = named(f"op{len(block.ops)}")
        block.add_op(op)
        return op.results[0]

    results = body(block, put)
    block.add_op(ReturnOp(*results))
    return ModuleOp([FuncOp("main", (kinds, [value.type for value in results]), Region(block))])


def arguments_of(module: ModuleOp) -> Sequence[BlockArgument]:
    return next(op for op in module.walk() if isinstance(op, FuncOp)).body.block.args


def samples_of(module: ModuleOp, rng: Rng) -> list[np.ndarray]:
    """A random array for each argument."""
    return [rng.uniform(-2, 2, shape_of(argument)).astype(np.float32) for argument in arguments_of(module)]


def undefined_operands(module: ModuleOp) -> list[str]:
    """Operations of @main with an operand that is not defined in front of them."""
    block = next(op for op in module.walk() if isinstance(op, FuncOp)).body.block
    defined: set[SSAValue] = set(block.args)
    wrong: list[str] = []
    for op in block.ops:
        if not all(operand in defined for operand in op.operands):
            wrong.append(op.name)
        defined.update(op.results)
    return wrong


def pick(rng: Rng, *choices: int) -> int:
    return int(rng.choice(choices))


def weight(put: Put, rng: Rng, *shape: int) -> SSAValue:
    spread = 1 / max(1.0, float(np.sqrt(np.prod(shape[1:]))))
    return put(ktensor.ConstantOp(rng.normal(0, spread, shape).astype(np.float32)))


def vector(put: Put, rng: Rng, size: int) -> SSAValue:
    return put(ktensor.ConstantOp(rng.uniform(-0.5, 0.5, size).astype(np.float32)))


def convolution(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    """Kernels of 1 to 3 of any shape, pads up to the kernel, strides up to 3, groups, with and without bias."""
    _, channels, height, width = shape_of(x)
    kernel = [pick(rng, 1, 2, 3), pick(rng, 1, 2, 3)] if rng.random() < 0.4 else [pick(rng, 1, 3, 3)] * 2
    pads = rng.integers(0, 3, 4).tolist()
    if rng.random() < 0.5:
        pads = [kernel[0] // 2, kernel[1] // 2] * 2
    pads[2] = max(pads[2], kernel[0] - height - pads[0])
    pads[3] = max(pads[3], kernel[1] - width - pads[1])
    strides = [pick(rng, 1, 2, 3), pick(rng, 1, 2)] if rng.random() < 0.3 else [pick(rng, 1, 2, 2)] * 2
    groups = pick(rng, *(g for g in (1, 1, 2, channels) if channels % g == 0))
    outputs = groups * pick(rng, 1, 2, 3) if groups < channels else channels * pick(rng, 1, 1, 2)
    bias = vector(put, rng, outputs) if rng.random() < 0.7 else None
    kernels = weight(put, rng, outputs, channels // groups, *kernel)
    return put(ktensor.Conv2dOp(x, kernels, bias, strides=strides, pads=pads, groups=groups))


def separable(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    """Depthwise at stride 2, activation, pointwise: MobileNet, padded as PyTorch or TensorFlow do."""
    _, channels, height, width = shape_of(x)
    same = [max((-(-size // 2) - 1) * 2 + 3 - size, 0) for size in (height, width)]
    pads = [1, 1, 1, 1] if rng.random() < 0.5 else [same[0] // 2, same[1] // 2, -(-same[0] // 2), -(-same[1] // 2)]
    kernels = weight(put, rng, channels, 1, 3, 3)
    x = put(ktensor.Conv2dOp(x, kernels, vector(put, rng, channels), strides=(2, 2), pads=pads, groups=channels))
    x = activation(put, rng, x)
    outputs = pick(rng, 4, 6, 8)
    return put(ktensor.Conv2dOp(x, weight(put, rng, outputs, channels, 1, 1), vector(put, rng, outputs)))


def activation(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    kind, *values = ACTIVATIONS[int(rng.integers(len(ACTIVATIONS)))]
    return put(ktensor.ActivationOp(x, ActivationAttr.of(kind, *values)))


def scalar_chain(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    """Some arithmetic with single numbers, as hand-written functions are exported."""
    for _ in range(2):
        number = put(ktensor.ConstantOp(np.full((1,) * 4, rng.uniform(0.5, 2), np.float32)))
        kind = str(rng.choice(["add", "sub", "mul", "div", "min", "max"]))
        swapped = kind != "div" and rng.random() < 0.5
        x = put(ktensor.BinaryOp(kind, *((number, x) if swapped else (x, number))))
    return put(ktensor.UnaryOp(str(rng.choice(["abs", "neg", "square", "sin"])), x))


def pool(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    _, _, height, width = shape_of(x)
    window = min(pick(rng, 2, 2, 3, 4), height, width)
    stride = pick(rng, 1, 2, window)
    pads = [0, 0, 0, 0] if rng.random() < 0.6 else [0, 0, min(1, window - 1), min(1, window - 1)]
    if rng.random() < 0.5:
        return put(ktensor.MaxPool2dOp(x, (window, window), strides=(stride, stride), pads=pads))
    counted = bool(rng.random() < 0.3)
    return put(
        ktensor.AveragePool2dOp(x, (window, window), strides=(stride, stride), pads=pads, count_include_pad=counted)
    )


def residual(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    channels = shape_of(x)[1]
    branch = put(ktensor.Conv2dOp(x, weight(put, rng, channels, channels, 3, 3), pads=(1, 1, 1, 1)))
    if rng.random() < 0.5:
        branch = activation(put, rng, branch)
    x = put(ktensor.BinaryOp(str(rng.choice(["add", "add", "sub", "mul", "max"])), x, branch))
    return activation(put, rng, x) if rng.random() < 0.6 else x


def branches(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    """Two convolutions and perhaps the value itself, side by side in channels."""
    channels = shape_of(x)[1]
    left = put(ktensor.Conv2dOp(x, weight(put, rng, pick(rng, 2, 3), channels, 1, 1)))
    right = put(ktensor.Conv2dOp(x, weight(put, rng, 4, channels, 3, 3), pads=(1, 1, 1, 1)))
    parts = [activation(put, rng, left), right, *([x] if rng.random() < 0.5 else [])]
    return put(ktensor.ConcatOp([parts[i] for i in rng.permutation(len(parts))], 1))


def resize(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    _, _, height, width = shape_of(x)
    mode, coordinates = (
        str(rng.choice(["nearest", "bilinear"])),
        str(rng.choice(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])),
    )
    size = (height * 2, width * 2) if rng.random() < 0.7 else (height + 1, max(width - 1, 1))
    nearest = str(rng.choice(["floor", "round_prefer_floor", "ceil"]))
    return put(ktensor.ResizeOp(x, size, mode=mode, coordinate_mode=coordinates, nearest_mode=nearest))


def depth_and_space(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    """A rearrangement that is possible, between pixels, channels and images, and back for the latter."""
    _, channels, height, width = shape_of(x)
    mode = str(rng.choice(["dcr", "crd"]))
    if channels % 4 == 0 and rng.random() < 0.5:
        return put(ktensor.DepthToSpaceOp(x, 2, mode))
    pads = (0, 1, height % 2, 1 + width % 2)
    if rng.random() < 0.5:
        images = put(ktensor.SpaceToBatchOp(x, (2, 2), pads))
        return put(ktensor.BatchToSpaceOp(images, (2, 2), pads))
    padded = put(ktensor.PadOp(x, (0, 0, 0, 1), (0, 0, height % 2, 1 + width % 2)))
    return put(ktensor.SpaceToDepthOp(padded, 2, mode))


def dense(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    """Every pixel's channels as a row, multiplied by a matrix."""
    _, channels, height, width = shape_of(x)
    rows = put(ktensor.TransposeOp(put(ktensor.ReshapeOp(x, (channels, height * width))), (1, 0)))
    if rng.random() < 0.5:
        rows = put(ktensor.ReshapeOp(rows, (1, height, width, channels)))
    outputs = pick(rng, 3, 4, 5)
    rows = put(ktensor.MatmulOp(rows, weight(put, rng, channels, outputs), vector(put, rng, outputs)))
    flat = put(ktensor.ReshapeOp(activation(put, rng, rows), (height * width, outputs)))
    return put(ktensor.ReshapeOp(put(ktensor.TransposeOp(flat, (1, 0))), (1, outputs, height, width)))


def classifier(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    """Two layers on all pixels at once and softmax."""
    flat = put(ktensor.ReshapeOp(x, (1, int(np.prod(shape_of(x))))))
    hidden = put(ktensor.MatmulOp(flat, weight(put, rng, shape_of(flat)[1], 10), vector(put, rng, 10)))
    scores = put(ktensor.MatmulOp(activation(put, rng, hidden), weight(put, rng, 10, 4)))
    return put(ktensor.SoftmaxOp(scores, 1, 1.0))


def prelu(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    slope = rng.uniform(0, 0.5, (shape_of(x)[1], 1, 1)).astype(np.float32)
    return put(ktensor.PReluOp(x, put(ktensor.ConstantOp(slope))))


def scale(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    """A factor for every channel, computed from the map itself (squeeze and excite)."""
    mean = put(ktensor.ReduceOp("mean", x, (2, 3)))
    channels = shape_of(x)[1]
    gate = put(ktensor.Conv2dOp(mean, weight(put, rng, channels, channels, 1, 1), vector(put, rng, channels)))
    return put(ktensor.BinaryOp("mul", x, put(ktensor.ActivationOp(gate, ActivationAttr.of("sigmoid")))))


def cut(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    """Part of the map, padded again."""
    shape = shape_of(x)
    starts = (0, 0, min(1, shape[2] - 1), 0)
    part = put(ktensor.SliceOp(x, starts, shape, (1, 1, 1, pick(rng, 1, 2))))
    value = float(rng.choice([0.0, 0.0, 0.5, -3.0]))
    return put(ktensor.PadOp(part, (0, 0, 0, 1), (0, 0, pick(rng, 0, 1), 0), value))


STEPS: tuple[Step, ...] = (
    convolution,
    convolution,
    convolution,
    separable,
    activation,
    scalar_chain,
    pool,
    pool,
    residual,
    branches,
    resize,
    depth_and_space,
    dense,
    prelu,
    scale,
    cut,
)


def random_graph(rng: Rng, steps: int = 6) -> ModuleOp:
    """A graph of one input and up to four outputs, valid, with values that stay within some hundreds."""

    def body(block: Block, put: Put) -> list[SSAValue]:
        x: SSAValue = convolution(put, rng, block.args[0])
        results: list[SSAValue] = []
        for index in rng.integers(0, len(STEPS), steps).tolist():
            y = STEPS[index](put, rng, x)
            if np.prod(shape_of(y)) > MOST_ELEMENTS or shape_of(y)[1] > 64:
                results.append(y)  # too large to go on from
                continue
            x = y
            if rng.random() < 0.1:
                results.append(x)
        results.append(classifier(put, rng, x) if rng.random() < 0.3 else x)
        return list(dict.fromkeys(results))

    shape = (1, pick(rng, 1, 3, 4), *(pick(rng, 1, 3, 5, 7, 8, 9, 12, 17) for _ in range(2)))
    return module_of([shape], body)
