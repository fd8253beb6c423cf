"""Makes tests/screens/recorded anew: one small real run of every command that takes its time.

    python tests/screens/record.py     # some minutes on two cores

What is of the machine alone is left out: where it was run, and the versions of libraries. What the
published tasks' rows would be wanted for, `status.json` and `prepared.json`, is written by hand.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
STORY, SWEEP = "runs/demo/story", "runs/sweeps/rates"
SMOKE = ("--recipe", "demo/smoke_compacterpp")
SHORT = ("--set", "train.epochs=2", "--set", "train.warmup_steps=6")
RATES = ("sweep", *SMOKE, *SHORT, "--grid", "train.learning_rate=0.01,1e12")
TINY_TEXT = (
    "text.world=3_000", "text.world_exercises=2_000", "text.validation=100",
    "vocabulary.size=600", "train.steps=40", "train.warmup_steps=4", "train.eval_every=20",
    "train.save_every=20",
)  # fmt: skip
PREDICTED = 3  # rows of a split
SHOWN_VERSIONS = {"torch": "2.0.0"}  # whatever it was


def called(*arguments):
    """(stdout, lines of stderr) of a command, whatever it ends with."""
    command = (sys.executable, "-P", "-m", "compacter_cli", *arguments)
    print("compacter", *arguments, flush=True)
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout, found.stderr.splitlines()


def as_json(*arguments):
    return json.loads(called(*arguments, "--json")[0])


def of_no_machine(value):
    """A value without what only this machine has: where it was run, and versions."""
    if isinstance(value, dict):
        kept = {key: of_no_machine(one) for key, one in value.items() if key != "versions"}
        return {**kept, **{key: one for key, one in SHOWN_VERSIONS.items() if key in kept}}
    if isinstance(value, list):
        return [*map(of_no_machine, value)]
    if isinstance(value, str):
        return value.replace(os.getcwd(), "/home/me")
    return value


def keep(name, value):
    text = json.dumps(of_no_machine(value), indent=1, ensure_ascii=False)
    (RECORDED / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def record_a_story():
    """The demo's two runs, and what is done with the small one."""
    keep("demo", as_json("demo", "-o", STORY))
    run = ("--run", f"{STORY}/compacterpp")
    keep("evaluation", as_json("evaluate", *run))
    keep("answers", as_json("predict", *run, "--split", "validation")[:PREDICTED])


def record_two_metrics():
    """A training that is too short, so that some answers are no number."""
    run = "runs/short"
    called("train", "--recipe", "demo/similarity_compacterpp", *SHORT, "-o", run)
    keep("evaluation-two", as_json("evaluate", "--run", run))


def record_a_conversion():
    called("train", "--recipe", "demo/sentiment_lora", *SHORT, "-o", "runs/lora")
    keep("converted", as_json("convert", "runs/lora", os.path.abspath("my_t5")))
    keep(
        "converted-backbone", as_json("convert", "my_t5", os.path.abspath("my_t5_hf"), "--to", "hf")
    )


def record_a_pretraining():
    settings = [part for value in TINY_TEXT for part in ("--set", value)]
    recipe = ("pretrain", "--recipe", "demo/pretrain.toml", *settings)
    keep("pretrained", as_json(*recipe, "-o", os.path.abspath("small_t5")))
    _, said = called(*recipe, "-o", "again")
    return said


def record_a_sweep():
    """Two runs, of which one fails; and what a larger one would take."""
    called(*RATES, "-o", SWEEP)
    kept = RECORDED / "sweep"
    kept.mkdir(exist_ok=True)
    shutil.copy(f"{SWEEP}/sweep.toml", kept)
    lines = Path(SWEEP, "index.jsonl").read_text(encoding="utf-8")
    (kept / "index.jsonl").write_text(lines, encoding="utf-8")
    small = ("--task", "demo/entailment", "--arm", "full,compacterpp", "--workers", "2")
    keep("sweep-plan", as_json("sweep", "demo", *small, "--dry-run"))


def record_a_failure():
    """The end of a run that fails: the last line of what a machine is told."""
    lines = called("train", *SMOKE, *SHORT, "--set", "train.learning_rate=1e30", "--json")[1]
    keep("failure", json.loads(lines[-1]))


def record_a_profile():
    shapes = ("--backbone", "demo/t5", "--batch-size", "4", "--source", "32", "--steps", "3")
    keep("profile", as_json("profile", "--method", "full,compacterpp,lora,phm", *shapes))


def record():
    record_a_story()
    record_two_metrics()
    record_a_conversion()
    record_a_sweep()
    record_a_failure()
    record_a_profile()
    keep("said", {"pretrain": record_a_pretraining()})


if __name__ == "__main__":
    paths = (str(HERE.parents[1]), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        record()
