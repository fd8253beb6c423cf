import json
import shutil

import pytest
from typer.testing import CliRunner

from compacter_cli.adapters.restoring import Chosen, chosen
from compacter_cli.commands import asked as command
from compacter_cli.commands.asked import Asked, write_answers
from compacter_cli.commands.predict import predict, show
from compacter_cli.commands.predict_rows import Given, odd_texts, read_sources
from compacter_cli.errors import UsageError
from compacter_cli.main import app
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.tasks import TASKS
from compacter_cli.tasks.splits import HALVED_VALIDATION
from compacter_cli.training.run_directory import read_result

SMOKE, RTE = TASKS["demo/smoke"], TASKS["glue/rte"]
LABELS = {"metals only", "a fruit"}


def call(*args):
    return CliRunner().invoke(app, ["predict", "--device", "cpu", *map(str, args)])


def assert_one_line(result, code):
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert all(line.startswith("next: ") for line in lines[1:])
    return lines[0]


@pytest.fixture
def unloaded(monkeypatch):
    """Fails a test that goes on to load a backbone."""
    monkeypatch.setattr(command.Asked, "batches", lambda *_: pytest.fail("loaded the backbone"))


# Answers.


def test_texts_are_answered_with_label_names(keras, smoke_run):
    result = call(
        "--run", smoke_run, "--json",
        "--text", "sentence: iron apple zinc", "--text", "sentence: iron copper zinc",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)  # nothing but JSON
    assert [item["text"] for item in found] == [
        "sentence: iron apple zinc",
        "sentence: iron copper zinc",
    ]
    assert {key for item in found for key in item} == {"text", "prediction", "probabilities"}
    assert all(sum(item["probabilities"].values()) == pytest.approx(1) for item in found)
    assert {item["prediction"] for item in found} <= LABELS


def test_a_table_shows_predictions_and_texts(keras, smoke_run):
    result = call("--run", smoke_run, "--text", "sentence: iron [bold]apple zinc")
    assert result.exit_code == 0, result.output
    assert "[bold]apple" in result.stdout  # no markup
    assert any(label in result.stdout for label in LABELS)


def test_an_unfinished_run_answers_and_is_said_to_be_one(keras, smoke_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(smoke_run, run)
    (run / "result.json").unlink()
    (run / "state").mkdir()
    result = call("--run", run, "--text", "sentence: zinc")
    assert result.exit_code == 0
    assert f"note: {run} is unfinished: this is its best adapter so far" in result.stderr


def test_a_file_of_rows_is_answered_as_the_run_was_tested(keras, smoke_run, tmp_path):
    rows = HALVED_VALIDATION.apply(SMOKE.generate(), 42)["test"]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = call("--run", smoke_run, "--file", path, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [item["text"] for item in found] == [SMOKE.source(row) for row in rows]
    right = sum(
        item["prediction"] == SMOKE.labels[row["label"]]
        for item, row in zip(found, rows, strict=True)
    )
    assert right == pytest.approx(read_result(smoke_run)["test"]["metrics"]["accuracy"])


def test_the_function_answers_in_the_order_of_the_texts(keras, smoke_run):
    recipe = load_recipe(str(smoke_run / "recipe.toml"))
    texts = [SMOKE.source(row) for row in SMOKE.generate()["validation"]]
    adapter = smoke_run / "best"
    forward = predict(adapter=adapter, recipe=recipe, texts=texts, device="cpu")
    backward = predict(adapter=adapter, recipe=recipe, texts=texts[::-1], device="cpu")
    for one, other in zip(forward, backward[::-1], strict=True):
        # Other companions in a batch: other roundings.
        assert one.pop("probabilities") == pytest.approx(other.pop("probabilities"), rel=1e-5)
        assert one == other
    assert len({item["prediction"] for item in forward}) > 1


def test_texts_unlike_those_of_the_training_are_noted(keras, smoke_run):
    result = call("--run", smoke_run, "--text", "an apple", "--json")
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)) == 1
    assert "note: 1 of 1 text is not written as in training: sentence: ..." in result.stderr


