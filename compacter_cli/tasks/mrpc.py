"""GLUE MRPC: do the two sentences say the same?

Source: https://www.microsoft.com/en-us/download/details.aspx?id=52398 (Microsoft Research
Paraphrase Corpus, MSR's data licence for research), TFDS `glue/mrpc:2.0.0`. It was never zipped:
GLUE takes SentEval's two text files and a list of the pairs that validate. 3,668 training and 408
validation pairs; the validation set is halved (204 and 204). Reproduces the MRPC columns of the
paper's Table 1 (accuracy and F1 of "equivalent").

    sentence1: Amrozi accused his brother , whom he called " the witness " , of deliberately
    distorting his evidence . sentence2: Referring to him as only " the witness " , Amrozi accused
    his brother of deliberately distorting his evidence .   ->   1
"""

from compacter_cli.tasks.published import OriginalFiles, PublishedTask, Table

MRPC = PublishedTask(
    name="glue/mrpc",
    labels=("not_equivalent", "equivalent"),
    fields=("sentence1", "sentence2"),
    metrics=("accuracy", "f1"),
    rows={"train": 3_668, "validation": 408},
    paper="mrpc",
    original=OriginalFiles(
        "glue/mrpc:2.0.0",
        "MRPC",
        archive=None,
        files=dict.fromkeys(("train", "validation"), "msr_paraphrase_train.txt"),
        lines=Table(
            {"sentence1": "#1 String", "sentence2": "#2 String"},
            label="Quality",
            values=("0", "1"),
            keys=("#1 ID", "#2 ID"),
        ),
        sha256={
            "msr_paraphrase_train.txt": (
                "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89"
            ),
            "data_mrpc_dev_ids.tsv": (
                "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7"
            ),
        },
        validating="data_mrpc_dev_ids.tsv",
    ),
)
