"""kpuir: a multi-level IR compiler framework for the KPU of the Kendryte K210."""
