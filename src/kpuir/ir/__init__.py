"""What dialects and passes share: arrays in attributes, locations, rewriting, printing. Knows no dialect of ours."""
