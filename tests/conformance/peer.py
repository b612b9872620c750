"""Runs in the other Python, with nncase 1.9: compiles and runs what a folder asks for. It must not import kpuir.

    peer.py compile FOLDER    every NAME.onnx or NAME.tflite becomes NAME.kmodel, in float without NAME.calibration.npz
    peer.py run FOLDER        every NAME.kmodel with NAME.inputs.npz gives NAME.outputs.npz

Arrays of a .npz are in order, the samples on the first axis. What fails leaves NAME.error.txt.
"""

# pyright: basic, reportMissingImports=false, reportArgumentType=false

import os
import sys
from pathlib import Path

import nncase
import numpy as np


def arrays(path):
    with np.load(path) as found:
        return [found[f"arr_{index}"] for index in range(len(found.files))]


def compile_one(path):
    options = nncase.CompileOptions()
    options.target = "k210"
    options.dump_dir = str(path.parent / "dump")
    compiler = nncase.Compiler(options)
    take = compiler.import_tflite if path.suffix == ".tflite" else compiler.import_onnx
    take(path.read_bytes(), nncase.ImportOptions())
    calibration = path.with_suffix(".calibration.npz")
    if calibration.exists():
        samples = arrays(calibration)
        quantization = nncase.PTQTensorOptions()
        quantization.samples_count = len(samples[0])
        quantization.set_tensor_data(b"".join(np.ascontiguousarray(each).tobytes() for each in samples))
        compiler.use_ptq(quantization)
    compiler.compile()
    path.with_suffix(".kmodel").write_bytes(compiler.gencode_tobytes())


def run_one(path):
    simulator = nncase.Simulator()
    simulator.load_model(path.read_bytes())
    inputs = arrays(path.with_suffix(".inputs.npz"))
    outputs = []
    for sample in range(len(inputs[0])):
        for index, each in enumerate(inputs):
            simulator.set_input_tensor(index, nncase.RuntimeTensor.from_numpy(np.ascontiguousarray(each[sample])))
        simulator.run()
        outputs.append([simulator.get_output_tensor(i).to_numpy().copy() for i in range(simulator.outputs_size)])
    np.savez(path.with_suffix(".outputs.npz"), *map(np.stack, zip(*outputs, strict=True)))


def work_on(path, work):
    try:
        work(path)
    except BaseException as error:
        path.with_suffix(".error.txt").write_text(repr(error))
    path.with_suffix(".done").touch()


def main(action, folder):
    suffixes, work = {"compile": ((".onnx", ".tflite"), compile_one), "run": ((".kmodel",), run_one)}[action]
    paths = sorted(one for one in Path(folder).iterdir() if one.suffix in suffixes)
    while paths:
        child = os.fork()  # it dies of what it does not like; another goes on behind that
        if child == 0:
            for path in paths:
                work_on(path, work)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        left = [path for path in paths if not path.with_suffix(".done").exists()]
        for path in paths[: len(paths) - len(left)]:
            path.with_suffix(".done").unlink()
        if left:
            left[0].with_suffix(".error.txt").write_text(f"died with status {status}")
        paths = left[1:]


main(*sys.argv[1:])
