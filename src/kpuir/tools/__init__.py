"""The command lines `kpu-compile`, `kpu-run`, `kpu-opt` and `kpu-translate`: thin, and known by nothing else."""
