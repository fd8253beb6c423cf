"""Hugging Face's T5 itself: the same logits and the same answers, from its files and from ours."""

import json

import pytest
import torch

from compacter_cli.commands.convert import convert_backbone
from compacter_cli.t5.loading import load_backbone
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.random_backbone import tiny_vocabulary
from compacter_cli.t5.vocabulary import END, read_vocabulary
from compacter_cli.tasks.smoke import SMOKE

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
transformers = pytest.importorskip("transformers", reason='needs pip install "compacter[peers]"')

ROWS = len(tiny_vocabulary()) + 128
KINDS = {
    "v1_0": {"feed_forward_proj": "relu"},
    "v1_1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "tied_and_gated": {"feed_forward_proj": "gated-gelu"},
    "exact_gelu": {"feed_forward_proj": "gated-gelu_python", "tie_word_embeddings": False},
    "silu": {"feed_forward_proj": "gated-silu", "tie_word_embeddings": False},
    "mt5": {},
}


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture
def theirs(tmp_path):
    """Makes a model of Hugging Face's and the directory that it saved itself to."""

    def make(kind, **saving):
        torch.manual_seed(0)
        family = "MT5" if kind == "mt5" else "T5"
        config = getattr(transformers, f"{family}Config")(
            vocab_size=ROWS, d_model=32, d_kv=12, d_ff=48, num_layers=2, num_heads=4,
            decoder_start_token_id=0, **KINDS[kind],
        )  # fmt: skip
        model = getattr(transformers, f"{family}ForConditionalGeneration")(config).eval()
        with torch.no_grad():  # norms of one and small matrices would hide mix-ups
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
        place = tmp_path / kind
        model.save_pretrained(place, **saving)
        (place / "spiece.model").write_bytes(tiny_vocabulary().proto)
        return model, place

    return make


def batch():
    generator = torch.Generator().manual_seed(1)
    ids, target = (
        torch.randint(3, len(tiny_vocabulary()), (4, length), generator=generator)
        for length in (11, 5)
    )
    mask = torch.arange(11)[None, :] < torch.tensor([11, 6, 3, 1])[:, None]
    target[:, 0] = 0
    return ids * mask, mask, target


def logits_there(model):
    ids, mask, target = batch()
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask, decoder_input_ids=target).logits


def logits_here(place):
    ids, mask, target = batch()
    names = ("encoder_token_ids", "encoder_padding_mask", "decoder_token_ids")
    inputs = dict(zip(names, (ids, mask, target), strict=True))
    model = T5Model(load_backbone(str(place)).keras)
    with torch.no_grad():
        return model.call({**inputs, "decoder_padding_mask": torch.ones_like(target)})


def answers_there(model):
    ids, mask, _ = batch()
    with torch.no_grad():
        found = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=8, num_beams=1, do_sample=False
        )
    return [cut(row[1:].tolist()) for row in found]


def answers_here(place):
    ids, mask, _ = batch()
    model = T5Model(load_backbone(str(place)).keras)
    return [cut(row) for row in model.greedy(ids, mask, 8).tolist()]


def cut(row):
    """An answer up to its end; what is behind is padding."""
    return row[: row.index(END)] if END in row else row


def assert_near(found, wanted):
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_their_files_compute_their_logits_and_answers_here(theirs, kind):
    model, place = theirs(kind)
    assert_near(logits_here(place), logits_there(model))
    assert answers_here(place) == answers_there(model)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_through_a_preset_is_their_model_bit_by_bit(theirs, tmp_path, kind):
    model, place = theirs(kind)
    convert_backbone(backbone=str(place), directory=tmp_path / "preset", to="keras-hub")
    convert_backbone(backbone=str(tmp_path / "preset"), directory=tmp_path / "back", to="hf")
    again = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "back").eval()
    wanted, found = model.state_dict(), again.state_dict()
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []
    assert torch.equal(logits_there(again), logits_there(model))
    assert_near(logits_here(tmp_path / "preset"), logits_there(model))


@pytest.mark.parametrize("saving", [{"max_shard_size": "40KB"}, {"safe_serialization": False}])
def test_files_in_their_other_forms_are_read(theirs, saving):
    model, place = theirs("v1_1", **saving)
    assert not (place / "model.safetensors").exists()
    assert_near(logits_here(place), logits_there(model))


def test_their_tokenizer_reads_what_is_written_as_we_do(theirs, tmp_path):
    _, place = theirs("v1_0")
    convert_backbone(backbone=str(place), directory=tmp_path / "back", to="hf")
    texts = [SMOKE.source(row) for row in SMOKE.generate()["train"][:20]]
    wanted = [[*ids, END] for ids in tiny_vocabulary().encode(texts)]
    slow = transformers.T5Tokenizer.from_pretrained(tmp_path / "back")
    assert slow(texts)["input_ids"] == wanted
    assert len(slow) == len(tiny_vocabulary()) + 100
    fast = transformers.T5TokenizerFast.from_pretrained(tmp_path / "back")
    assert fast(texts)["input_ids"] == wanted


def test_the_table_of_their_fast_tokenizer_is_read(theirs, tmp_path):
    _, place = theirs("v1_0")
    fast = transformers.T5TokenizerFast.from_pretrained(place)
    fast.save_pretrained(tmp_path / "fast")
    (tmp_path / "fast" / "spiece.model").unlink(missing_ok=True)
    (tmp_path / "fast" / "config.json").write_text(json.dumps({"model_type": "t5"}))
    found = read_vocabulary(tmp_path / "fast")
    texts = [*(SMOKE.source(row) for row in SMOKE.generate()["train"][:20]), " Zinc  ﬁre"]
    assert found.encode(texts) == tiny_vocabulary().encode(texts)
    assert len(found) == len(tiny_vocabulary())
