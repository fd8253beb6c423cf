"""Made-up files of all fourteen tasks in the original formats, and the rows in them."""

import json


def _table(header, *rows):
    return "".join(
        "\t".join(map(str, cells)) + "\n" for cells in ([header] if header else []) + [*rows]
    )


def _jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def _glue(columns, train, dev, test=None):
    """The three TSV files of a GLUE task, `columns` named in one text."""
    header = columns.split()
    files = {"train.tsv": _table(header, *train), "dev.tsv": _table(header, *dev)}
    return {**files, "test.tsv": test or _table(["index", "sentence"], [0, "Unlabelled."])}


def _super_glue(train, val, label="label"):
    """The three JSONL files of a SuperGLUE task; the test file's row has no label."""
    unlabelled = {key: value for key, value in val[0].items() if key != label}
    return {
        "train.jsonl": _jsonl(*train),
        "val.jsonl": _jsonl(*val),
        "test.jsonl": _jsonl(unlabelled),
    }


def _mnli(rows, labels):
    columns = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse"
    columns += " sentence1_parse sentence2_parse sentence1 sentence2 "
    columns += " ".join(f"label{number}" for number in range(1, labels + 1))
    cells = [
        [n, 10 + n, f"{n}n", "slate", *("( a b )", "( c )", "(ROOT a)", "(ROOT c)"), *texts]
        + [gold] * (labels + 1)
        for n, (*texts, gold) in enumerate(rows)
    ]
    if not labels:  # the test files
        return _table(columns.split(), *(row[:-1] for row in cells))
    return _table([*columns.split(), "gold_label"], *cells)


def _stsb(*rows):
    return [
        [n, "main-news", "MSRpar", "2012test", f"{n:04}", "none", "none", *cells]
        for n, cells in enumerate(rows)
    ]


def _multirc(idx, label=True):
    answers = [("A dog", 0, 0), ('The "cat"', 1, 1)]
    questions = [
        {
            "question": "Who <b>slept</b>?",
            "idx": question,
            "answers": [
                {"text": text, "idx": n, **({"label": value} if label else {})}
                for text, n, value in answers
            ],
        }
        for question in (0, 1)
    ]
    return {"idx": idx, "version": 1.1, "passage": {"text": "Sent 1: Öl.", "questions": questions}}


def _multirc_rows(idx):
    return [
        {
            "paragraph": "Sent 1: Öl.",
            "question": "Who <b>slept</b>?",
            "answer": answer,
            "idx": {"paragraph": idx, "question": question, "answer": number},
            "label": number,
        }
        for question in (0, 1)
        for number, answer in enumerate(("A dog", 'The "cat"'))
    ]


def _record(idx, queries, answers=True):
    """One passage of two entities, Oslo twice; `queries` are (idx, text, answers)."""
    text = "Ada saw Oslo.\n@highlight\nOslo won"
    entities = [{"start": 8, "end": 11}, {"start": 0, "end": 2}, {"start": 25, "end": 28}]
    qas = [
        {
            "idx": number,
            "query": query,
            **(
                {"answers": [{"start": 0, "end": 1, "text": answer} for answer in found]}
                if answers
                else {}
            ),
        }
        for number, query, found in queries
    ]
    return {
        "source": "CNN",
        "idx": idx,
        "passage": {"text": text, "entities": entities},
        "qas": qas,
    }


def _record_row(passage, number, query, answers):
    return {
        "passage": "Ada saw Oslo.\n@highlight\nOslo won",
        "query": query,
        "entities": ["Ada", "Oslo"],
        "answers": answers,
        "idx": {"passage": passage, "query": number},
    }


def _rows(names, *rows, label="label"):
    """Rows by their fields' names, numbered, the label last."""
    return [
        {**dict(zip(names.split(), cells, strict=True)), "label": value, "idx": idx}
        for idx, (*cells, value) in enumerate(rows)
    ]


_WIC = ("start1", "end1", "start2", "end2")
_MARK = "\ufeff"
_PARAPHRASES = ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]

