"""The machines kpuir compiles for: facts, rules, layouts and time formulas. Knows no IR."""
