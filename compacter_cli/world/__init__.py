"""The demo world: a small English with a lexicon, a grammar and a logic, all from a seed."""
