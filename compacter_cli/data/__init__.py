"""Rows from where they are, and rows to batches."""
