"""`T5Model`: a KerasHub T5 backbone with the layers of one method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import keras
import torch
from torch import Tensor
from torch.nn import functional

from compacter_cli.t5.batch import Batch
from compacter_cli.t5.changes import Changes
from compacter_cli.t5.decoding import Decoding
from compacter_cli.t5.dropout import Dropout, seed_device
from compacter_cli.t5.forward import Encoded, T5Forward
from compacter_cli.t5.fused.kernels import FusedKernels
from compacter_cli.t5.kernels import Kernels
from compacter_cli.t5.lean.kernels import LeanKernels
from compacter_cli.t5.placement import backbone_weights, shape_of_backbone
from compacter_cli.t5.shapes import T5Shape
from compacter_cli.t5.variables import assign_all, named_variables, select
from compacter_cli.t5.vocabulary import PAD

if TYPE_CHECKING:
    import numpy as np
    from keras_hub.models import T5Backbone

EXECUTIONS = {"lean": LeanKernels, "fused": FusedKernels, "reference": Kernels}


class FineTuning(Protocol):
    """What a model needs of a method: those of `compacter_cli.methods`, or any like them."""

    @property
    def trains(self) -> Sequence[str]:
        """Which backbone weights train: shell patterns over structural names."""
        ...

    def build(
        self, shape: T5Shape, seed: int, dtype: str, weights: dict[str, keras.Variable]
    ) -> Mapping[str, keras.layers.Layer]:
        """The layers to add, built, by structural name; `t5.changes` lists their kinds.

        `dtype` is the policy of their computation, `weights` the backbone's by structural name.
        """
        ...


class T5Model(keras.Model):
    """A T5 that a method fine-tunes: forward, loss and greedy decoding.

    Several models may stand on one backbone, each with its own method: what a method trains of
    the backbone (layer norms, say) is copied into the model, and the backbone is left as it is.
    The exception is `in_place`, for training without a second copy of the weights.

    Args:
        backbone: KerasHub `T5Backbone`, any T5.
        method: a method's settings, or `None` for the plain T5.
        seed: of the added layers' initial values.
        compute_dtype: "float32" or "bfloat16"; the backbone's own where left out. What trains
            and all layer norms are float32 whatever it is, and cast for the computation.
        exact: mapping from structural name to float32 values, used for the model's own copies
            instead of the backbone's values (a bfloat16 backbone has lost some digits).
        dropout: rate of T5's dropout in training; the backbone's own where left out.
        in_place: train float32 weights of the backbone itself instead of copies of them.
        execution: "auto" is "lean" on a CPU and "fused" on a GPU; "reference" is the plain forward
            pass: slower, and the same results.
        remat: in training keep only the blocks' inputs, and run every block a second time.

    Attributes:
        named_weights: every weight by structural name, added ones included.
        trained: the names that train, exactly what the method declares.

    Raises:
        ValueError: float16, an unknown execution, a selector that matches nothing, or sizes that
            do not divide.

    Examples:
        >>> model = T5Model(backbone, CompacterPP(n=4, bottleneck=24))
        >>> loss = model.loss_of(batch)
    """

    def __init__(
        self,
        backbone: T5Backbone,
        method: FineTuning | None = None,
        *,
        seed: int = 0,
        compute_dtype: str | None = None,
        exact: Mapping[str, Tensor] | None = None,
        dropout: float | None = None,
        in_place: bool = False,
        execution: str = "auto",
        remat: bool = False,
        **kwargs: Any,
    ) -> None:
        compute_dtype = compute_dtype or backbone.compute_dtype
        if compute_dtype not in ("float32", "bfloat16"):
            raise ValueError(
                "`compute_dtype` must be float32 or bfloat16: T5's layer norm overflows float16 "
                f"and returns zeros. Received: {compute_dtype}"
            )
        if execution not in ("auto", *EXECUTIONS):
            known = " or ".join(("auto", *EXECUTIONS))
            raise ValueError(f"`execution` must be {known}. Received: {execution}")
        policy = "mixed_bfloat16" if compute_dtype == "bfloat16" else "float32"
        super().__init__(dtype=policy, **kwargs)
        self.backbone = backbone
        self.method = method
        self.shape = shape_of_backbone(backbone)
        self.dropout = backbone.dropout if dropout is None else dropout
        self.remat = remat
        self._torch_dtype = getattr(torch, compute_dtype)
        self._prepare_weights(exact or {}, in_place, seed, policy)
        self.execution = execution_on(self.device.type) if execution == "auto" else execution
        self.built = True

    def _prepare_weights(
        self, exact: Mapping[str, Tensor], in_place: bool, seed: int, policy: str
    ) -> None:
        weights = backbone_weights(self.backbone)
        for variable in weights.values():
            variable.trainable = False
        layers = self.method.build(self.shape, seed, policy, weights) if self.method else {}
        selectors = self.method.trains if self.method else ()
        copied = "head" in selectors and self.shape.tied
        trained = select(weights, [name for name in selectors if not copied or name != "head"])
        # The model's own: what trains, and in bfloat16 the layer norms, which stay float32.
        lossy = self._torch_dtype != torch.float32
        own = [n for n in weights if n in trained or (lossy and n.endswith("layer_norm"))]
        self._own_weights = []
        for name in own:
            if in_place and weights[name].dtype == "float32":
                weights[name].trainable = name in trained
            else:
                weights[name] = self._copy_of(weights[name], name, name in trained, exact)
        if copied:
            weights["head"] = self._copy_of(weights["embedding"], "head", True, {})
            trained.append("head")
        added = named_variables(layers)
        self.trained = (*trained, *added)
        self._trained_of_backbone = tuple(trained)
        self._added_layers = list(layers.values())  # Keras tracks lists, and would a dict's keys
        self.named_weights = MappingProxyType({**weights, **added})
        self._check_trainable_set()
        # Read once, for reading a variable takes Keras a while: it assigns in place.
        self._tensors = {name: variable.value for name, variable in weights.items()}
        self._changes = Changes(layers, weights)

    def _copy_of(
        self, source: keras.Variable, name: str, trainable: bool, exact: Mapping[str, Tensor]
    ) -> keras.Variable:
        values = exact.get(name, source.value)
        variable = self.add_weight(
            name=name.replace(".", "_"),
            shape=values.shape,
            dtype="float32",
            trainable=trainable,
            autocast=False,
        )
        variable.assign(values)
        self._own_weights.append(variable)
        return variable

    def _check_trainable_set(self) -> None:
        wanted = {id(self.named_weights[name]) for name in self.trained}
        found = {id(variable) for variable in self.trainable_variables}
        if wanted != found:
            raise ValueError(
                f"{len(wanted)} weights should train, but {len(found)} do: the backbone holds "
                "trainable weights that the method does not declare"
            )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._tensors["embedding"].device

    @property
    def unmixable(self) -> str | None:
        """Why rows cannot be computed together with those of other models on the backbone.

        `None` where they can: what stands behind or beside the backbone's products is a row's own.
        """
        if "weight" in self.kinds:
            return "it makes all of the backbone's weights anew"
        if any(not n.endswith("layer_norm") and n != "head" for n in self._trained_of_backbone):
            return "it trains the backbone's own weights"
        return None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of change that the method's layers are: see `t5.changes`."""
        return self._changes.kinds

    @property
    def draws_globally(self) -> bool:
        """Whether dropout is drawn from torch's global generator of the device."""
        return EXECUTIONS[self.execution].draws_globally

    @property
    def dropout_stream(self) -> str:
        """Which stream dropout is drawn from: one that goes on must draw the same."""
        return EXECUTIONS[self.execution].stream(self.device)

    def trained_tensors(self) -> dict[str, Tensor]:
        """The float32 tensor of every trained weight by structural name."""
        return {name: self.named_weights[name].value for name in self.trained}

    def assign(self, values: Mapping[str, Tensor | np.ndarray]) -> None:
        """Set trained weights from `values` by structural name.

        Raises:
            ValueError: the names are not exactly the trained ones, or a shape differs.
        """
        assign_all({name: self.named_weights[name] for name in self.trained}, values)

    def forward_pass(self, training: bool = False, key: Sequence[int] = ()) -> T5Forward:
        """The forward pass of the weights as they are now, cast for the computation.

        In `training`, `key` decides dropout; where it is left out, torch's global generator does.
        The fused execution always draws from that of the device, and a key seeds it.
        """
        remat = self.remat and training
        dropout = self._dropout(key) if training and self.dropout else None
        if dropout and key and self.draws_globally:
            seed_device(self.device, key)
        epsilon = self.backbone.layer_norm_epsilon
        return T5Forward(
            self.shape,
            self._changes.parts(self._tensors, self._torch_dtype, epsilon, remat),
            EXECUTIONS[self.execution](
                self.shape.num_heads, self.shape.key_value_dim, self.backbone.activation, dropout
            ),
            remat,
        )

    def _dropout(self, key: Sequence[int]) -> Dropout:
        if not key and not self.draws_globally:
            key = [int(torch.randint(1 << 62, (), device="cpu"))]
        return Dropout(self.dropout, *key)

    def call(self, inputs: Mapping[str, Tensor], training: bool = False) -> Tensor:
        """Logits (B, T, V) of KerasHub's four inputs: encoder/decoder token ids and masks.

        Those under the target's padding mean nothing.
        """
        forward = self.forward_pass(training)
        states, source_mask = forward.encode(
            inputs["encoder_token_ids"].long(), inputs["encoder_padding_mask"].bool()
        )
        hidden = forward.decode(
            inputs["decoder_token_ids"].long(),
            inputs["decoder_padding_mask"].bool(),
            states,
            source_mask,
        )
        return forward.logits(hidden)

    def summed_loss(self, batch: Batch, training: bool = False, key: Sequence[int] = ()) -> Tensor:
        """Cross-entropy summed over the batch's target tokens, padding left out, in float32.

        Divide by `batch.target_tokens` for the token mean. Teacher forcing: the decoder reads the
        target moved right by one, its first input being the pad token. `key` as for `forward_pass`.
        """
        forward = self.forward_pass(training, key)
        batch = self.sized(batch)
        states, source_mask = forward.encode(batch.source_ids, batch.source_mask)
        inputs = functional.pad(batch.target_ids[:, :-1], (1, 0), value=PAD)
        seen = functional.pad(batch.target_mask[:, :-1], (1, 0), value=True)
        hidden = forward.decode(inputs, seen, states, source_mask)
        return forward.loss(hidden, batch.target_ids, batch.target_mask)

    def sized(self, batch: Batch) -> Batch:
        """A batch in the lengths that the execution computes."""
        return EXECUTIONS[self.execution].sized(batch)

    def loss_of(self, batch: Batch, training: bool = False) -> Tensor:
        """Mean cross-entropy over the batch's target tokens, padding left out."""
        return self.summed_loss(batch, training) / batch.target_tokens

    @torch.no_grad()
    def label_scores(
        self,
        ids: Tensor,
        mask: Tensor,
        labels: Sequence[Sequence[int]],
        forward: T5Forward | None = None,
        encoded: Encoded | None = None,
    ) -> Tensor:
        """Log-probabilities (B, C) of C label texts as answers to source ids (B, S).

        `labels` are lists of token ids, end token included; the sources are encoded once, or not
        at all where `encoded` is what a forward pass made of them. `forward` as for `greedy`.
        """
        steps = max(map(len, labels))
        return self._decoding(ids, mask, steps, forward, encoded).label_scores(labels)

    @torch.no_grad()
    def greedy(
        self,
        ids: Tensor,
        mask: Tensor,
        max_tokens: int,
        forward: T5Forward | None = None,
        encoded: Encoded | None = None,
    ) -> Tensor:
        """Greedy continuation of source ids (B, S): token ids (B, at most max_tokens).

        Positions after a row's end token are padding; decoding stops when every row has ended.
        `forward` saves making the weights anew for every batch, where they have not changed, and
        `encoded`, what a forward pass made of the sources, encoding them.
        """
        return self._decoding(ids, mask, max_tokens, forward, encoded).greedy(max_tokens)

    def _decoding(
        self,
        ids: Tensor,
        mask: Tensor,
        steps: int,
        forward: T5Forward | None,
        encoded: Encoded | None,
    ) -> Decoding:
        forward = forward or self.forward_pass()
        return Decoding(forward, encoded or forward.encode(ids, mask), steps)


def execution_on(device: str) -> str:
    """The execution that is "auto" on a kind of device: what was measured to be fastest there."""
    return "fused" if device == "cuda" else "lean"
