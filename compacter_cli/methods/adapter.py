"""Houlsby's adapters: dense bottlenecks after self-attention and feed-forward (section 2.2)."""

from typing import Literal

from compacter_cli.methods.bottleneck import Bottleneck


class Adapter(Bottleneck):
    """Dense down- and up-projections: 2L(2kd) weights for L blocks of both stacks (section 4)."""

    name: Literal["adapter"] = "adapter"

    title = "Adapter"
    learning_rate = 3e-4

    def projection_weights(self, k, d):
        return 2 * k * d

    def projection(self, units, generator, dtype):
        import keras

        initializer = keras.initializers.RandomNormal(stddev=0.01, seed=generator)
        return keras.layers.Dense(units, kernel_initializer=initializer, dtype=dtype)
