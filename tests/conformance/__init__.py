"""kmodels and the released nncase 1.9: its compiler's files in our interpreter, our files in its simulator."""
