"""The tasks, one file each, found through one explicit dict."""

from compacter_cli.tasks.rte import RTE
from compacter_cli.tasks.smoke import SMOKE

TASKS = {
    "glue/rte": RTE,
    "demo/smoke": SMOKE,
}