# What is read.


def test_a_text_file_is_a_source_a_line_without_blank_ones(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\ufeffsentence: iron\r\n\r\n  \nsentence: apple\n", encoding="utf-8")
    assert read_sources(SMOKE, path).texts == ["sentence: iron", "sentence: apple"]


def test_rows_of_a_jsonl_file_are_written_as_the_task_writes_them(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"sentence2": "It is wet.", "idx": 3, "sentence1": "It \\"rains\\"."}\n'
        "\n"
        '{"sentence1": "a\\nb", "sentence2": "ä"}',
        encoding="utf-8",
    )
    assert read_sources(RTE, path).texts == [
        'sentence1: It "rains". sentence2: It is wet.',
        "sentence1: a\nb sentence2: ä",
    ]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_line_separator_inside_a_row_is_a_part_of_its_text(tmp_path, separator):
    text = f"one{separator}two"  # json.dumps(..., ensure_ascii=False) writes it as it is
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"sentence": text}, ensure_ascii=False), encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == {"sentence": text}
    assert read_sources(SMOKE, path).texts == [f"sentence: {text}"]


def test_texts_written_as_in_training_are_not_odd():
    assert odd_texts(RTE, ["sentence1: a sentence2: b"]) == []
    (said,) = odd_texts(RTE, ["sentence1: a sentence2: b", "a b", "sentence2: b"])
    assert said.startswith("2 of 3 texts")
    assert said.endswith("sentence1: ... sentence2: ...")


# What is refused.


@pytest.mark.usefixtures("unloaded")
def test_neither_text_nor_file_exits_2(smoke_run):
    line = assert_one_line(call("--run", smoke_run), 2)
    assert "expected one of --text, --file and --split, got none" in line


@pytest.mark.usefixtures("unloaded")
def test_both_text_and_file_exit_2(smoke_run, tmp_path):
    (tmp_path / "texts.txt").write_text("sentence: iron\n")
    result = call("--run", smoke_run, "--text", "x", "--file", tmp_path / "texts.txt")
    assert "got --text and --file" in assert_one_line(result, 2)


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize("kinds", [("text", "split"), ("file", "split"), ("text", "file", "split")])
def test_a_split_beside_another_input_exits_2(smoke_run, tmp_path, kinds):
    (tmp_path / "texts.txt").write_text("sentence: iron\n")
    values = {"text": "x", "file": tmp_path / "texts.txt", "split": "test"}
    given = [part for kind in kinds for part in (f"--{kind}", values[kind])]
    line = assert_one_line(call("--run", smoke_run, *given), 2)
    assert f"got {' and '.join(f'--{kind}' for kind in kinds)}" in line


@pytest.mark.usefixtures("unloaded")
def test_an_output_in_a_folder_that_is_not_there_exits_2(smoke_run, tmp_path):
    path = tmp_path / "nowhere" / "answers.jsonl"
    line = assert_one_line(call("--run", smoke_run, "--text", "x", "--output", path), 2)
    assert "there is no folder" in line
    assert not path.parent.exists()


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize("name", ["rows.jsonl", "texts.txt"])
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_exits_2(smoke_run, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    line = assert_one_line(call("--run", smoke_run, "--file", tmp_path / name), 2)
    assert ("holds no rows" if name == "rows.jsonl" else "is empty") in line


@pytest.mark.usefixtures("unloaded")
def test_a_missing_file_exits_2(smoke_run, tmp_path):
    line = assert_one_line(call("--run", smoke_run, "--file", tmp_path / "no.txt"), 2)
    assert str(tmp_path / "no.txt") in line
    assert "No such file" in line


@pytest.mark.usefixtures("unloaded")
def test_a_file_that_is_no_utf8_exits_2(smoke_run, tmp_path):
    (tmp_path / "texts.txt").write_bytes("sentence: ä\n".encode("latin-1"))
    line = assert_one_line(call("--run", smoke_run, "--file", tmp_path / "texts.txt"), 2)
    assert "texts.txt, line 1: not UTF-8" in line


@pytest.mark.usefixtures("unloaded")
def test_a_missing_field_exits_2_with_row_and_field(smoke_run, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"sentence": "iron"}\n{"text": "apple"}\n')
    result = call("--run", smoke_run, "--file", path)
    line = assert_one_line(result, 2)
    assert 'rows.jsonl, line 2: expected the column "sentence", got text' in line
    assert "every row needs sentence" in result.stderr


@pytest.mark.parametrize("line", ["{", "not json", "[1, 2]", '"text"', "3", "null", "true"])
def test_a_row_that_is_no_object_is_refused_by_its_number(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"sentence": "iron"}}\n{line}\n')
    with pytest.raises(UsageError, match=r"rows\.jsonl, line 2: (not JSON|expected a JSON object)"):
        read_sources(SMOKE, path)


