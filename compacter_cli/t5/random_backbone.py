"""The backbone `random/tiny`: random weights and a small vocabulary, made on the spot."""

from __future__ import annotations

import functools
import io
import random
from typing import TYPE_CHECKING

from compacter_cli.t5.shapes import RANDOM_TINY_SHAPE, T5Shape
from compacter_cli.t5.vocabulary import Vocabulary
from compacter_cli.tasks.smoke import SMOKE

if TYPE_CHECKING:
    from keras_hub.models import T5Backbone

WEIGHT_SEED = 20_210_608  # fixed, so that every process makes the same backbone


@functools.cache
def tiny_vocabulary() -> Vocabulary:
    """A unigram vocabulary over the words of the smoke task, the same in every process."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SMOKE.corpus()),
        model_writer=model,
        vocab_size=RANDOM_TINY_SHAPE.vocabulary_size,
        hard_vocab_limit=False,
        num_threads=1,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return Vocabulary(model.getvalue())


def tiny_backbone() -> T5Backbone:
    """The backbone `random/tiny`, the same in every process."""
    import keras
    import numpy as np

    state = random.getstate()  # Keras draws default seeds from it
    backbone = random_backbone(RANDOM_TINY_SHAPE)
    random.setstate(state)
    generator = np.random.default_rng(WEIGHT_SEED)
    for variable in backbone.weights:
        if keras.ops.ndim(variable) == 2:
            fan_in = 1 if "embedding" in variable.path else variable.shape[0]
            scale = fan_in**-0.5
            variable.assign(generator.normal(0.0, scale, variable.shape))
    return backbone


def random_backbone(shape: T5Shape, dropout: float = 0.1) -> T5Backbone:
    """A KerasHub `T5Backbone` of dimensions `shape` with KerasHub's random weights."""
    import keras_hub

    return keras_hub.models.T5Backbone(
        vocabulary_size=shape.vocabulary_size,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        hidden_dim=shape.hidden_dim,
        intermediate_dim=shape.intermediate_dim,
        key_value_dim=shape.key_value_dim,
        activation="gelu" if shape.gated else "relu",
        use_gated_activation=shape.gated,
        tie_embedding_weights=shape.tied,
        dropout=dropout,
        dtype="float32",
    )
