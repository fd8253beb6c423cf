"""Our side: the model and the step that `compacter train` uses."""

from setting import recipe_for

from compacter_cli.profiling.job import Job
from compacter_cli.profiling.measure import Stepper, model_of_random_weights, random_batch
from compacter_cli.t5.runtime import on_device, start_keras


def build(setting):
    """`(stepper, batch)` of a setting."""
    start_keras()
    recipe = recipe_for(setting)
    with on_device(setting.device):
        model = model_of_random_weights(recipe, setting.dimensions)
    job = Job({}, setting.target, 1, setting.device)
    batch = random_batch(model.shape, recipe, job, setting.batch)
    return Stepper(model, recipe.train, setting.device), batch


def loss(stepper, batch):
    """The loss of a training pass, to go back from."""
    return stepper.model.summed_loss(batch, training=True)


def name(stepper):
    """How the step is computed."""
    return f"compacter, {stepper.model.execution} execution"


def trained_parameters(stepper):
    """How many parameters train."""
    return sum(tensor.numel() for tensor in stepper.model.trained_tensors().values())


def answer(stepper, batch, tokens):
    """Greedy answers to a batch, of as many tokens."""
    return stepper.model.greedy(batch.source_ids, batch.source_mask, tokens)
