"""Adapters for other programs: each format a file, found through `FORMATS`."""
