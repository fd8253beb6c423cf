"""The peer's side: T5 of `transformers`, with `adapters` or `peft` on it, stepped as ours is.

Full fine-tuning and what `peft` has need no `adapters`, and so may be on any version of
`transformers`: the newest attends by torch's SDPA.
"""

import logging
from importlib.metadata import version

import torch
from setting import PEERS, recipe_for

from compacter_cli.profiling.job import Job
from compacter_cli.profiling.measure import random_batch
from compacter_cli.profiling.saved import live_storages, saved_tensors
from compacter_cli.training.trainer import adamw

IGNORED = -100  # the label that transformers leaves out of the loss


def build(setting):
    """`(stepper, batch)` of a setting."""
    job = Job({}, setting.target, 1, setting.device)
    batch = random_batch(setting.dimensions, recipe_for(setting), job, setting.batch)
    return PeerStepper(_model(setting), setting), batch


def loss(stepper, batch):
    """The loss of a training pass, to go back from."""
    return stepper.loss(batch)


def name(stepper):
    """What the peer is: transformers' version and attention, and what is on it."""
    import transformers

    attention = stepper.model.config._attn_implementation
    found = f"transformers {transformers.__version__}, {attention} attention"
    needed = PEERS[stepper.method]
    if needed == "transformers":
        return found
    return f"{needed} {version(needed)}, {found}"


def trained_parameters(stepper):
    """How many parameters got a gradient in the last step."""
    return sum(p.numel() for p in stepper.model.parameters() if p.grad is not None)


def plain_t5(shape, dropout=0.0, use_cache=False):
    """A `T5ForConditionalGeneration` of dimensions `shape`, of random weights."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=shape.vocabulary_size,
        d_model=shape.hidden_dim,
        d_ff=shape.intermediate_dim,
        d_kv=shape.key_value_dim,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        dropout_rate=dropout,
        feed_forward_proj="gated-gelu" if shape.gated else "relu",
        tie_word_embeddings=shape.tied,
        use_cache=use_cache,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config)


def _model(setting):
    model = plain_t5(setting.dimensions, setting.dropout)
    if PEERS[setting.method] == "adapters":
        _add_adapters(model, setting)
    if PEERS[setting.method] == "peft":
        model = _with_peft(model, setting)
    if setting.method != "full" and setting.precision == "bfloat16":
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.bfloat16()  # as ours stores what is frozen
    model.to(setting.device).train()
    return model


def _with_peft(model, setting):
    """LoRA on query and value, or IA3 on keys, values and the feed-forward's inner elements."""
    import peft

    if setting.method == "lora":
        config = peft.LoraConfig(
            r=setting.rank, lora_alpha=16, lora_dropout=0.0, target_modules=["q", "v"]
        )
    else:
        config = peft.IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"])
    return peft.get_peft_model(model, config)


def _add_adapters(model, setting):
    """The method's adapters, all layer norms trained beside them as on our side."""
    import adapters

    # It warns of adapters that are not active, of the moment before they are made so.
    logging.getLogger("adapters").setLevel(logging.ERROR)
    kinds = {
        "compacter": adapters.CompacterConfig,
        "compacterpp": adapters.CompacterPlusPlusConfig,
        "adapter": adapters.DoubleSeqBnConfig,
    }
    more = {"non_linearity": "gelu"} if setting.method == "adapter" else {"phm_dim": setting.n}
    factor = setting.dimensions.hidden_dim / setting.bottleneck
    config = kinds[setting.method](reduction_factor=factor, **more)
    adapters.init(model)
    model.add_adapter("task", config=config)
    model.train_adapter("task")
    for name, parameter in model.named_parameters():
        if name.endswith("layer_norm.weight"):
            parameter.requires_grad = True


class PeerStepper:
    """Full training steps of the peer's model, with the optimizer and clipping of ours."""

    def __init__(self, model, setting):
        self.model, self._setting, self.method = model, setting, setting.method
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._optimizer = adamw(self._parameters)

    def loss(self, batch):
        """The token mean of a batch, computed in the setting's precision."""
        half = self._setting.precision == "bfloat16"
        kind = self._setting.device.partition(":")[0]
        with torch.autocast(kind, torch.bfloat16, enabled=half):
            return self.model(
                input_ids=batch.source_ids,
                attention_mask=batch.source_mask.long(),
                labels=batch.target_ids.masked_fill(~batch.target_mask, IGNORED),
            ).loss

    def step(self, group):
        """One step over a group of one batch, to its end."""
        (batch,) = group
        self._optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        loss.item()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        if self._setting.device.startswith("cuda"):
            torch.cuda.synchronize(self._setting.device)

    def saved_bytes(self, batch):
        """Bytes that one forward pass keeps for backward, weights not counted."""
        self._optimizer.zero_grad(set_to_none=True)
        with saved_tensors(live_storages()) as saved:
            self.loss(batch)
        return saved.bytes


def answer(stepper, batch, tokens):
    """Greedy answers to a batch, of as many tokens: `generate`, with its cache."""
    stepper.model.eval()
    return stepper.model.generate(
        input_ids=batch.source_ids,
        attention_mask=batch.source_mask.long(),
        do_sample=False,
        num_beams=1,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        use_cache=True,
    )