def test_a_directory_that_is_no_run_exits_2(tmp_path):
    assert "is no run directory" in assert_one_line(call("--run", tmp_path, "--text", "x"), 2)


def test_a_corrupt_adapter_exits_1_in_one_line(keras, smoke_run, tmp_path):
    run = shutil.copytree(smoke_run, tmp_path / "run")
    path = run / "best" / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    result = call("--run", run, "--text", "sentence: iron")
    assert "is damaged" in assert_one_line(result, 1)


def test_a_preset_that_is_missing_offline_exits_3(smoke_run, tmp_path, monkeypatch, unloaded):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    result = call(
        "--run", smoke_run, "--text", "sentence: iron", "--offline",
        "--set", "backbone.preset=t5_small_multi",
    )  # fmt: skip
    assert "t5_small_multi" in assert_one_line(result, 3)


# What may be set once an adapter is trained.


@pytest.mark.parametrize("change", ["method.bottleneck=12", "task=demo/entailment", "seed=7"])
def test_what_would_be_another_adapter_exits_2(smoke_run, unloaded, change):
    result = call("--run", smoke_run, "--text", "sentence: iron", "--set", change)
    line = assert_one_line(result, 2)
    assert line.startswith(f"error: {change.replace('=', ' = ')}: the adapter in ")
    assert "backbone.precision" in result.stderr


def test_a_precision_that_is_set_is_that_of_the_computation(keras, smoke_run, monkeypatch):
    from compacter_cli.t5.model import T5Model

    made = []
    real = T5Model.forward_pass

    def forward_pass(self, training=False):
        made.append((self.compute_dtype, self.backbone.compute_dtype))
        return real(self, training)

    monkeypatch.setattr(T5Model, "forward_pass", forward_pass)
    result = call(
        "--run", smoke_run, "--text", "sentence: iron", "--set", "backbone.precision=bfloat16"
    )
    assert result.exit_code == 0
    assert set(made) == {("bfloat16", "bfloat16")}


def test_a_source_length_that_is_set_cuts_the_sources(smoke_run):
    texts = ["--text", "sentence: iron zinc apple", "--text", "sentence: iron zinc copper"]
    whole = json.loads(call("--run", smoke_run, *texts, "--json").stdout)
    cut = json.loads(
        call("--run", smoke_run, *texts, "--json", "--set", "data.source_length=3").stdout
    )
    # Rows of one batch are the same to rounding.
    assert whole[0]["probabilities"] != pytest.approx(whole[1]["probabilities"], rel=1e-5)
    same = pytest.approx(cut[1]["probabilities"], rel=1e-5)  # the words that differ are cut off
    assert cut[0]["probabilities"] == same


# Probabilities, files of answers, splits.


