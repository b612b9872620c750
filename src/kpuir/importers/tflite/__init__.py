"""TFLite models to `ktensor`.

Tensors of a TFLite model are channels-last. Each layer on feature maps is imported as transpose to NCHW, the NCHW
operation, transpose back; `ktensor-sink-transposes` and `ktensor-absorb-layouts` cancel them afterwards:

    %0 = ktensor.transpose %input {permutation = array<i64: 0, 3, 1, 2>} ...
    %1 = ktensor.conv2d %0, %weight bias %bias ...
    %2 = ktensor.transpose %1 {permutation = array<i64: 0, 2, 3, 1>} ...

Shapes are inferred from the operators; those in the file are used for the inputs only.
"""

from kpuir.importers.tflite.importer import import_tflite

__all__ = ["import_tflite"]
