"""`tflite_detection_postprocess` of kmodel v5: boxes of an SSD, decoded, and those that overlap better ones left out.

As nncase's runtimes do it, which leave out the last class where they look at each class by itself.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kpuir.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F32 = NDArray[np.float32]
    Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Options:
    """How many are found, of how many classes, from which score on, and from which overlap on one is left out."""

    most: int
    classes_each: int
    most_of_class: int
    classes: int
    least_score: float
    most_overlap: float


@dataclass(frozen=True)
class Found:
    """What is found, best first: corners (y, x, y, x), numbers of classes, scores; and how many that are."""

    corners: "F32"
    classes: "F32"
    scores: "F32"
    count: "F32"


def decoded(boxes: "F32", anchors: "F32", scales: tuple[float, float, float, float]) -> "F32":
    """The corners of boxes (y, x, h, w) relative to anchors."""
    relative, places = boxes / np.array(scales, np.float32).astype(np.float64), anchors.astype(np.float64)
    centres = (relative[:, :2] * places[:, 2:] + places[:, :2]).astype(np.float32)
    halves = (0.5 * np.exp(relative[:, 2:]) * places[:, 2:]).astype(np.float32)
    return np.concatenate((centres - halves, centres + halves), 1)


def by_class(corners: "F32", scores: "F32", out: Found, options: Options) -> None:
    """The best of all classes, of each of which boxes that overlap a better one are left out.

    Raises InvalidInputError where runtimes write behind the end of their table.
    """
    background, room = scores.shape[1] - options.classes, options.most + min(options.most_of_class, options.most)
    boxes, kinds, values = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    for kind in range(options.classes - 1):
        of_kind = scores[:, background + kind]
        kept = _best(corners, of_kind, options)
        if len(boxes) + len(kept) > room:
            raise InvalidInputError(f"{len(kept)} detections of class {kind}, runtimes have room for {room}")
        boxes, values = np.concatenate((kept, boxes)), np.concatenate((of_kind[kept], values))
        kinds = np.concatenate((np.full(len(kept), kind), kinds))
        order = np.argsort(-values, kind="stable")[: options.most]
        boxes, kinds, values = boxes[order], kinds[order], values[order]
    for target, found in ((out.corners, corners[boxes]), (out.classes, kinds), (out.scores, values)):
        target[: options.most] = 0
        target[: len(boxes)] = found
    out.count[...] = len(boxes)


def by_box(corners: "F32", scores: "F32", out: Found, options: Options) -> None:
    """The best boxes by their best classes, those that overlap a better one left out; what is behind stays as it is."""
    own = scores[:, scores.shape[1] - options.classes :]
    each = min(options.classes_each, options.classes)
    kept = _best(corners, own.max(1), options)
    kinds = np.argsort(-own[kept], 1, kind="stable")[:, :each]
    places = (options.classes_each * np.arange(len(kept))[:, None] + np.arange(each)).ravel()
    out.corners[places] = corners[kept].repeat(each, 0)
    out.classes[places] = kinds.ravel()
    out.scores[places] = np.take_along_axis(own[kept], kinds, 1).ravel()
    out.count[...] = len(kept)


def _best(corners: "F32", scores: "F32", options: Options) -> "Indices":
    """The boxes of the best scores, without those that overlap a better one."""
    left = np.flatnonzero(scores >= np.float32(options.least_score))
    left = left[np.argsort(-scores[left], kind="stable")]
    kept: list[int] = []
    while left.size and len(kept) < options.most:
        kept.append(int(left[0]))
        overlap = _overlap(corners[left[0]], corners[left[1:]])
        left = left[1:][~(overlap > np.float32(options.most_overlap))]
    return np.array(kept, np.int64)


def _overlap(one: "F32", others: "F32") -> "F32":
    """Which part of the area that a box and others cover is of both."""
    sizes, own = others[:, 2:] - others[:, :2], one[2:] - one[:2]
    areas, area = sizes[:, 0] * sizes[:, 1], own[0] * own[1]
    inner = np.maximum(np.minimum(others[:, 2:], one[2:]) - np.maximum(others[:, :2], one[:2]), 0)
    common = inner[:, 0] * inner[:, 1]
    found = common / (area + areas - common)
    return np.where((area <= 0) | (areas <= 0), np.float32(0), found)
