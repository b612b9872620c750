"""All passes by name.

To add one: put the ModulePass into a file of its own in this package and a line
`"ktensor-do-something": ("kpuir.passes.ktensor_do_something", "KTensorDoSomethingPass"),` into `PASSES`, which is kept
in alphabetical order. The name is the `name` of the class; the module is imported only when the pass is asked for.
"""

PASSES: dict[str, tuple[str, str]] = {
    "convert-kpu-to-kbuf": ("kpuir.passes.convert_kpu_to_kbuf", "ConvertKpuToKbufPass"),
    "convert-ktensor-to-kpu": ("kpuir.passes.convert_ktensor_to_kpu", "ConvertKTensorToKpuPass"),
    "kbuf-allocate": ("kpuir.passes.kbuf_allocate", "KbufAllocatePass"),
    "kbuf-spill": ("kpuir.passes.kbuf_spill", "KbufSpillPass"),
    "kpu-assume-ranges": ("kpuir.passes.kpu_assume_ranges", "KpuAssumeRangesPass"),
    "kpu-calibrate": ("kpuir.passes.kpu_calibrate", "KpuCalibratePass"),
    "kpu-cancel-crops": ("kpuir.passes.kpu_cancel_crops", "KpuCancelCropsPass"),
    "kpu-derive-ranges": ("kpuir.passes.kpu_derive_ranges", "KpuDeriveRangesPass"),
    "kpu-equalize": ("kpuir.passes.kpu_equalize", "KpuEqualizePass"),
    "kpu-explain": ("kpuir.passes.kpu_explain", "KpuExplainPass"),
    "kpu-fuse-activations": ("kpuir.passes.kpu_fuse_activations", "KpuFuseActivationsPass"),
    "kpu-fuse-pools": ("kpuir.passes.kpu_fuse_pools", "KpuFusePoolsPass"),
    "kpu-legalize-adds": ("kpuir.passes.kpu_legalize_adds", "KpuLegalizeAddsPass"),
    "kpu-legalize-concats": ("kpuir.passes.kpu_legalize_concats", "KpuLegalizeConcatsPass"),
    "kpu-legalize-elementwise": ("kpuir.passes.kpu_legalize_elementwise", "KpuLegalizeElementwisePass"),
    "kpu-legalize-flattened": ("kpuir.passes.kpu_legalize_flattened", "KpuLegalizeFlattenedPass"),
    "kpu-legalize-global-pools": ("kpuir.passes.kpu_legalize_global_pools", "KpuLegalizeGlobalPoolsPass"),
    "kpu-legalize-groups": ("kpuir.passes.kpu_legalize_groups", "KpuLegalizeGroupsPass"),
    "kpu-legalize-kernels": ("kpuir.passes.kpu_legalize_kernels", "KpuLegalizeKernelsPass"),
    "kpu-legalize-pools": ("kpuir.passes.kpu_legalize_pools", "KpuLegalizePoolsPass"),
    "kpu-legalize-prelu": ("kpuir.passes.kpu_legalize_prelu", "KpuLegalizePReluPass"),
    "kpu-legalize-space-to-depth": ("kpuir.passes.kpu_legalize_space_to_depth", "KpuLegalizeSpaceToDepthPass"),
    "kpu-legalize-strides": ("kpuir.passes.kpu_legalize_strides", "KpuLegalizeStridesPass"),
    "kpu-pack-pixels": ("kpuir.passes.kpu_pack_pixels", "KpuPackPixelsPass"),
    "kpu-place": ("kpuir.passes.kpu_place", "KpuPlacePass"),
    "kpu-quantize": ("kpuir.passes.kpu_quantize", "KpuQuantizePass"),
    "kpu-round-weights": ("kpuir.passes.kpu_round_weights", "KpuRoundWeightsPass"),
    "kpu-select-registers": ("kpuir.passes.kpu_select_registers", "KpuSelectRegistersPass"),
    "kpu-shift-borders": ("kpuir.passes.kpu_shift_borders", "KpuShiftBordersPass"),
    "kpu-sink-concats": ("kpuir.passes.kpu_sink_concats", "KpuSinkConcatsPass"),
    "kpu-sink-crops": ("kpuir.passes.kpu_sink_crops", "KpuSinkCropsPass"),
    "kpu-split-depthwise": ("kpuir.passes.kpu_split_depthwise", "KpuSplitDepthwisePass"),
    "kpu-split-diagonals": ("kpuir.passes.kpu_split_diagonals", "KpuSplitDiagonalsPass"),
    "ktensor-absorb-layouts": ("kpuir.passes.ktensor_absorb_layouts", "KTensorAbsorbLayoutsPass"),
    "ktensor-decompose-arithmetic": (
        "kpuir.passes.ktensor_decompose_arithmetic",
        "KTensorDecomposeArithmeticPass",
    ),
    "ktensor-decompose-functions": ("kpuir.passes.ktensor_decompose_functions", "KTensorDecomposeFunctionsPass"),
    "ktensor-decompose-resize": ("kpuir.passes.ktensor_decompose_resize", "KTensorDecomposeResizePass"),
    "ktensor-decompose-shapes": ("kpuir.passes.ktensor_decompose_shapes", "KTensorDecomposeShapesPass"),
    "ktensor-fold-batch-norm": ("kpuir.passes.ktensor_fold_batch_norm", "KTensorFoldBatchNormPass"),
    "ktensor-fold-constants": ("kpuir.passes.ktensor_fold_constants", "KTensorFoldConstantsPass"),
    "ktensor-fuse-activations": ("kpuir.passes.ktensor_fuse_activations", "KTensorFuseActivationsPass"),
    "ktensor-fuse-pads": ("kpuir.passes.ktensor_fuse_pads", "KTensorFusePadsPass"),
    "ktensor-keep-float": ("kpuir.passes.ktensor_keep_float", "KTensorKeepFloatPass"),
    "ktensor-lower-average-pools": ("kpuir.passes.ktensor_lower_average_pools", "KTensorLowerAveragePoolsPass"),
    "ktensor-lower-transposed-convs": (
        "kpuir.passes.ktensor_lower_transposed_convs",
        "KTensorLowerTransposedConvsPass",
    ),
    "ktensor-sink-depth-to-space": ("kpuir.passes.ktensor_sink_depth_to_space", "KTensorSinkDepthToSpacePass"),
    "ktensor-sink-transposes": ("kpuir.passes.ktensor_sink_transposes", "KTensorSinkTransposesPass"),
    "ktensor-split-inputs": ("kpuir.passes.ktensor_split_inputs", "KTensorSplitInputsPass"),
}
"""Name of a pass -> (module, class)."""
