"""Reports for people: analyses in, text or SVG out. Nothing here writes a file or prints."""
