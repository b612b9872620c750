"""Draw the faces that a slim-320 kmodel finds on photographs, run in the byte-exact interpreter, as one picture.

    python tools/draw_faces.py slim-320.kmodel faces-*.jpg -o docs/images/faces.png

The kmodel takes planar RGB bytes, 1x3x240x320, and gives scores 4420x2 (background, face) and boxes 4420x4: offsets
from the priors of the ultra-light face detector (four feature maps of strides 8, 16, 32 and 64).
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from kpuir.interpreters.kbuf import Machine
from kpuir.translate import read_kmodel

WIDTH, HEIGHT = 320, 240
STRIDES = (8, 16, 32, 64)
MIN_BOXES = ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))
CENTER_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
TILE_WIDTH, TILE_HEIGHT = 288, 216

Array = NDArray[np.float32]


def priors() -> Array:
    """[4420, 4]: centre x, centre y, width, height of every prior, relative to the image."""
    rows: list[list[float]] = []
    for stride, sizes in zip(STRIDES, MIN_BOXES, strict=True):
        columns, lines = -(-WIDTH // stride), -(-HEIGHT // stride)
        for y, x, size in product(range(lines), range(columns), sizes):
            rows.append([(x + 0.5) * stride / WIDTH, (y + 0.5) * stride / HEIGHT, size / WIDTH, size / HEIGHT])
    return np.clip(np.array(rows, np.float32), 0, 1)


def decode(boxes: Array) -> Array:
    """Offsets from the priors as corners (left, top, right, bottom), relative to the image."""
    anchors = priors()
    centers = boxes[:, :2] * CENTER_VARIANCE * anchors[:, 2:] + anchors[:, :2]
    sizes = np.exp(boxes[:, 2:] * SIZE_VARIANCE) * anchors[:, 2:]
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)


def overlap(box: Array, others: Array) -> Array:
    """Intersection over union of one box with each of the others."""
    size = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None)
    shared = size[:, 0] * size[:, 1]
    area = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    return shared / ((box[2] - box[0]) * (box[3] - box[1]) + area - shared)


def suppress(corners: Array, scores: Array, limit: float) -> list[int]:
    """Indices of the boxes that are left when each, best first, removes those it overlaps by more than `limit`."""
    kept: list[int] = []
    order = np.argsort(-scores)
    while order.size:
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[overlap(corners[best], corners[order]) <= limit]
    return kept


def find_faces(machine: Machine, photo: Image.Image, threshold: float) -> list[tuple[float, Array]]:
    """(score, corners relative to the image) of every face."""
    pixels = np.asarray(photo.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
    raw_scores, raw_boxes = machine.run([np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])])
    scores = raw_scores.reshape(-1, 2)[:, 1]
    likely = scores > threshold
    corners, scores = decode(raw_boxes.reshape(-1, 4))[likely], scores[likely]
    return [(float(scores[i]), corners[i]) for i in suppress(corners, scores, 0.3)]


def draw(photo: Image.Image, faces: list[tuple[float, Array]]) -> Image.Image:
    """The photo at the size of a tile of the montage, each face framed."""
    tile = photo.convert("RGB").resize((TILE_WIDTH, TILE_HEIGHT), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(tile)
    for score, corners in faces:
        left, top, right, bottom = (float(c * s) for c, s in zip(corners, (TILE_WIDTH, TILE_HEIGHT) * 2, strict=True))
        pen.rectangle((left, top, right, bottom), outline=(255, 40, 40), width=2)
        pen.text((left + 2, max(top - 11, 0)), f"{score:.2f}", fill=(255, 220, 0))
    return tile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kmodel", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--columns", type=int, default=3)
    parser.add_argument("--threshold", type=float, default=0.6)
    arguments = parser.parse_args()
    machine = Machine(read_kmodel(arguments.kmodel.read_bytes()))
    tiles: list[Image.Image] = []
    for path in arguments.photos:
        photo = Image.open(path)
        faces = find_faces(machine, photo, arguments.threshold)
        print(f"{path.name}: {len(faces)} faces")
        tiles.append(draw(photo, faces))
    rows = -(-len(tiles) // arguments.columns)
    montage = Image.new("RGB", (arguments.columns * TILE_WIDTH, rows * TILE_HEIGHT), "white")
    for index, tile in enumerate(tiles):
        montage.paste(tile, (index % arguments.columns * TILE_WIDTH, index // arguments.columns * TILE_HEIGHT))
    montage.quantize(128, dither=Image.Dither.NONE).save(arguments.output, optimize=True)


if __name__ == "__main__":
    main()
