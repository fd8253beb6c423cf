"""Answers over HTTP: several adapters on one backbone, asked together."""
