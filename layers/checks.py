"""Checks that several layers share: of their arguments, and of the backend."""


def check_positive(argument: str, value: object) -> None:
    """Raise `ValueError` unless `value` is an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{argument}` must be an integer of at least 1. Received: {value!r}")


def check_divisible(
    argument: str, value: int, n: int, by: str = "the hypercomplex division n"
) -> None:
    """Raise `ValueError` unless `n`, which is called `by`, divides `value`."""
    if value % n:
        raise ValueError(
            f"`{argument}` must be divisible by {by}={n}. "
            f"Received: {argument}={value} ({value} % {n} = {value % n})"
        )


def check_torch(layer: str) -> None:
    """Raise `RuntimeError` unless Keras runs on torch, whose kernel a layer called so needs."""
    import keras

    if keras.config.backend() != "torch":
        raise RuntimeError(
            f"{layer} is computed by torch alone. Received: Keras on {keras.config.backend()}; "
            'set os.environ["KERAS_BACKEND"] = "torch" before the first import of keras'
        )
