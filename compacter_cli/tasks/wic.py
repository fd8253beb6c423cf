"""SuperGLUE WiC: does the word mean the same in both sentences?

Source: https://pilehvar.github.io/wic (CC BY-NC 4.0), TFDS `super_glue/wic:1.0.2`. 5,428 training
and 638 validation examples; the validation set is halved (319 and 319). Reproduces the WiC column
of the paper's Table 2 (accuracy).

    sentence1: Do you want to come over to my place later? sentence2: A political system with no
    place for the less prominent groups. word: place   ->   0
"""

from compacter_cli.tasks.published import JsonObjects, PublishedTask, super_glue_files

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
        JsonObjects(
            ("word", "sentence1", "sentence2"),
            (False, True),
            numbers=("start1", "end1", "start2", "end2"),  # where the word stands
        ),
        "ee7e67f4ae9eafbf533780faa198e62167f3cda54256cdf261877be3c0e90900",
    ),
)
