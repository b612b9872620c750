"""The kbuf machine: addresses, checks, inputs and outputs, other people's operations."""

from collections.abc import Sequence

import numpy as np
import pytest
from xdsl.dialects import func
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, f32, i64
from xdsl.ir import Block, Operation, Region
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def

from kpuir.dialects import kbuf
from kpuir.dialects.kbuf import UI8, AllocOp, InputOp, OutputOp, Space, SubviewOp, buffer_type
from kpuir.errors import InvalidInputError
from kpuir.interpreters.kbuf import Access, Machine, Step, executes
from kpuir.ir.locations import named
from kpuir.kmodel.layer import LayerRegisters, pack_activation, pack_batch_norm

KPU_RAM = 2 * 1024 * 1024


def main_buffer(count: int, offset: int | None = 0) -> AllocOp:
    return AllocOp(buffer_type((count,), f32, Space.MAIN), offset)


def byte_buffer(shape: Sequence[int], space: Space, offset: int) -> AllocOp:
    return AllocOp(buffer_type(tuple(shape), UI8, space), offset)


def module_of(*ops: Operation, main_bytes: int | None = None, name: str = "main") -> ModuleOp:
    body = Block([*ops, func.ReturnOp()])
    module = ModuleOp([func.FuncOp(name, ((), ()), Region(body))])
    if main_bytes is not None:
        module.attributes["kbuf.main_bytes"] = IntegerAttr(main_bytes, i64)
    return module


def negate(x_offset: int, read_offset: int, y_offset: int = 64) -> ModuleOp:
    """Input at x_offset, y = -(what lies at read_offset)."""
    x, seen, y = main_buffer(4, x_offset), main_buffer(4, read_offset), main_buffer(4, y_offset)
    return module_of(
        x, seen, y, InputOp(x, 0, (1, 1, 1, 4)), kbuf.UnaryOp(seen, y, op="neg"), OutputOp(y, 0), main_bytes=128
    )


X = np.array([1, 2, 3, 4], np.float32)


def test_runs_read_and_write_at_the_addresses() -> None:
    assert Machine(negate(0, 0)).run([X])[0].tolist() == [-1, -2, -3, -4]


def test_a_wrong_address_gives_a_wrong_answer() -> None:
    assert Machine(negate(0, 8)).run([X])[0].tolist() == [-3, -4, 0, 0]


def test_subviews_add_their_offset() -> None:
    whole, y = main_buffer(8, 16), main_buffer(4, 64)
    part = SubviewOp(whole, buffer_type((4,), f32, Space.MAIN), 8)
    module = module_of(
        whole, y, part, InputOp(whole, 0, (1, 1, 1, 8)), kbuf.UnaryOp(part, y, op="square"), OutputOp(y, 0)
    )
    assert Machine(module).run([np.arange(8, dtype=np.float32)])[0].tolist() == [4, 9, 16, 25]


def test_ram_is_not_cleared_between_runs() -> None:
    machine = Machine(negate(0, 8, y_offset=16))  # reads half of its own last result
    assert machine.run([X])[0].tolist() == [-3, -4, 0, 0]
    assert machine.run([X])[0].tolist() == [-3, -4, 3, 4]


def test_outputs_are_copies_and_inputs_may_be_bytes() -> None:
    machine = Machine(negate(0, 0))
    (first,) = machine.run([X.tobytes()])
    machine.run([2 * X])
    assert first.tolist() == [-1, -2, -3, -4]
    assert (machine.input_shapes, machine.input_dtypes) == (((1, 1, 1, 4),), (np.dtype("float32"),))


def test_a_clean_program_has_no_warnings() -> None:
    assert Machine(negate(0, 0), check=True).warnings == ()


def test_reads_of_bytes_never_written_are_reported() -> None:
    machine = Machine(negate(0, 8), check=True)
    assert machine.warnings == ("kbuf.unary: reads 16 bytes at main 8, of which 8 have never been written",)
    assert Machine(negate(0, 8)).warnings == ()


def test_warnings_name_the_layer() -> None:
    module = negate(0, 32)
    next(op for op in module.walk() if isinstance(op, kbuf.UnaryOp)).location = named("conv1")
    (warning,) = Machine(module, check=True).warnings
    assert warning.startswith("conv1: reads 16 bytes at main 32")


def test_an_output_nobody_writes_is_reported() -> None:
    y = main_buffer(4, 0)
    assert Machine(module_of(y, OutputOp(y, 0)), check=True).warnings == (
        "kbuf.output: reads 16 bytes at main 0, of which 16 have never been written",
    )