# A task's files, and the rows that must come of them.
ORIGINALS = {
    "glue/cola": (
        {
            "train.tsv": _table(
                None,
                ["gj04", 1, "", "We won."],
                ["gj04", 0, "*", 'Won we "it.'],
                ["ks", 1, "", "Ö"],
            ),
            "dev.tsv": _table(None, ["gj04", 0, "*", "Them won."]),
            "test.tsv": _table(["index", "sentence"], [0, "Unlabelled."]),
        },
        {
            "train": _rows("sentence", ["We won.", 1], ['Won we "it.', 0], ["Ö", 1]),
            "validation": _rows("sentence", ["Them won.", 0]),
        },
    ),
    "glue/sst2": (
        _glue("sentence label", [["a dull film ", 0], ['so "good ', 1]], [["it works", 1]]),
        {
            "train": _rows("sentence", ["a dull film ", 0], ['so "good ', 1]),
            "validation": _rows("sentence", ["it works", 1]),
        },
    ),
    "glue/mrpc": (
        {
            "msr_paraphrase_train.txt": _MARK
            + _table(
                _PARAPHRASES,
                *([1, 11, 12, "Aye .", "Yes ."], [0, 21, 22, 'A " b', "C"], [0, 31, 32, "D", "Ë"]),
            ),
            "msr_paraphrase_test.txt": _MARK + _table(_PARAPHRASES, [1, 41, 42, "E", "F"]),
            "data_mrpc_dev_ids.tsv": _table(None, [21, 22]),
        },
        {
            "train": [
                {"sentence1": "Aye .", "sentence2": "Yes .", "label": 1, "idx": 0},
                {"sentence1": "D", "sentence2": "Ë", "label": 0, "idx": 2},
            ],
            "validation": [{"sentence1": 'A " b', "sentence2": "C", "label": 0, "idx": 1}],
        },
    ),
    "glue/qqp": (
        _glue(
            "id qid1 qid2 question1 question2 is_duplicate",
            [[900, 1, 2, "Why?", "How come?", 1], [901, 3, 4, "Who?", "When?", 0]],
            [[902, 5, 6, "Where?", "What place?", 1]],
            _table(["id", "question1", "question2"], [0, "Why?", "Who?"]),
        ),
        {
            "train": _rows("question1 question2", ["Why?", "How come?", 1], ["Who?", "When?", 0]),
            "validation": _rows("question1 question2", ["Where?", "What place?", 1]),
        },
    ),
    "glue/stsb": (
        _glue(
            "index genre filename year old_index source1 source2 sentence1 sentence2 score",
            _stsb(["One.", "1.", "5.000"], ["Two.", "Three.", "2.50"], ["A man.", "A cat.", "0"]),
            _stsb(["Four.", "Five.", "3.800"]),
            _table(["index", "sentence1", "sentence2"], [0, "a", "b"]),
        ),
        {
            "train": _rows(
                "sentence1 sentence2",
                *(["One.", "1.", 5.0], ["Two.", "Three.", 2.5]),
                ["A man.", "A cat.", 0.0],
            ),
            "validation": _rows("sentence1 sentence2", ["Four.", "Five.", 3.799999952316284]),
        },
    ),
    "glue/mnli": (
        {
            "train.tsv": _mnli(
                [("It rains.", "It is wet.", "entailment"), ("Hm.", "No.", "contradiction")], 1
            ),
            "dev_matched.tsv": _mnli([("A.", "B.", "neutral")], 5),
            "dev_mismatched.tsv": _mnli(
                [("C.", "D.", "contradiction"), ("E.", "F.", "entailment")], 5
            ),
            "test_matched.tsv": _mnli([("G.", "H.", "")], 0),
            "test_mismatched.tsv": _mnli([("I.", "J.", "")], 0),
        },
        {
            "train": _rows("premise hypothesis", ["It rains.", "It is wet.", 0], ["Hm.", "No.", 2]),
            "validation_matched": _rows("premise hypothesis", ["A.", "B.", 1]),
            "validation_mismatched": _rows("premise hypothesis", ["C.", "D.", 2], ["E.", "F.", 0]),
        },
    ),
    "glue/qnli": (
        _glue(
            "index question sentence label",
            [[0, "Who?", "Ada did.", "entailment"], [1, "When?", "Oslo.", "not_entailment"]],
            [[0, "Where?", "In Oslo.", "entailment"]],
            _table(["index", "question", "sentence"], [0, "a", "b"]),
        ),
        {
            "train": _rows("question sentence", ["Who?", "Ada did.", 0], ["When?", "Oslo.", 1]),
            "validation": _rows("question sentence", ["Where?", "In Oslo.", 0]),
        },
    ),
    "glue/rte": (
        _glue(
            "index sentence1 sentence2 label",
            [[0, "It rains.", "It is dry.", "not_entailment"], [1, "A b.", "A.", "entailment"]],
            [[0, "Ada won.", "Someone won.", "entailment"]],
            _table(["index", "sentence1", "sentence2"], [0, "a", "b"]),
        ),
        {
            "train": _rows(
                "sentence1 sentence2", ["It rains.", "It is dry.", 1], ["A b.", "A.", 0]
            ),
            "validation": _rows("sentence1 sentence2", ["Ada won.", "Someone won.", 0]),
        },
    ),
    "super_glue/boolq": (
        _super_glue(
            [
                {"question": "is it", "passage": "It -- is.\nÄh", "idx": 0, "label": True},
                {"question": "was it", "passage": "No.", "idx": 1, "label": False},
            ],
            [{"question": "will it", "passage": "Yes.", "idx": 0, "label": True}],
        ),
        {
            "train": _rows("question passage", ["is it", "It -- is.\nÄh", 1], ["was it", "No.", 0]),
            "validation": _rows("question passage", ["will it", "Yes.", 1]),
        },
    ),
    "super_glue/cb": (
        _super_glue(
            [
                {
                    "premise": "A: So. B: No?",
                    "hypothesis": "So",
                    "label": "contradiction",
                    "idx": 0,
                },
                {"premise": "It is.", "hypothesis": "it is", "label": "entailment", "idx": 1},
            ],
            [{"premise": "Maybe.", "hypothesis": "it is", "label": "neutral", "idx": 0}],
        ),
        {
            "train": _rows(
                "premise hypothesis", ["A: So. B: No?", "So", 1], ["It is.", "it is", 0]
            ),
            "validation": _rows("premise hypothesis", ["Maybe.", "it is", 2]),
        },
    ),
    "super_glue/copa": (
        _super_glue(
            [
                {
                    "premise": "It fell.",
                    "choice1": "I let go.",
                    "choice2": "I sat.",
                    "question": "cause",
                    "label": 0,
                    "idx": 0,
                }
            ],
            [
                {
                    "premise": "I ran.",
                    "choice1": "I slept.",
                    "choice2": "I am tired.",
                    "question": "effect",
                    "label": 1,
                    "idx": 0,
                }
            ],
        ),
        {
            "train": _rows(
                "premise choice1 choice2 question", ["It fell.", "I let go.", "I sat.", "cause", 0]
            ),
            "validation": _rows(
                "premise choice1 choice2 question",
                ["I ran.", "I slept.", "I am tired.", "effect", 1],
            ),
        },
    ),
    "super_glue/multirc": (
        {
            "train.jsonl": _jsonl(_multirc(0), _multirc(3)),
            "val.jsonl": _jsonl(_multirc(0)),
            "test.jsonl": _jsonl(_multirc(0, label=False)),
        },
        {"train": _multirc_rows(0) + _multirc_rows(3), "validation": _multirc_rows(0)},
    ),
    "super_glue/record": (
        {
            # The second passage's queries are numbered below the first one's.
            "train.jsonl": _jsonl(
                _record(1, [(9, "@placeholder won", ["Oslo", "Ada", "Oslo"])]),
                _record(0, [(4, "In @placeholder", ["Oslo"]), (2, "@placeholder saw", ["Ada"])]),
            ),
            "val.jsonl": _jsonl(_record(0, [(0, "@placeholder ran", ["Ada"])])),
            "test.jsonl": _jsonl(_record(0, [(0, "@placeholder ran", [])], answers=False)),
        },
        {
            "train": [
                _record_row(0, 2, "@placeholder saw", ["Ada"]),
                _record_row(0, 4, "In @placeholder", ["Oslo"]),
                _record_row(1, 9, "@placeholder won", ["Ada", "Oslo"]),
            ],
            "validation": [_record_row(0, 0, "@placeholder ran", ["Ada"])],
        },
    ),
    "super_glue/wic": (
        _super_glue(
            [
                {
                    "word": "place",
                    "sentence1": "My place.",
                    "sentence2": "A place.",
                    "idx": 0,
                    "label": False,
                    "version": 1.1,
                    **dict(zip(_WIC, (3, 8, 2, 7), strict=True)),
                }
            ],
            [
                {
                    "word": "run",
                    "sentence1": "I run.",
                    "sentence2": "You run.",
                    "idx": 0,
                    "label": True,
                    "version": 1.1,
                    **dict(zip(_WIC, (2, 5, 4, 7), strict=True)),
                }
            ],
        ),
        {
            "train": _rows(
                "word sentence1 sentence2 start1 end1 start2 end2",
                ["place", "My place.", "A place.", 3, 8, 2, 7, 0],
            ),
            "validation": _rows(
                "word sentence1 sentence2 start1 end1 start2 end2",
                ["run", "I run.", "You run.", 2, 5, 4, 7, 1],
            ),
        },
    ),
}
