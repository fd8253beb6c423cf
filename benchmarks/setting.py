"""What one side of a comparison is asked to build: the same for ours and for the peer."""

import math
import random
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import islice
from statistics import NormalDist

from compacter_cli.methods import METHODS as OURS
from compacter_cli.t5.shapes import shape_of
from compacter_cli.t5.vocabulary import PAD, Vocabulary

RULE = "rule"  # in the place of a preset: lengths as T5's own vocabulary would about give them
SHAPES = {"small": "t5_small_multi", "base": "t5_base_multi", "tiny": "random/tiny"}
PEERS = {  # what the peer of a method is built with
    "compacter": "adapters",
    "compacterpp": "adapters",
    "adapter": "adapters",
    "full": "transformers",
    "lora": "peft",
    "ia3": "peft",
}
METHODS = (*PEERS, "lphm", "krona")  # the last two have none


@dataclass(frozen=True)
class Setting:
    """One comparison. Attributes are as the options of `against_peers.py` say.

    `depth` multiplies the blocks of either stack; where `ragged`, the sources of the batch are as
    long as RTE's, cut at `source`; `rte` is a folder of original files and
    `vocabulary` a preset directory or `RULE`, both `None` without an epoch.
    """

    method: str
    shape: str = "small"
    batch: int = 16
    source: int = 128
    target: int = 4
    bottleneck: int = 16
    n: int = 4
    rank: int = 8
    dropout: float = 0.1
    depth: int = 1
    ragged: bool = False
    threads: int = 2
    device: str = "cpu"
    precision: str = "float32"
    rte: str | None = None
    vocabulary: str | None = None
    share: float = 0.1

    @property
    def dimensions(self):
        """The `T5Shape` of the backbone on both sides."""
        shape = shape_of(SHAPES[self.shape])
        return replace(shape, num_layers=self.depth * shape.num_layers)

    @property
    def title(self):
        """What is compared, for a table's cell."""
        deeper = f" x{self.depth} deep" if self.depth > 1 else ""
        ragged = ", RTE's lengths" if self.ragged else ""
        return f"{self.method} {self.shape}{deeper} {self.batch}x{self.source}{ragged}"

    def as_data(self):
        return asdict(self)


def method_settings(setting):
    """`key=value` overrides that give our method the setting's dimensions."""
    fields = OURS[setting.method].model_fields
    sizes = {"bottleneck": setting.bottleneck, "n": setting.n}
    if setting.method == "lora":
        sizes["rank"] = setting.rank
    return [f"method.{name}={size}" for name, size in sizes.items() if name in fields]


def recipe_for(setting):
    """The `Recipe` of a setting: our side trains it, and both draw their batches from it."""
    from compacter_cli.profiling.plan import NO_TASK, recipes_of

    tables = {
        "task": "glue/rte" if setting.rte else NO_TASK,
        "backbone": {"preset": SHAPES[setting.shape], "precision": setting.precision},
        "train": {"batch_size": setting.batch, "dropout": setting.dropout},
        "data": {"source_length": setting.source, "prefix": ""},  # the peer's has none
    }
    overrides = [
        *method_settings(setting),
        *([f"data.folder={setting.rte}"] if setting.rte else []),
    ]
    return recipes_of([setting.method], tables, overrides)[setting.method]


def rte_lengths(count, most):
    """`count` lengths as T5's vocabulary gives RTE's sources, cut at `most`: as many tokens.

    Log-normal, with the median of 60 and the ninth decile of 142 that `RuleOfThumb` gives of them;
    evenly spaced quantiles, in an order of chance.
    """
    normal = NormalDist(math.log(60), math.log(142 / 60) / NormalDist().inv_cdf(0.9))
    lengths = [math.exp(normal.inv_cdf((place + 0.5) / count)) for place in range(count)]
    return random.Random(0).sample([min(most, round(length)) for length in lengths], count)


def cut(batch, lengths):
    """A batch (`Batch`) whose sources are cut to `lengths`, and padded to the longest."""
    import torch

    ids = batch.source_ids[:, : max(lengths)]
    ends = torch.tensor(lengths, device=ids.device)[:, None]
    mask = torch.arange(ids.shape[1], device=ids.device) < ends
    return replace(batch, source_ids=ids.masked_fill(~mask, PAD), source_mask=mask)


def real_batches(setting):
    """The batches of the first `share` of an RTE epoch, in training's random order.

    Each is padded to its longest example, as the peer's collator does by default.
    """
    from compacter_cli.data.dataset import batches, shuffled_order

    split, recipe = _training_split(setting), recipe_for(setting)
    order = shuffled_order(len(split), recipe.data.seed, recipe.seed, 1)
    count = math.ceil(setting.share * len(split) / setting.batch)
    return islice(batches(split, setting.batch, setting.device, order), count)


class RuleOfThumb(Vocabulary):
    """Lengths without a vocabulary: 1.3 tokens a word of English, 3 for a field's name.

    About what T5's 32,000 pieces give; a stand-in where they are not at hand. All ids are one.
    """

    def __init__(self):
        self.sha256 = RULE

    def encode(self, texts):
        return [[2] * self._length(text.split()) for text in texts]

    @staticmethod
    def _length(words):
        names = sum(word.endswith(":") for word in words)
        return round(1.3 * (len(words) - names)) + 3 * names


@cache
def _training_split(setting):
    from compacter_cli.data.dataset import build_dataset
    from compacter_cli.data.sources import load_rows
    from compacter_cli.profiling.measure import vocabulary_for
    from compacter_cli.tasks import task_of

    recipe = recipe_for(setting)
    task = task_of(recipe)
    by_rule = setting.vocabulary == RULE
    vocabulary = (
        RuleOfThumb() if by_rule else vocabulary_for(setting.vocabulary, setting.dimensions)
    )
    rows = load_rows(task, recipe.data, offline=True)
    return build_dataset(task, rows, vocabulary, recipe.data, recipe.seed).train
