"""Out of memory: what counts as it, and what is advised."""

from types import SimpleNamespace

import pytest
import torch

from compacter_cli.errors import CompacterError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.sections import TrainSection
from compacter_cli.training.memory import is_out_of_memory, memory_advice
from compacter_cli.training.run import train

CPU = "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(CPU),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("std::bad_alloc"),
        ValueError(f"Exception encountered when calling Dense.call(). {CPU}"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
)
def test_what_is_out_of_memory(error):
    assert is_out_of_memory(error)


def test_torchs_own_error_for_too_large_a_tensor_is_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("no such label")])
def test_what_is_not(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error), match=str(error)), memory_advice(TrainSection(), "run"):
        raise error


def test_advice_halves_the_batch_and_keeps_the_updates():
    section = TrainSection(batch_size=100, accumulate=3, eval_batch_size=100)
    with pytest.raises(CompacterError) as caught, memory_advice(section, "runs/a"):
        raise RuntimeError(CPU)
    assert "100 examples at once; what is saved in runs/a is intact" in str(caught.value)
    assert "--set train.batch_size=50 --set train.accumulate=6" in caught.value.hint
    assert "--set train.eval_batch_size=50" in caught.value.hint


@pytest.mark.parametrize(("remat", "advised"), [(False, True), (True, False)])
def test_running_blocks_again_is_advised_where_it_is_not_on(remat, advised):
    section = SimpleNamespace(batch_size=8, accumulate=1, eval_batch_size=4, remat=remat)
    with pytest.raises(CompacterError) as caught, memory_advice(section, "runs/a"):
        raise MemoryError
    assert ("train.remat=true" in caught.value.hint) == advised
    assert "--set train.eval_batch_size=2" in caught.value.hint


def test_an_odd_batch_is_not_halved_as_if_nothing_changed():
    section = TrainSection(batch_size=25, eval_batch_size=1)
    with pytest.raises(CompacterError) as caught, memory_advice(section, "runs/a"):
        raise MemoryError
    assert "accumulate" not in caught.value.hint
    assert "--set train.batch_size=12, which trains otherwise" in caught.value.hint


def test_a_single_example_cannot_be_halved():
    section = TrainSection(batch_size=1, eval_batch_size=1)
    with pytest.raises(CompacterError) as caught, memory_advice(section, "runs/a"):
        raise MemoryError
    assert "train.batch_size" not in caught.value.hint
    assert caught.value.hint


def test_a_training_run_out_of_memory_fails_with_advice_and_keeps_what_is_saved(
    keras, tmp_path, monkeypatch
):
    from compacter_cli.training.trainer import Trainer

    real = Trainer.step

    def step(trainer):
        if trainer.update > 3:  # in the second epoch
            raise RuntimeError(CPU)
        return real(trainer)

    monkeypatch.setattr(Trainer, "step", step)
    recipe = load_recipe("demo/smoke_compacterpp", ["data.max_train_samples=40"])
    with pytest.raises(CompacterError, match="out of memory") as caught:
        train(recipe=recipe, directory=tmp_path / "run", device="cpu")
    assert caught.value.exit_code == 1
    assert (tmp_path / "run" / "best" / "adapter.safetensors").is_file()