def test_addresses_outside_of_a_ram_are_errors_and_with_the_check_warnings() -> None:
    module = negate(0, 0, y_offset=120)
    with pytest.raises(InvalidInputError, match=r"writes bytes 120\.\.136 of main memory, which has 128"):
        Machine(module)
    assert "kbuf.unary: writes bytes 120..136 of main memory, which has 128" in Machine(module, check=True).warnings


def test_kpu_ram_has_two_megabytes() -> None:
    source = byte_buffer((1, 1, 4, 64), Space.MAIN, 0)
    target = byte_buffer((1, 1, 4, 64), Space.KPU, KPU_RAM - 192)
    upload = kbuf.KpuUploadOp(source, target, in_shape=(1, 1, 4, 64))
    module = module_of(source, target, InputOp(source, 0, (1, 1, 4, 64)), upload)
    with pytest.raises(InvalidInputError, match="of kpu memory, which has 2097152"):
        Machine(module)


def test_writes_outside_of_their_buffer_are_reported() -> None:
    x, y = main_buffer(4, 0), main_buffer(3, 64)
    copy = kbuf.UnaryOp(x, y, op="neg")
    module = module_of(x, y, InputOp(x, 0, (1, 1, 1, 4)), copy, main_bytes=128)
    (warning,) = Machine(module, check=True).warnings
    assert warning == "kbuf.unary: writes 16 bytes at main 64, but the buffer has 12"


def identity_layer(channels: int, height: int, width: int) -> dict[str, object]:
    """A depthwise 1x1 layer that gives its input back."""
    table = pack_activation([-(2**35), 0, *[2**35 - 1] * 14], [0, 1, *[0] * 14], [0] * 16)
    return {
        "registers": LayerRegisters(
            depth_wise_layer=1,
            i_ch_num=channels - 1,
            o_ch_num=channels - 1,
            i_row_wid=width - 1,
            o_row_wid=width - 1,
            i_col_high=height - 1,
            o_col_high=height - 1,
        ),
        "batch_norm": pack_batch_norm([1] * channels, [0] * channels, [0] * channels).view(np.int64),
        "activation": table.view(np.int64),
        "activation_add": np.zeros(16, np.uint8),
        "weights": np.ones(channels, np.uint8),
    }


def layer_module(target_offset: int) -> ModuleOp:
    shape = (2, 5, 4, 9)
    source, target = byte_buffer(shape, Space.KPU, 0), byte_buffer(shape, Space.KPU, target_offset)
    copy = byte_buffer(shape, Space.MAIN, 8)
    layer = kbuf.KpuConv2dOp(source, target, copy, batches=2, **identity_layer(5, 4, 9))
    return module_of(source, target, copy, InputOp(source, 0, shape), layer, OutputOp(copy, 0), OutputOp(target, 1))


def test_inputs_in_kpu_ram_are_given_dense_and_outputs_come_as_lines() -> None:
    module = layer_module(4096)
    module.verify()
    x = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 9)).astype(np.uint8)
    machine = Machine(module, check=True)
    dense, lines = machine.run([x])
    np.testing.assert_array_equal(dense, x)
    assert lines.shape == (2 * 2 * 4 * 64,)
    assert lines[64 * 4 : 64 * 4 + 9].tolist() == x[0, 4, 0].tolist()
    # the second output reads whole lines, filler bytes included; they count as written like the rest of their lines
    assert not machine.warnings


def test_layers_whose_input_and_output_overlap_are_reported() -> None:
    warnings = Machine(layer_module(512), check=True).warnings
    assert "kbuf.kpu_conv2d: the input and the output of a KPU layer overlap" in warnings


def test_memory_copy_loses_what_is_not_a_word() -> None:
    x, y = byte_buffer((6,), Space.MAIN, 0), byte_buffer((6,), Space.MAIN, 8)
    module = module_of(x, y, InputOp(x, 0, (1, 1, 1, 6)), kbuf.MemoryCopyOp(x, y), OutputOp(y, 0))
    assert Machine(module).run([bytes([1, 2, 3, 4, 5, 6])])[0].tolist() == [1, 2, 3, 4, 0, 0]


def test_constants_lie_in_the_pool() -> None:
    table = kbuf.ConstantOp(np.arange(255, -1, -1, dtype=np.uint8), 16)
    x, y = byte_buffer((3,), Space.MAIN, 0), byte_buffer((3,), Space.MAIN, 8)
    lookup = kbuf.TableLookup1dOp(x, table, y)
    module = module_of(table, x, y, InputOp(x, 0, (1, 1, 1, 3)), lookup, OutputOp(y, 0))
    assert Machine(module).run([bytes([0, 1, 255])])[0].tolist() == [255, 254, 0]


