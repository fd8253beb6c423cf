"""One training run: its loop, its directory, its scores."""
