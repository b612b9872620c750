"""An interpreter of each level; `kernels` are the arithmetic they share, and know no IR."""
