"""Train the digit classifier of this example, in numpy alone, and write all of its files.

    pip install -e .[dev]          # numpy, scikit-learn (the data), onnx and Pillow (the files)
    python examples/digits/train.py

takes about a minute and writes, beside this script,

    digits.onnx      input  image  1x1x16x16, grey pixels in 0..1;  output  scores  1x10, probabilities of 0..9
    calibration/     20 images of the training set, for `kpu-compile --dataset`
    test.npz         300 images (`image`, 300x1x16x16 float32 in 0..1) and their digits (`label`) never trained on

The seed is fixed, so the same numpy on the same machine gives the same files. The data are scikit-learn's 1797
handwritten digits of 8x8 pixels, made twice as large because the KPU's smallest feature map is 4x4.
"""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits

HERE = Path(__file__).resolve().parent
SEED = 210
TEST_IMAGES = 300
CALIBRATION_IMAGES = 20
EPOCHS = 24
BATCH = 48


class Conv:
    """A 3x3 convolution with zero padding 1, a bias and ReLU; x: (N, IC, H, W)."""

    def __init__(self, name: str, random: np.random.Generator, channels_in: int, channels_out: int, stride: int = 1):
        self.name, self.stride = name, stride
        deviation = np.sqrt(2 / (9 * channels_in))
        self.weight = random.normal(0, deviation, (channels_out, channels_in, 3, 3)).astype(np.float32)
        self.bias = np.zeros(channels_out, np.float32)

    def forward(self, x):
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = sliding_window_view(padded, (3, 3), (2, 3))[:, :, :: self.stride, :: self.stride]
        self.shape = x.shape
        self.columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * 9)
        product = self.columns @ self.weight.reshape(len(self.bias), -1).T + self.bias
        size = windows.shape[0], windows.shape[2], windows.shape[3], len(self.bias)
        self.output = np.maximum(product.reshape(size).transpose(0, 3, 1, 2), 0)
        return self.output

    def backward(self, gradient):
        gradient = gradient * (self.output > 0)
        rows = gradient.transpose(0, 2, 3, 1).reshape(-1, len(self.bias))
        self.gradients = (rows.T @ self.columns).reshape(self.weight.shape), rows.sum(0)
        count, channels, height, width = self.shape
        taps = (rows @ self.weight.reshape(len(self.bias), -1)).reshape(count, *gradient.shape[2:], channels, 3, 3)
        padded = np.zeros((count, channels, height + 2, width + 2), np.float32)
        for y in range(3):
            for x in range(3):
                rows_of_tap = slice(y, y + height, self.stride), slice(x, x + width, self.stride)
                padded[:, :, *rows_of_tap] += taps[..., y, x].transpose(0, 3, 1, 2)
        return padded[:, :, 1:-1, 1:-1]


class MaxPool:
    """A 2x2 maximum with stride 2."""

    def forward(self, x):
        self.blocks = x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2)
        self.maximum = self.blocks.max((3, 5), keepdims=True)
        return self.maximum[:, :, :, 0, :, 0]

    def backward(self, gradient):
        hits = self.blocks == self.maximum
        shares = hits / hits.sum((3, 5), keepdims=True)
        blocks = shares * gradient[:, :, :, None, :, None]
        count, channels, height, _, width, _ = blocks.shape
        return blocks.reshape(count, channels, 2 * height, 2 * width).astype(np.float32)


class Dense:
    """A matrix product of the flattened input, and a bias."""

    def __init__(self, name: str, random: np.random.Generator, values_in: int, values_out: int):
        self.name = name
        self.weight = random.normal(0, np.sqrt(1 / values_in), (values_out, values_in)).astype(np.float32)
        self.bias = np.zeros(values_out, np.float32)

    def forward(self, x):
        self.shape = x.shape
        self.rows = x.reshape(len(x), -1)
        return self.rows @ self.weight.T + self.bias

    def backward(self, gradient):
        self.gradients = gradient.T @ self.rows, gradient.sum(0)
        return (gradient @ self.weight).reshape(self.shape)


class Adam:
    """The usual optimizer with decoupled weight decay."""

    def __init__(self, layers, decay: float = 1e-3):
        self.layers = [layer for layer in layers if hasattr(layer, "weight")]
        self.decay, self.step_number = decay, 0
        self.moments = [[(np.zeros_like(p), np.zeros_like(p)) for p in (x.weight, x.bias)] for x in self.layers]

    def step(self, rate: float) -> None:
        self.step_number += 1
        for layer, moments in zip(self.layers, self.moments, strict=True):
            layer.weight *= 1 - rate * self.decay
            for parameter, gradient, (mean, square) in zip(
                (layer.weight, layer.bias), layer.gradients, moments, strict=True
            ):
                mean += 0.1 * (gradient - mean)
                square += 0.001 * (gradient**2 - square)
                unbiased = mean / (1 - 0.9**self.step_number), square / (1 - 0.999**self.step_number)
                parameter -= rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)


