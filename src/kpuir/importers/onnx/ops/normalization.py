"""Normalizations: by constants (batch), or by statistics of the values themselves, decomposed into simple ops."""

import math
from collections.abc import Sequence

import numpy as np
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.node import Node, Table

_SMALLEST_NORM = 1e-30


def batch_normalization(node: Node) -> SSAValue:
    """BatchNormalization in inference: a factor and an addend per channel."""
    if node.integer("training_mode", 0):
        node.refuse("training_mode = 1", "a model exported for inference")
    if any(node.output_names[1:]):
        node.refuse(f"its output {node.output_names[1]!r} is one of training", "a model exported for inference")
    scale, offset, mean, variance = (
        node.array(index, what).astype(np.float64)
        for index, what in ((1, "scale"), (2, "bias"), (3, "mean"), (4, "variance"))
    )
    for index, values in enumerate((scale, offset, mean, variance), start=1):
        node.require_finite(values, node.input_names[index])
    spread = variance + node.real("epsilon", 1e-5)
    if not (spread > 0).all():
        raise InvalidInputError(
            f"the variance {node.input_names[4]!r} has values that are negative, down to {float(np.min(variance)):g}",
            location=node.layer,
            hint="train or export the model again",
        )
    factor = scale / np.sqrt(spread)
    addend = offset - mean * factor
    shape = node.shape(0)
    if not node.integer("spatial", 1):
        sizes = (1, *shape[1:])
    else:
        sizes = (1, shape[1], *[1] * (len(shape) - 2)) if len(shape) > 1 else (1,)
    value = node.binary("mul", node.value(0), factor.reshape(sizes))
    return node.binary("add", value, addend.reshape(sizes))


def instance_normalization(node: Node) -> SSAValue:
    """InstanceNormalization: each channel of each image by its own mean and variance."""
    shape = node.shape(0)
    value, _, _ = _standardize(node, node.value(0), range(2, len(shape)), node.real("epsilon", 1e-5))
    return _per_channel(node, value, shape)


