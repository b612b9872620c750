"""From real numbers to the KPU's integers: ranges, scales, fixed point, activation tables, registers. Knows no IR."""
