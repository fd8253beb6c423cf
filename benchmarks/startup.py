"""How long light commands take to answer, beside the bare imports that they cannot do without.

    python benchmarks/startup.py --runs 15

Whole processes, in turn, so that whatever else the machine does falls on both; medians, and the
ratio pair by pair. Bytecode is written before, in one run of each that does not count.
"""

import argparse
import statistics
import subprocess
import sys
import time

TYPER, PYDANTIC = "import typer, rich.console", "import typer, rich.table, pydantic"
# (words of the command, what it is held against, at most how many times that)
CASES = [
    (["--help"], TYPER, 1.3),
    (["train", "--help"], TYPER, 1.3),
    (["count-params", "--n", "4", "--d", "24"], PYDANTIC, 1.8),
    (["recipes", "list"], PYDANTIC, 1.8),
    (["validate", "--recipe", "glue/rte_compacterpp"], PYDANTIC, 1.8),
]
PROGRAM = "from compacter_cli.main import main; main()"


def seconds(code, words=()):
    """Wall seconds of a Python process that runs `code`."""
    before = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code, *words],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - before


def main():
    """Print a line a command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=15, help="pairs of each")
    runs = parser.parse_args().runs
    print(f"{'command':34} {'ms':>6} {'imports':>8} {'ratio':>6} {'min-max':>11} {'goal':>5}")
    for words, base, goal in CASES:
        seconds(PROGRAM, words), seconds(base)
        pairs = [(seconds(PROGRAM, words), seconds(base)) for _ in range(runs)]
        ratios = sorted(ours / bare for ours, bare in pairs)
        ours, bare = (1000 * statistics.median(side) for side in zip(*pairs, strict=True))
        print(
            f"{' '.join(words):34} {ours:6.0f} {bare:8.0f} {statistics.median(ratios):6.2f} "
            f"{ratios[0]:5.2f}-{ratios[-1]:.2f} {goal:5.1f}"
        )


if __name__ == "__main__":
    main()
