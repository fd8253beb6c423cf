"""The program of a child process: reads a question from stdin, writes its answer to stdout."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.profiling.job import Job, Probe, of_plain
from compacter_cli.training.memory import is_out_of_memory

if TYPE_CHECKING:
    from compacter_cli.profiling.rows import Costs, Failure, Machine


def main() -> None:
    """Answer the one question on stdin. Anything that fails as foreseen is an answer too."""
    threading.Thread(target=end_with_parent, args=[os.getppid()], daemon=True).start()
    asked = of_plain(json.load(sys.stdin))
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    json.dump(carry_out(asked), answers)


def end_with_parent(parent: int, every: float = 1.0) -> None:
    """End this process once its parent is gone: killed, it could not end its child itself."""
    while os.getppid() == parent:
        time.sleep(every)
    os._exit(1)


def carry_out(asked: Probe | Job) -> Machine | Costs | Failure:
    """The answer to a question, foreseen failures included."""
    from compacter_cli.profiling.measure import measure, probe

    try:
        return probe(asked) if isinstance(asked, Probe) else measure(asked)
    except CompacterError as error:
        usage = isinstance(error, UsageError)
        return {"failed": str(error), "hint": error.hint, "usage": usage}
    except Exception as error:
        if not (is_out_of_memory(error) or _is_no_room_for_a_thread(error, asked)):
            raise
        return {"failed": "out of memory", "memory": True}


def _is_no_room_for_a_thread(error: Exception, asked: Probe | Job) -> bool:
    """Whether a thread got no stack within the budget, which libraries say in other words."""
    limited = isinstance(asked, Job) and asked.budget is not None
    return limited and os.strerror(errno.EAGAIN) in str(error)


if __name__ == "__main__":
    main()