def test_a_labels_probability_is_that_of_its_whole_text(keras, smoke_run):
    import torch

    from compacter_cli.adapters.predictor import Predictor
    from compacter_cli.data.dataset import encode_sources
    from compacter_cli.t5.batch import pad
    from compacter_cli.t5.loading import load_backbone

    texts = ["sentence: iron apple zinc", "sentence: iron copper zinc silver"]
    with keras.device("cpu"):
        predictor = Predictor(load_backbone("random/tiny"), smoke_run / "best")
        found = predictor.probabilities(texts, batch_size=1)
        vocabulary, model = predictor.backbone.vocabulary, predictor.model
        sources, _ = encode_sources(texts, vocabulary, 32)
        expected = []
        for source in sources:
            ids, mask = pad([source], "cpu")
            scores = []
            for target in SMOKE.targets:
                tokens, written, score = [*vocabulary.encode([target])[0], 1], [0], 0.0
                for token in tokens:  # one step at a time, everything anew
                    with torch.no_grad():
                        forward = model.forward_pass()
                        states, source_mask = forward.encode(ids, mask)
                        inputs = torch.tensor([written])
                        seen = torch.ones_like(inputs, dtype=torch.bool)
                        hidden = forward.decode(inputs, seen, states, source_mask)
                        logits = forward.logits(hidden)[0, -1]
                    score += logits.log_softmax(-1)[token].item()
                    written.append(token)
                scores.append(score)
            shares = torch.tensor(scores).softmax(-1).tolist()
            expected.append(dict(zip(SMOKE.labels, shares, strict=True)))
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_split_is_written_as_jsonl_with_the_right_answers_and_never_over_a_file(
    keras, smoke_run, tmp_path
):
    path = tmp_path / "answers.jsonl"
    result = call("--run", smoke_run, "--split", "test", "--output", path)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = HALVED_VALIDATION.apply(SMOKE.generate(), 42)["test"]
    assert [item["right"] for item in found] == [[SMOKE.labels[row["label"]]] for row in rows]
    right = sum(item["prediction"] in item["right"] for item in found)
    assert right == pytest.approx(read_result(smoke_run)["test"]["metrics"]["accuracy"])
    before = path.read_bytes()
    again = call("--run", smoke_run, "--text", "sentence: iron", "--output", path)
    assert "exists and is not overwritten" in assert_one_line(again, 2)
    assert path.read_bytes() == before


def test_a_split_is_shown_beside_what_is_right(keras, smoke_run):
    result = call("--run", smoke_run, "--split", "test")
    assert result.stdout.splitlines()[0].split() == ["prediction", "probability", "right", "text"]


@pytest.fixture
def answered(monkeypatch):
    """Answers without a model: every text is a fruit, at 0.75."""
    shares = {"metals only": 0.25, "a fruit": 0.75}

    def batches(asked, done=0):
        size = asked.batch_size
        for start in range(done, len(asked.texts), size):
            yield asked._batch(Made, slice(start, start + size))

    class Made:
        @staticmethod
        def predict_with_probabilities(texts, size, names=None):
            return [("a fruit", shares) for _ in texts]

    monkeypatch.setattr(command.Asked, "batches", batches)
    monkeypatch.setattr("compacter_cli.commands.console.load_frameworks", lambda **_: None)


@pytest.mark.usefixtures("answered")
def test_every_column_of_the_input_stays_beside_the_answer(smoke_run, tmp_path):
    path, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"id": 7, "sentence": "iron", "tags": ["x"]}, {"id": 8, "sentence": "pear"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert call("--run", smoke_run, "--file", path, "--output", output).exit_code == 0
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert [item["row"] for item in found] == rows
    assert [item["text"] for item in found] == ["sentence: iron", "sentence: pear"]


@pytest.mark.parametrize("number", ["NaN", "1e999", "[-Infinity]"])
def test_a_column_that_could_not_be_written_again_as_json_is_refused(smoke_run, tmp_path, number):
    path, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text(f'{{"sentence": "iron"}}\n{{"sentence": "pear", "more": {number}}}\n')
    line = assert_one_line(call("--run", smoke_run, "--file", path, "--output", output), 2)
    assert f"{path}, line 2: not JSON: {number.strip('[]')} is " in line
    assert not output.exists()


@pytest.mark.usefixtures("answered")
@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("tsv", "\t"), ("CSV", ",")])
def test_an_output_that_is_a_table_has_the_inputs_columns_and_the_answers(
    smoke_run, tmp_path, ending, separator
):
    path, output = tmp_path / "in.jsonl", tmp_path / f"out.{ending}"
    path.write_text('{"id": 7, "sentence": "iron"}\n{"sentence": "pear", "more": [1]}\n')
    assert call("--run", smoke_run, "--file", path, "--output", output).exit_code == 0
    assert [line.split(separator) for line in output.read_text().splitlines()] == [
        ["id", "sentence", "more", "prediction", "probability"],
        ["7", "iron", "", "a fruit", "0.75"],
        ["", "pear", "[1]", "a fruit", "0.75"],
    ]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in.jsonl", output.name]


