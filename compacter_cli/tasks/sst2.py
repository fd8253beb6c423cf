"""GLUE SST-2: is the movie review positive?

Source: https://nlp.stanford.edu/sentiment (Stanford Sentiment Treebank; the archive states no
licence), TFDS `glue/sst2:2.0.0`. 67,349 training and 872 validation sentences; 1,000 training
sentences validate, the validation set is the test. Reproduces the SST-2 column of the paper's
Table 1 (accuracy).

    sentence: hide new secretions from the parental units   ->   0
"""

from compacter_cli.tasks.published import PublishedTask, Table, glue_files, named
from compacter_cli.tasks.splits import HELD_OUT_TRAINING

SST2 = PublishedTask(
    name="glue/sst2",
    labels=("negative", "positive"),
    fields=("sentence",),
    metrics=("accuracy",),
    rows={"train": 67_349, "validation": 872},
    split=HELD_OUT_TRAINING,
    paper="sst2",
    original=glue_files(
        "sst2",
        "SST-2",
        Table(named("sentence"), values=("0", "1")),
        "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa",
    ),
)
