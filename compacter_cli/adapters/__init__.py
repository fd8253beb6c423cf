"""Adapters once they are trained: their files, answering with them, KerasHub models with them."""
