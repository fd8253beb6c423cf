"""The shipped recipes, as data: TOML files by benchmark."""