@pytest.mark.usefixtures("answered")
def test_standard_input_is_answered_on_standard_output_in_its_form(smoke_run):
    table = 'id,sentence\n1,"iron, zinc"\n2,pear\n'
    arguments = ["predict", "--run", str(smoke_run), "--file", "-", "--format", "csv"]
    result = CliRunner().invoke(app, [*arguments, "--output", "-", "--batch-size", "1"], table)
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        'id,sentence,prediction,probability\n1,"iron, zinc",a fruit,0.75\n2,pear,a fruit,0.75\n'
    )
    wrong = CliRunner().invoke(app, arguments, "id,sentense\n1,iron\n")
    assert wrong.exit_code == 2
    assert 'standard input, line 2: expected the column "sentence"' in wrong.stderr
    assert 'did you mean "sentense"?' in wrong.stderr


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--file", "-"], "standard input has no ending"),
        (["--text", "x", "--format", "csv"], "--format says what --file holds"),
        (["--text", "x", "--json", "--output", "-"], "--json prints JSON"),
        (["--text", "x", "--json", "--output", "a.csv"], "--json prints JSON"),
        (["--text", "x", "--resume", "--output", "-"], "--resume goes on with a file"),
        (["--text", "x", "--batch-size", "0"], "batch-size"),
        (["--text", "x", "--output", "a.xlsx"], "end --output in .csv or .tsv"),
    ],
)
def test_forms_that_do_not_go_together_are_refused(smoke_run, tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    result = call("--run", smoke_run, *given)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.usefixtures("unloaded")
def test_a_column_that_the_answer_adds_is_refused_for_a_table(smoke_run, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"sentence": "iron", "prediction": 1}\n')
    result = call("--run", smoke_run, "--file", path, "--output", tmp_path / "out.csv")
    assert 'have a column "prediction" already' in assert_one_line(result, 2)


@pytest.mark.usefixtures("answered")
def test_tsv_that_cannot_hold_a_text_says_what_can(smoke_run, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"sentence": "a\\tb"}\n')
    result = call("--run", smoke_run, "--file", path, "--output", tmp_path / "out.tsv")
    assert "TSV holds no tab" in assert_one_line(result, 1)


def test_a_csv_file_of_rows_is_read(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('sentence,more\n"iron, zinc",1\n', encoding="utf-8")
    assert read_sources(SMOKE, path).texts == ["sentence: iron, zinc"]


def test_an_interrupted_output_is_gone_on_with_and_is_the_same(keras, smoke_run, tmp_path):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    recipe, manifest = chosen(smoke_run / "best")[1:]
    train = recipe.train.model_copy(update={"eval_batch_size": 2})
    recipe = recipe.model_copy(update={"train": train})
    texts = [f"sentence: {word} zinc" for word in ("iron", "apple", "copper", "pear", "tin")]
    adapters = {"": Chosen(smoke_run / "best", recipe, manifest)}
    asked = Asked(adapters, Given(texts), "cpu")
    write_answers(asked, whole)
    with pytest.raises(KeyboardInterrupt, match="holds 2 of 5 answers;"):
        write_answers(Interrupted(adapters, Given(texts), "cpu"), cut)
    assert not cut.exists()
    write_answers(asked, cut, resume=True)
    assert cut.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.jsonl", "whole.jsonl"]


class Interrupted(Asked):
    """Ctrl-C comes after a batch."""

    def batches(self, done=0):
        yield next(super().batches(done))
        raise KeyboardInterrupt


@pytest.mark.usefixtures("unloaded")
def test_a_resume_without_an_output_exits_2(smoke_run):
    line = assert_one_line(call("--run", smoke_run, "--text", "x", "--resume"), 2)
    assert "--resume goes on with a file of answers" in line


# Several adapters.


@pytest.fixture
def rows_file(tmp_path):
    """Writes rows for adapters: pairs of a name and a sentence."""

    def write(*pairs):
        path = tmp_path / "rows.jsonl"
        lines = [json.dumps({"adapter": name, "sentence": text}) for name, text in pairs]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def test_rows_are_answered_by_the_adapters_they_name(keras, smoke_run, rows_file, tmp_path):
    copy = shutil.copytree(smoke_run, tmp_path / "copy")
    adapters = ("--adapter", f"a={smoke_run}", "--adapter", f"b={copy}")
    file = rows_file(("a", "iron apple zinc"), ("b", "iron zinc"), ("a", "copper"))
    result = call(*adapters, "--file", file, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [item["adapter"] for item in found] == ["a", "b", "a"]
    texts = [part for item in found for part in ("--text", item["text"])]
    alone = json.loads(call("--run", smoke_run, *texts, "--json").stdout)
    for one, other in zip(found, alone, strict=True):
        assert one["prediction"] == other["prediction"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    shown = call(*adapters, "--file", file).stdout.splitlines()[0]
    assert shown.split() == ["prediction", "probability", "adapter", "text"]
    output = tmp_path / "answers.jsonl"
    assert call(*adapters, "--file", file, "--output", output).exit_code == 0
    assert [json.loads(line)["adapter"] for line in output.read_text().splitlines()] == [*"aba"]


@pytest.mark.usefixtures("unloaded")
def test_a_row_must_name_an_adapter_and_have_its_fields(smoke_run, rows_file, tmp_path):
    adapters = ("--adapter", f"mine={smoke_run}", "--adapter", f"other={smoke_run}")
    line = assert_one_line(call(*adapters, "--file", rows_file(("mime", "iron"))), 2)
    assert 'line 1: there is no adapter "mime"' in line
    path = tmp_path / "odd.jsonl"
    for row, said in (
        ({"sentence": "iron"}, 'expected the column "adapter"'),
        ({"adapter": "mine", "text": "iron"}, 'expected the column "sentence"'),
    ):
        path.write_text(json.dumps(row) + "\n", encoding="utf-8")
        assert said in assert_one_line(call(*adapters, "--file", path), 2)
    line = assert_one_line(call(*adapters, "--file", rows_file(("mime", "a"), ("my", "b"))), 2)
    assert 'no adapter "mime"; 1 more row is wrong: line 2' in line
    for more in (("--text", "x"), ("--split", "test"), ("--file", tmp_path / "rows.txt")):
        said = assert_one_line(call(*adapters, *more), 2)
        assert 'whose column "adapter" names one' in said


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "expected --run or --adapter, got neither"),
        (("--run", "x", "--adapter", "a=x"), "expected --run or --adapter, got both"),
        (("--adapter", "x"), "--adapter x: expected NAME=RUN"),
        (("--adapter", "=x"), "--adapter =x: expected NAME=RUN"),
        (("--adapter", "a=x", "--adapter", "a=y"), "--adapter a=y: the name is given twice"),
        (("--adapter", "a=x"), "x is no run directory"),
    ],
)
def test_one_run_or_named_adapters_are_asked(given, said):
    assert said in assert_one_line(call(*given, "--text", "x"), 2)


def test_answers_that_are_no_label_are_noted(capsys):
    shares = {"good": 0.9, "bad": 0.1}
    answers = [
        {"text": "a", "prediction": "good", "probabilities": shares},
        {"text": "b", "prediction": "1", "probabilities": shares},
        {"text": "c", "prediction": "free text", "probabilities": None},
    ]
    show(answers[::2])
    assert capsys.readouterr().err == ""
    show(answers)
    assert "1 of 3 answers was no label of the task" in " ".join(capsys.readouterr().err.split())