def test_a_module_without_addresses_is_refused() -> None:
    x = main_buffer(4, None)
    with pytest.raises(InvalidInputError, match="has no address") as caught:
        Machine(module_of(x, InputOp(x, 0, (1, 1, 1, 4))))
    assert caught.value.hint == "run kbuf-allocate first"


def test_a_module_without_main_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="has 0 functions @main"):
        Machine(module_of(name="other"))


def test_inputs_are_numbered_without_gaps() -> None:
    x = main_buffer(4, 0)
    with pytest.raises(InvalidInputError, match=r"the inputs are numbered \[1\]"):
        Machine(module_of(x, InputOp(x, 1, (1, 1, 1, 4))))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(5, np.float32), "the array is 5 of float32, it takes 1x1x1x4 of float32"),
        (np.zeros(4, np.float64), "the array is 4 of float64"),
        (bytes(15), "15 bytes are given, it takes 16"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(value: "np.ndarray | bytes", message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Machine(negate(0, 0)).run([value])


def test_the_number_of_inputs_must_fit() -> None:
    with pytest.raises(InvalidInputError, match="2 inputs are given, the model has 1"):
        Machine(negate(0, 0)).run([X, X])


def test_more_memory_than_the_chip_has_is_refused() -> None:
    module = negate(0, 0)
    module.attributes["kbuf.main_bytes"] = IntegerAttr(1 << 31, i64)
    with pytest.raises(InvalidInputError, match="2147483648 bytes of main memory are needed, the chip has 6291456"):
        Machine(module)


def test_a_filter_may_be_far_larger_than_the_image() -> None:
    x, y, size = main_buffer(4, 0), main_buffer(4, 64), 1 << 30
    window = {f"{name}_{axis}": 1 for name in ("stride", "dilation") for axis in "hw"}
    window |= {f"filter_{axis}": 2 * size + 1 for axis in "hw"} | {f"pad_{axis}": (size, size) for axis in "hw"}
    pool = kbuf.ReduceWindow2dOp(x, y, op="sum", in_shape=(1, 1, 2, 2), init=0.0, act=(-9e9, 9e9), **window)
    machine = Machine(module_of(x, y, InputOp(x, 0, (1, 1, 2, 2)), pool, OutputOp(y, 0)))
    assert machine.run([X])[0].tolist() == [10.0] * 4


def test_instructions_on_nothing_do_nothing() -> None:
    x, y, e = main_buffer(4, 0), main_buffer(4, 64), main_buffer(0, 0)
    softmax = kbuf.SoftmaxOp(e, e, inner_size=0, outer_size=1, beta=1.0)
    module = module_of(x, y, e, InputOp(x, 0, (1, 1, 1, 4)), softmax, kbuf.UnaryOp(x, y, op="neg"), OutputOp(y, 0))
    assert Machine(module).run([X])[0].tolist() == [-1, -2, -3, -4]


@irdl_op_definition
class DoubleOp(IRDLOperation):
    """Someone else's instruction: doubles a buffer in place."""

    name = "other.double"
    buffer = operand_def()


def test_operations_nobody_registered_are_refused_and_anyone_may_register() -> None:
    x = main_buffer(4, 0)
    module = module_of(x, InputOp(x, 0, (1, 1, 1, 4)), DoubleOp(operands=[x.result]), OutputOp(x, 0))
    with pytest.raises(InvalidInputError, match=r"there is no way to run other\.double"):
        Machine(module)

    @executes(DoubleOp)
    def double(op: DoubleOp, access: Access) -> Step:
        view = access.read(op.buffer, (4,))
        access.write(op.buffer, (4,))
        return lambda: np.copyto(view, view * 2)

    assert double is not None
    seen: list[str] = []
    assert Machine(module, check=True).run([X], observe=lambda op: seen.append(op.name))[0].tolist() == [2, 4, 6, 8]
    assert seen == ["other.double"]


def test_results_of_instructions() -> None:
    seen: list[np.ndarray] = []
    machine = Machine(negate(0, 0))
    machine.run([X], observe=lambda op: seen.append(machine.result(op, (1, 2, 2))))
    assert seen[0].tolist() == [[[-1, -2], [-3, -4]]]
    with pytest.raises(InvalidInputError, match=r"its output is not \[3\]"):
        machine.run([X], observe=lambda op: seen.append(machine.result(op, (3,))))
    with pytest.raises(InvalidInputError, match="no output to look at"):
        machine.result(func.ReturnOp(), (4,))
