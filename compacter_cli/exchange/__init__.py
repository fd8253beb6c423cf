"""T5s and adapters of other programs, read and written: each format a file, found in `FORMATS`."""
