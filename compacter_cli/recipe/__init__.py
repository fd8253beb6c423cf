"""Recipes: from TOML and `--set` to one frozen, checked object."""
