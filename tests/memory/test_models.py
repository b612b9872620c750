"""Real models, as far as allocation: the peak of KPU RAM is what is alive at once, whatever the places."""

import time

import pytest

from kpuir.dialects.kbuf import Space
from kpuir.importers import import_model
from kpuir.ir.functions import entry_function
from kpuir.memory import allocate, lower_bound
from kpuir.named_pipelines import PIPELINES
from kpuir.passes.kbuf_allocate import buffers_in
from kpuir.pipelines import make_context, parse_passes, run_passes
from tests.shared import shared_file

MODELS = ("ad01_int8.tflite", "kws_ref_model_float32.tflite", "pretrainedResnet.tflite", "vww_96_float.tflite")


@pytest.mark.parametrize("name", MODELS)
def test_models_take_what_is_alive_at_once(name: str) -> None:
    module = import_model(shared_file(f"models/{name}"))
    seconds: dict[str, float] = {}
    run_passes(
        make_context(),
        module,
        parse_passes("kpu-coverage,kbuf-allocate", lambda: PIPELINES),
        after=lambda stage, _: seconds.__setitem__(stage.name, stage.seconds),
    )
    ops = list(entry_function(module).body.block.ops)
    start = time.process_time()
    for space in (Space.KPU, Space.MAIN):
        buffers = list(buffers_in(space, ops).values())
        assert allocate(buffers).peak == lower_bound(buffers)
    assert time.process_time() - start < 0.05 * sum(seconds.values())