def load_images():
    """All images, (1797, 16, 16) uint8, and their digits, in a fixed random order."""
    digits = load_digits()
    order = np.random.default_rng(SEED).permutation(len(digits.target))
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)[order]
    images = [Image.fromarray(image).resize((16, 16), Image.Resampling.BILINEAR) for image in pixels]
    return np.stack([np.asarray(image) for image in images]), digits.target[order].astype(np.int64)


def shifted(images, random: np.random.Generator):
    """The batch moved by up to two pixels each way, every image on its own."""
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    windows = sliding_window_view(padded, (16, 16), (2, 3))[:, 0]
    y, x = random.integers(0, 5, (2, len(images)))
    return windows[np.arange(len(images)), y, x][:, None]


def softmax(x):
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def forward(layers, x):
    for layer in layers:
        x = layer.forward(x)
    return x


def accuracy(layers, images, labels) -> float:
    return float((forward(layers, images).argmax(1) == labels).mean())


def train(layers, images, labels, random: np.random.Generator) -> None:
    optimizer = Adam(layers)
    batches = len(images) // BATCH
    for epoch in range(EPOCHS):
        order = random.permutation(len(images))
        for number in range(batches):
            rate = 1e-3 * (1 + np.cos(np.pi * (epoch + number / batches) / EPOCHS))
            chosen = order[number * BATCH :][:BATCH]
            scores = softmax(forward(layers, shifted(images[chosen], random)))
            gradient = (scores - np.eye(10, dtype=np.float32)[labels[chosen]]) / BATCH
            for layer in reversed(layers):
                gradient = layer.backward(gradient)
            optimizer.step(rate)
        print(f"epoch {epoch + 1:2}: training accuracy {accuracy(layers, images, labels):.4f}")


def to_onnx(layers) -> onnx.ModelProto:
    """The same network as an ONNX model of Conv, Relu, MaxPool, Flatten, Gemm and Softmax."""
    nodes, constants, value = [], [], "image"

    def add(kind: str, name: str, parameters=(), **attributes) -> None:
        nonlocal value
        inputs = [value, *(f"{name}.{part}" for part in parameters)]
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        value = name

    for layer in layers:
        if isinstance(layer, MaxPool):
            add("MaxPool", "pool", kernel_shape=[2, 2], strides=[2, 2])
            continue
        for part in ("weight", "bias"):
            constants.append(numpy_helper.from_array(getattr(layer, part), f"{layer.name}.{part}"))
        if isinstance(layer, Conv):
            strides = [layer.stride, layer.stride]
            add("Conv", layer.name, ("weight", "bias"), kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=strides)
            add("Relu", f"{layer.name}.relu")
        else:
            add("Flatten", "flatten")
            add("Gemm", layer.name, ("weight", "bias"), transB=1)
    add("Softmax", "scores", axis=1)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 16, 16])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])
    graph = helper.make_graph(nodes, "digits", [image], [scores], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def save_npz(path: Path, **arrays) -> None:
    """numpy's savez_compressed without the time of day, so that the same arrays give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            entry = zipfile.ZipInfo(f"{name}.npy", (2020, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue())


def main() -> None:
    pixels, labels = load_images()
    images = (pixels / 255).astype(np.float32)[:, None]
    train_images, train_labels = images[TEST_IMAGES:], labels[TEST_IMAGES:]
    random = np.random.default_rng(SEED)
    layers = [
        Conv("conv1", random, 1, 16),
        Conv("conv2", random, 16, 24, stride=2),
        Conv("conv3", random, 24, 32),
        MaxPool(),
        Conv("conv4", random, 32, 32),
        Dense("classifier", random, 32 * 4 * 4, 10),
    ]
    train(layers, train_images, train_labels, random)
    print(f"test accuracy {accuracy(layers, images[:TEST_IMAGES], labels[:TEST_IMAGES]):.4f}")
    onnx.save(to_onnx(layers), HERE / "digits.onnx")
    save_npz(HERE / "test.npz", image=images[:TEST_IMAGES], label=labels[:TEST_IMAGES])
    folder = HERE / "calibration"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number in range(CALIBRATION_IMAGES):
        Image.fromarray(pixels[TEST_IMAGES + number]).save(folder / f"{number:02d}.png", optimize=True)


if __name__ == "__main__":
    main()
