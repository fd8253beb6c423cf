"""What a run's model is compared on: its validation rows, or random tokens where there are none."""

import dataclasses

import torch

from compacter_cli.exchange.examples import ROWS, examples_of, logits_of
from compacter_cli.recipe.recipe import recipe_of
from compacter_cli.t5.batch import collate
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.random_backbone import tiny_vocabulary
from compacter_cli.t5.vocabulary import END
from compacter_cli.tasks import TASKS

CPU = torch.device("cpu")


def recipe(**tables):
    tables = {"task": "demo/smoke", "method": {"name": "lora"}, **tables}
    return recipe_of({"backbone": {"preset": "random/tiny"}, **tables}, "here")


def test_they_are_the_first_validation_rows_behind_the_prefix(keras):
    found, task = examples_of(recipe(), tiny_vocabulary(), CPU), TASKS["demo/smoke"]
    vocabulary = tiny_vocabulary()
    rows = task.split.apply(task.generate(), 42)["validation"][:ROWS]
    assert found.why is None
    assert len(found.batch) == len(rows)
    prefix = recipe().data.prefix
    for number in (0, len(rows) - 1):
        source = vocabulary.encode([f"{prefix} {task.source(rows[number])}"])[0]
        ids = found.batch.source_ids[number][found.batch.source_mask[number]]
        assert ids.tolist() == [*source, END]
    target = found.batch.target_ids[0][found.batch.target_mask[0]].tolist()
    assert target == [*vocabulary.encode([task.target(rows[0])])[0], END]


def test_without_rows_they_are_random_tokens_and_it_is_said_why(keras, tmp_path):
    given = recipe(task="glue/rte", data={"data_dir": str(tmp_path)})
    found = examples_of(given, tiny_vocabulary(), CPU)
    assert "glue/rte" in found.why
    assert len(found.batch) == ROWS
    assert found.batch.source_mask.all()
    assert found.batch.source_ids.max() < len(tiny_vocabulary())
    assert torch.equal(
        found.batch.source_ids, examples_of(given, tiny_vocabulary(), CPU).batch.source_ids
    )


def test_logits_are_of_real_target_tokens_each_after_those_before_it(keras, tiny_backbone):
    with keras.device("cpu"):
        model = T5Model(tiny_backbone(num_layers=1))

    batch = collate([[5, 6, 1], [7, 1]], [[9, 8, 1], [4, 1]], CPU)
    found = logits_of(model, batch)
    assert found.shape == (5, 64)
    loss = torch.nn.functional.cross_entropy(found, torch.tensor([9, 8, 1, 4, 1]))
    torch.testing.assert_close(loss, model.loss_of(batch))
    longer = dataclasses.replace(batch, target_ids=batch.target_ids.clone())
    longer.target_ids[0, 2] = 33  # the last one is read by nothing
    torch.testing.assert_close(logits_of(model, longer), found)
