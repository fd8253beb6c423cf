"""Pretraining of a small T5 from random weights: what `compacter pretrain` is made of."""
