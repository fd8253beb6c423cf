"""The subcommands, one file each: a thin Typer wrapper and a plain function."""
