"""What the methods with dense projections share: the projection itself."""

from compacter_cli.methods.base import Layer
from compacter_cli.methods.bottleneck import Bottleneck, Rule, SeedGenerator


class DenseBottleneck(Bottleneck):
    """Bottlenecks of two plain matrices, k to d and d to k: 2kd weights each."""

    learning_rate = 3e-4
    searched_rate = 4e-3

    def projection_weights(self, k: int, d: int) -> int:
        return 2 * k * d

    def projection(self, units: int, generator: SeedGenerator, dtype: str, rule: Rule) -> Layer:
        import keras

        normal = keras.initializers.RandomNormal(stddev=0.01, seed=generator)
        return keras.layers.Dense(
            units,
            kernel_initializer=normal,  # pyright: ignore[reportArgumentType]  # a name or this
            dtype=dtype,
        )
