"""The tasks, one file each, found through one explicit dict; and anyone's own."""

from typing import Protocol

from compacter_cli.errors import Named
from compacter_cli.tasks.acceptability import ACCEPTABILITY
from compacter_cli.tasks.base import Task
from compacter_cli.tasks.boolq import BOOLQ
from compacter_cli.tasks.cb import CB
from compacter_cli.tasks.cola import COLA
from compacter_cli.tasks.copa import COPA, COPA_QUESTION
from compacter_cli.tasks.entailment import ENTAILMENT
from compacter_cli.tasks.mnli import MNLI
from compacter_cli.tasks.mrpc import MRPC
from compacter_cli.tasks.multirc import MULTIRC
from compacter_cli.tasks.own import OwnSection, OwnTask
from compacter_cli.tasks.published import PublishedTask
from compacter_cli.tasks.qnli import QNLI
from compacter_cli.tasks.qqp import QQP
from compacter_cli.tasks.record import RECORD
from compacter_cli.tasks.rte import RTE
from compacter_cli.tasks.sentiment import SENTIMENT
from compacter_cli.tasks.similarity import SIMILARITY
from compacter_cli.tasks.smoke import SMOKE
from compacter_cli.tasks.sst2 import SST2
from compacter_cli.tasks.stsb import STSB
from compacter_cli.tasks.wic import WIC

# In the order of the paper's tables.
TASKS: Named[Task] = Named(
    "task",
    {
        "glue/cola": COLA,
        "glue/sst2": SST2,
        "glue/mrpc": MRPC,
        "glue/qqp": QQP,
        "glue/stsb": STSB,
        "glue/mnli": MNLI,
        "glue/qnli": QNLI,
        "glue/rte": RTE,
        "super_glue/boolq": BOOLQ,
        "super_glue/cb": CB,
        "super_glue/copa": COPA,
        "super_glue/copa_question": COPA_QUESTION,
        "super_glue/multirc": MULTIRC,
        "super_glue/record": RECORD,
        "super_glue/wic": WIC,
        "demo/acceptability": ACCEPTABILITY,
        "demo/sentiment": SENTIMENT,
        "demo/entailment": ENTAILMENT,
        "demo/similarity": SIMILARITY,
        "demo/smoke": SMOKE,
    },
)
"""The published tasks and the demo's, by their names in recipes; not those on your own files."""
DEMO_TASKS = (ACCEPTABILITY, SENTIMENT, ENTAILMENT, SIMILARITY)
PUBLISHED = tuple(task for task in TASKS.values() if isinstance(task, PublishedTask) and task.paper)


class _Recipe(Protocol):
    @property
    def task(self) -> str: ...

    @property
    def data(self) -> object: ...


def task_of(recipe: _Recipe) -> Task:
    """The `Task` of a recipe: one of `TASKS`, or its own data."""
    if recipe.task in TASKS:
        return TASKS[recipe.task]
    assert isinstance(recipe.data, OwnSection)  # the recipe has checked it
    return OwnTask.of(recipe.task, recipe.data)
