"""SuperGLUE WiC: does the word mean the same in both sentences?

Source: https://pilehvar.github.io/wic (CC BY-NC 4.0), TFDS `super_glue/wic:1.0.2`. 5,428 training
and 638 validation examples; the validation set is halved (319 and 319). Reproduces the WiC column
of the paper's Table 2 (accuracy).

    sentence1: Do you want to come over to my place later? sentence2: A political system with no
    place for the less prominent groups. word: place   ->   0
"""

from compacter_cli.tasks.base import PublishedTask, super_glue_files

WIC = PublishedTask(
    name="super_glue/wic",
    labels=("False", "True"),
    fields=("sentence1", "sentence2", "word"),
    metrics=("accuracy",),
    rows={"train": 5_428, "validation": 638},
    paper="wic",
    original=super_glue_files(
        "wic",
        "WiC",
        columns=("word", "sentence1", "sentence2", "idx", "label"),
        values=(False, True),
    ),
)
