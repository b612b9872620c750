"""The machine's facts against the tables of kpu-hardware.md (sections 2, 5, 7, 8, 10)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpuir.target import k210
from kpuir.target.k210 import K210, PoolKind


@pytest.mark.parametrize(
    ("shape", "lines", "size"),
    [
        ((3, 240, 320), 3600, 230_400),
        ((16, 120, 160), 5760, 368_640),
        ((64, 30, 40), 1920, 122_880),
        ((128, 15, 20), 960, 61_440),
        ((1024, 7, 10), 1792, 114_688),
        ((3, 224, 224), 2688, 172_032),
        ((24, 112, 112), 5376, 344_064),
    ],
)
def test_sizes_of_the_layout_table(shape: tuple[int, int, int], lines: int, size: int) -> None:
    assert k210.feature_map_lines(*shape) == lines
    assert k210.feature_map_bytes(1, *shape) == size
    assert k210.feature_map_bytes(3, *shape) == 3 * size


@pytest.mark.parametrize(
    ("width", "layout"),
    [
        (1, (4, 16, 1)),
        (16, (4, 16, 1)),
        (17, (2, 32, 1)),
        (32, (2, 32, 1)),
        (33, (1, 64, 1)),
        (64, (1, 64, 1)),
        (65, (1, 64, 2)),
        (320, (1, 64, 5)),
    ],
)
def test_row_layout(width: int, layout: tuple[int, int, int]) -> None:
    assert k210.row_layout(width) == layout


def test_row_layout_rejects_an_empty_row() -> None:
    with pytest.raises(ValueError, match="not 0"):
        k210.row_layout(0)


@given(st.integers(1, 64), st.integers(1, 24), st.integers(1, 200))
def test_every_pixel_has_its_own_byte(channels: int, height: int, width: int) -> None:
    """The address formula of section 2 written out: the largest address is inside, rows do not meet."""
    g, pitch, r = k210.row_layout(width)
    assert g * pitch == 64
    assert width <= pitch * r
    c, y, x = channels - 1, height - 1, width - 1
    last = (c // g) * (r * height * 64) + (c % g) * pitch + y * (r * 64) + x
    assert last < k210.feature_map_bytes(1, channels, height, width) <= last + 64


@pytest.mark.parametrize(
    ("kernel", "ic", "one", "per_load", "most"),
    [
        (1, 1024, 1024, 30, 1024),
        (3, 128, 1152, 26, 1024),
        (3, 192, 1728, 17, 1024),
        (3, 256, 2304, 13, 832),
        (3, 512, 4608, 6, 384),
        (3, 1024, 9216, 3, 192),
    ],
)
def test_weight_loads_table(kernel: int, ic: int, one: int, per_load: int, most: int) -> None:
    loads = k210.weight_loads(ic, most, kernel, False)
    assert loads.channels_per_load == per_load
    assert loads.bytes_per_load == one * per_load
    assert loads.loads <= 64
    assert k210.weight_loads_rule(ic, most, kernel).ok
    if most < 1024:
        assert not k210.weight_loads_rule(ic, most + 1, kernel).ok


@pytest.mark.parametrize(
    ("layer", "total"),
    [
        ((3, 16, 3), 256 + 256 + 256 + 512),
        ((64, 128, 1), 256 + 1024 + 256 + 8192),
        ((128, 128, 3, True), 256 + 1024 + 256 + 1280),
    ],
)
def test_bytes_of_layers(layer: tuple[int, int, int], total: int) -> None:
    """Registers, 8 bytes of batch-norm a channel, activation table and weights, each from a multiple of 256 on."""
    assert k210.layer_bytes(*layer) == total


def test_weight_loads_of_published_layers() -> None:
    assert k210.weight_loads(3, 16, 3, False) == (16, 432, 1)
    assert k210.weight_loads(512, 512, 3, False).loads == 86
    assert k210.weight_loads(1024, 1024, 3, True) == (1024, 9216, 1)
    assert k210.weight_loads(256, 100, 3, False, bytes_per_weight=2).channels_per_load == 13
    with pytest.raises(ValueError, match="36864"):
        k210.weight_loads(4096, 4, 3, False)


def test_pool_codes_and_sizes() -> None:
    assert [kind.code for kind in PoolKind] == list(range(10))
    assert PoolKind.of_code(6) is PoolKind.RIGHT_TOP_2_S2
    assert PoolKind.RIGHT_TOP_2_S2.pick == (0, 1)
    assert PoolKind.LEFT_TOP_4_S4.pick == (0, 0)
    assert k210.pooled_size(PoolKind.MAX_2_S2, 15, 20) == (7, 10)
    assert k210.pooled_size(PoolKind.MEAN_4_S4, 15, 20) == (3, 5)
    assert k210.pooled_size(PoolKind.MEAN_2_S1, 15, 20) == (15, 20)
    assert [kind.name for kind in PoolKind if kind.is_mean] == ["MEAN_2_S2", "MEAN_4_S4", "MEAN_2_S1"]
    assert [kind.name for kind in PoolKind if kind.is_max] == ["MAX_2_S2", "MAX_4_S4", "MAX_2_S1"]
    with pytest.raises(ValueError, match="10"):
        PoolKind.of_code(10)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (k210.kernel_rule(5, 5), "5x5"),
        (k210.kernel_rule(1, 3), "1x3"),
        (k210.stride_rule(3, 3), "3x3"),
        (k210.stride_rule(1, 2), "1x2"),
        (k210.dilation_rule(2, 2), "2x2"),
        (k210.groups_rule(4, 8, 8), "4 groups"),
        (k210.groups_rule(8, 8, 16), "16 output"),
        (k210.input_size_rule(3, 9), "3 high"),
        (k210.input_size_rule(1025, 9), "1025 high.*1024"),
        (k210.height_rule(257), "257 high.*256"),
        (k210.band_rule((1, 1024, 64, 512), (1, 1024, 64, 512)), "16 rows of .*16777216.*2097152"),
        (k210.input_size_rule(9, 3), "3 wide"),
        (k210.input_size_rule(9, 513), "513 wide.*512"),
        (k210.output_size_rule(3, 4), "3x4.*4x4"),
        (k210.channel_rule(1025, 1), "input has 1025.*1024"),
        (k210.channel_rule(1, 0), "output has 0"),
        (k210.depthwise_rule(8, 16), "16 for 8"),
        (k210.depthwise_pool_rule(PoolKind.MAX_2_S2), "max_2_s2"),
        (k210.weight_loads_rule(512, 512, 3), "86 loads.*64"),
        (k210.ram_rule(2**20, 2**20 + 64), "2097216.*2097152"),
        (k210.dma_rule(256, 257), "65792.*65536"),
        (k210.field_rule("arg_x", -(2**23) - 1, 0), "arg_x is -8388609.*-8388608"),
        (k210.field_rule("act_add", 0, 256), "act_add is 256.*255"),
        (k210.activation_order_rule((0, 5, 4)), "segment 2 starts at 4.*segment 1 at 5"),
    ],
)
def test_a_broken_rule_says_both_values(verdict: k210.Verdict, words: str) -> None:
    import re

    assert not verdict.ok
    assert re.search(words, verdict.reason), verdict.reason


@pytest.mark.parametrize(
    "verdict",
    [
        k210.kernel_rule(1, 1),
        k210.kernel_rule(3, 3),
        k210.stride_rule(4, 4),
        k210.dilation_rule(1, 1),
        k210.groups_rule(1, 8, 16),
        k210.groups_rule(8, 8, 8),
        k210.input_size_rule(4, 512),
        k210.input_size_rule(256, 4),
        k210.output_size_rule(4, 4),
        k210.channel_rule(1024, 1024),
        k210.depthwise_rule(8, 8),
        k210.depthwise_pool_rule(PoolKind.BYPASS),
        k210.ram_rule(2**20, 2**20),
        k210.dma_rule(256, 256),
        k210.field_rule("arg_add", -(2**39), 2**39 - 1),
        k210.activation_order_rule((-(2**35), 0, 0, 7)),
    ],
)
def test_rules_hold_at_their_limits(verdict: k210.Verdict) -> None:
    assert verdict == (True, "")


def test_layer_rules_give_the_first_broken_rule() -> None:
    assert k210.layer_rules(3, 240, 320, 16, 3, pool=PoolKind.MAX_2_S2).ok
    assert "5x5" in k210.layer_rules(3000, 240, 320, 16, 5).reason
    assert "loads" in k210.layer_rules(512, 8, 8, 512, 3).reason
    assert k210.layer_rules(512, 8, 8, 512, 3, depthwise=True).ok
    assert "cannot pool" in k210.layer_rules(8, 8, 8, 8, 3, depthwise=True, pool=PoolKind.MEAN_2_S2).reason
    assert "output is 2x2" in k210.layer_rules(8, 4, 4, 8, 3, pool=PoolKind.MAX_2_S2).reason


def test_large_maps_fit_once_not_twice() -> None:
    """16 channels of 320x240 pixels are 1.2 MB."""
    image, large = k210.feature_map_bytes(1, 3, 240, 320), k210.feature_map_bytes(1, 16, 240, 320)
    assert k210.ram_rule(image, large).ok
    assert str(K210.KPU_RAM_BYTES) in k210.ram_rule(large, large).reason
    assert not k210.ram_rule(2 * image, 2 * large).ok


# Table 10.4: input channels, height, width, output channels, kernel, depthwise, milliseconds, tolerance
_LAYERS_77 = [
    (3, 240, 320, 16, 3, False, 0.206, 0.005),
    (16, 120, 160, 32, 1, False, 0.514, 0.005),
    (32, 60, 80, 64, 1, False, 0.680, 0.005),
    (64, 60, 80, 64, 1, False, 1.328, 0.005),
    (64, 30, 40, 128, 1, False, 0.704, 0.005),
    (128, 30, 40, 128, 1, False, 1.385, 0.005),
    (128, 15, 20, 256, 1, False, 0.781, 0.005),
    (256, 15, 20, 256, 1, False, 1.5215, 0.005),
    (256, 15, 20, 30, 1, False, 0.326 - 9000 * 16e-6, 0.005),
    (16, 120, 160, 16, 3, True, 0.039, 0.036),
    (32, 60, 80, 32, 3, True, 0.029, 0.036),
    (64, 60, 80, 64, 3, True, 0.053, 0.036),
    (64, 30, 40, 64, 3, True, 0.020, 0.036),
    (128, 30, 40, 128, 3, True, 0.034, 0.036),
    (128, 15, 20, 128, 3, True, 0.016, 0.036),
    (256, 15, 20, 256, 3, True, 0.0255, 0.036),
]


@pytest.mark.parametrize(("ic", "h", "w", "oc", "kernel", "depthwise", "measured", "tolerance"), _LAYERS_77)
def test_layer_times_of_a_published_log(
    ic: int, h: int, w: int, oc: int, kernel: int, depthwise: bool, measured: float, tolerance: float
) -> None:
    assert k210.layer_milliseconds(ic, oc, h, w, kernel, depthwise) == pytest.approx(measured, rel=tolerance)


@pytest.mark.parametrize(
    ("w", "h", "formula"),
    [
        (16, 16, 0.287),
        (32, 16, 0.550),
        (32, 32, 0.991),
        (64, 32, 1.957),
        (64, 64, 3.720),
        (128, 64, 7.416),
        (128, 128, 14.468),
        (256, 256, 57.121),
    ],
)
def test_layer_times_at_300_mhz(w: int, h: int, formula: float) -> None:
    got = k210.layer_milliseconds(128, 128, h, w, 3, bytes_per_weight=2, clock_hz=300e6)
    assert got == pytest.approx(formula, rel=0.002)


def test_weights_bound_small_maps() -> None:
    """128 -> 128, 3x3, 16-bit weights on 4x4 pixels: 294912 bytes at 1.4 GB/s take longer than computing."""
    got = k210.layer_milliseconds(128, 128, 4, 4, 3, bytes_per_weight=2)
    assert got == pytest.approx(294_912 / 1.4e9 * 1e3)