def group_normalization(node: Node) -> SSAValue:
    """GroupNormalization: groups of channels by their common mean and variance."""
    shape, groups = node.shape(0), node.integer("num_groups")
    if groups < 1 or shape[1] % groups:
        raise InvalidInputError(f"{shape[1]} channels cannot be divided into {groups} groups", location=node.layer)
    grouped = node.reshape(node.value(0), (shape[0], groups, math.prod(shape[1:]) // groups))
    value, _, _ = _standardize(node, grouped, [2], node.real("epsilon", 1e-5))
    if node.opset >= 21 or node.shape(1) == (shape[1],):
        return _per_channel(node, node.reshape(value, shape), shape)
    for kind, index in (("mul", 1), ("add", 2)):  # opset 18: one number per group
        value = node.binary(kind, value, node.reshape(node.value(index), (1, groups, 1)))
    return node.reshape(value, shape)


def layer_normalization(node: Node) -> Sequence[SSAValue]:
    """LayerNormalization: everything from `axis` on by its mean and variance; these are outputs 2 and 3."""
    rank = len(node.shape(0))
    axes = range(node.axis(node.integer("axis", -1), rank), rank)
    value, mean, inverse = _standardize(node, node.value(0), axes, node.real("epsilon", 1e-5))
    value = node.binary("mul", value, node.value(1))
    value = node.binary("add", value, node.value(2)) if node.has(2) else value
    return value, mean, inverse


def rms_normalization(node: Node) -> SSAValue:
    """RMSNormalization: x / sqrt(mean(x^2) + epsilon) * scale."""
    value = node.value(0)
    rank = len(node.shape(0))
    axes = list(range(node.axis(node.integer("axis", -1), rank), rank))
    power = node.reduce("mean", node.unary("square", value), axes)
    inverse = node.unary("rsqrt", node.binary("add", power, node.real("epsilon", 1e-5)))
    return node.binary("mul", node.binary("mul", value, inverse), node.value(1))


def mean_variance_normalization(node: Node) -> SSAValue:
    """MeanVarianceNormalization: (x - mean) / (standard deviation + 1e-9)."""
    value = node.value(0)
    axes = node.axes(node.integers("axes", [0, 2, 3]), len(node.shape(0)))
    centred = node.binary("sub", value, node.reduce("mean", value, axes))
    deviation = node.unary("sqrt", node.reduce("mean", node.unary("square", centred), axes))
    return node.binary("div", centred, node.binary("add", deviation, 1e-9))


def lp_normalization(node: Node) -> SSAValue:
    """LpNormalization for p = 1 and p = 2; zeros stay zeros."""
    power = node.integer("p", 2)
    if power not in (1, 2):
        node.refuse(f"p = {power}", "p = 1 and p = 2")
    value = node.value(0)
    axes = [node.axis(node.integer("axis", -1), len(node.shape(0)))]
    norm = node.reduce("sum", node.unary("abs" if power == 1 else "square", value), axes)
    norm = norm if power == 1 else node.unary("sqrt", norm)
    return node.binary("div", value, node.binary("max", norm, _SMALLEST_NORM))


def local_response_normalization(node: Node) -> SSAValue:
    """LRN: x / (bias + alpha * mean of x^2 over neighbouring channels) ^ beta, an average pool over channels."""
    beta, size = node.real("beta", 0.75), node.integer("size")
    value, shape = node.value(0), node.shape(0)
    image = node.reshape(node.unary("square", value), (shape[0], 1, shape[1], math.prod(shape[2:])))
    pads = ((size - 1) // 2, 0, size // 2, 0)
    mean = node.emit(ktensor.AveragePool2dOp(image, (size, 1), pads=pads, count_include_pad=True))
    scaled = node.binary("mul", node.reshape(mean, shape), node.real("alpha", 1e-4))
    base = node.binary("add", scaled, node.real("bias", 1.0))
    quarters = beta * 4
    if quarters != int(quarters) or not 0 < quarters <= 16:
        return node.binary("div", value, node.binary("pow", base, beta))
    return node.binary("div", value, _quarter_power(node, base, int(quarters)))


def _quarter_power(node: Node, base: SSAValue, quarters: int) -> SSAValue:
    """base ** (quarters / 4) as a product of the base, its root and the root of that."""
    parts: list[SSAValue] = [base] * (quarters // 4)
    if quarters % 4:
        root = node.unary("sqrt", base)
        parts += [root] if quarters % 4 >= 2 else []
        parts += [node.unary("sqrt", root)] if quarters % 2 else []
    result = parts[0]
    for part in parts[1:]:
        result = node.binary("mul", result, part)
    return result


def _standardize(
    node: Node, value: SSAValue, axes: Sequence[int], epsilon: float
) -> tuple[SSAValue, SSAValue, SSAValue]:
    """(x - mean) / sqrt(variance + epsilon) over some axes, the mean, and 1 over the root."""
    mean = node.reduce("mean", value, list(axes))
    centred = node.binary("sub", value, mean)
    variance = node.reduce("mean", node.unary("square", centred), list(axes))
    inverse = node.unary("rsqrt", node.binary("add", variance, epsilon))
    return node.binary("mul", centred, inverse), mean, inverse


def _per_channel(node: Node, value: SSAValue, shape: Sequence[int]) -> SSAValue:
    """value * scale + bias with inputs 1 and 2, one number of each per channel."""
    sizes = (1, shape[1], *[1] * (len(shape) - 2))
    value = node.binary("mul", value, node.reshape(node.value(1), sizes))
    return node.binary("add", value, node.reshape(node.value(2), sizes))


TABLE: Table = {
    "BatchNormalization": batch_normalization,
    "InstanceNormalization": instance_normalization,
    "GroupNormalization": group_normalization,
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "LpNormalization": lp_normalization,
    "LRN": local_response_normalization,
}
