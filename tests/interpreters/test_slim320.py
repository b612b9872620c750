"""A kmodel of the reference compiler on photographs against the float model it was made from."""

import numpy as np
from numpy.typing import NDArray

from kpuir.interpreters.kbuf import Machine
from kpuir.translate import read_kmodel
from tests.shared import shared_file


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a.reshape(-1) @ b.reshape(-1) / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_faces_are_found_as_by_the_float_model() -> None:
    import onnxruntime
    from PIL import Image

    kmodel, onnx = (shared_file(f"models/{name}") for name in ("slim-320.kmodel", "version-slim-320_simplified.onnx"))
    photos = sorted(shared_file("images").glob("faces-*.jpg"))
    assert photos
    machine = Machine(read_kmodel(kmodel.read_bytes()), check=True)
    assert machine.warnings == ()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx, options)
    (input_name,) = (item.name for item in session.get_inputs())
    cosines: list[tuple[float, float]] = []
    for photo in photos:
        pixels = np.asarray(Image.open(photo).convert("RGB").resize((320, 240), Image.Resampling.BILINEAR))
        planar = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        scores, boxes = machine.run([planar])
        reference = session.run(["scores", "boxes"], {input_name: (planar.astype(np.float32) - 127) / 128})
        pairs = zip((scores, boxes), reference, strict=True)
        of_scores, of_boxes = (cosine(ours, np.asarray(theirs)) for ours, theirs in pairs)
        cosines.append((of_scores, of_boxes))
        assert float(scores.reshape(-1, 2)[:, 1].max()) > 0.7, photo.name
    scores_mean, boxes_mean = np.mean(cosines, axis=0)
    assert scores_mean >= 0.99
    assert boxes_mean >= 0.97
