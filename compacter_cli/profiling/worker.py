"""The program of a child process: reads a job from stdin, writes what it measured to stdout."""

import json
import os
import sys
import threading
import time

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.training.memory import is_out_of_memory


def main():
    """Measure the one job on stdin. Anything that fails as foreseen is a result too."""
    threading.Thread(target=end_with_parent, args=[os.getppid()], daemon=True).start()
    job = json.load(sys.stdin)
    results, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    json.dump(carry_out(job), results)


def end_with_parent(parent, every=1.0):
    """End this process once its parent is gone: killed, it could not end its child itself."""
    while os.getppid() == parent:
        time.sleep(every)
    os._exit(1)


def carry_out(job):
    """The result of a job, `{"probe": device}` or plain data of a `Job`, failures included."""
    from compacter_cli.profiling.job import Job
    from compacter_cli.profiling.measure import measure, probe

    try:
        return probe(job["probe"], job["threads"]) if "probe" in job else measure(Job(**job))
    except CompacterError as error:
        usage = isinstance(error, UsageError)
        return {"failed": str(error), "hint": error.hint, "usage": usage}
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return {"failed": "out of memory", "memory": True}


if __name__ == "__main__":
    main()
