"""SuperGLUE CB: is the author committed to the embedded clause?

Source: https://github.com/mcdm/CommitmentBank (no licence stated), TFDS `super_glue/cb:1.0.2`. 250
training and 56 validation examples; the validation set is halved (28 and 28). Reproduces the CB
columns of the paper's Table 2 (accuracy and F1, the mean of the three classes' F1).

    premise: It was a complex language. Not written down but handed down. One might say it was
    peeled down. hypothesis: the language was peeled down   ->   0
"""

from compacter_cli.tasks.published import JsonObjects, PublishedTask, super_glue_files

LABELS = ("entailment", "contradiction", "neutral")

CB = PublishedTask(
    name="super_glue/cb",
    labels=LABELS,
    fields=("premise", "hypothesis"),
    metrics=("accuracy", "macro_f1"),
    rows={"train": 250, "validation": 56},
    paper="cb",
    original=super_glue_files(
        "cb",
        "CB",
        JsonObjects(("premise", "hypothesis"), LABELS),
        "8d641383298d54554066ba1c93f56ae7410af75df621b90c63028806bbbbb535",
    ),
)
