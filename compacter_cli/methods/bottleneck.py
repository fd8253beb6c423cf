"""What the adapter methods share: where bottlenecks sit and what trains beside them."""

from typing import ClassVar, Literal

from pydantic import PositiveInt

from compacter_cli.errors import Problem
from compacter_cli.methods.base import Method, seed_of

Activation = Literal[
    "gelu_tanh",
    "gelu",
    "relu",
    "silu",
    "tanh",
    "sigmoid",
    "elu",
    "leaky_relu",
    "softplus",
    "linear",
]


class Bottleneck(Method):
    """A bottleneck adapter on a sub-layer's output, before its dropout and residual.

    All layer norms train with it; embeddings and output head stay frozen (paper, section 5).
    """

    bottleneck: PositiveInt = 24
    """Bottleneck dimension d; the paper tries 96, 48 and 24."""
    activation: Activation = "gelu_tanh"
    """Activation between the two projections."""

    trains = ("*.layer_norm",)
    prefixes_task = False
    sublayers: ClassVar[tuple[str, ...]] = ("self_attention", "feed_forward")

    def sites(self, shape):
        """Structural names of the sub-layers that get an adapter."""
        return [
            f"{stack}.{block}.{sublayer}"
            for stack in ("encoder", "decoder")
            for block in range(shape.num_layers)
            for sublayer in self.sublayers
        ]

    def count(self, shape):
        k, d = shape.hidden_dim, self.bottleneck
        adapters = len(self.sites(shape))
        return {
            "adapters": adapters * self.projection_weights(k, d),
            "rule": self.rule_weights(shape),
            "biases": adapters * (k + d),
            "layer_norms": shape.layer_norm_parameters,
        }

    def projection_weights(self, k, d):
        """Weights of one adapter's two projections, without biases and the rule."""
        raise NotImplementedError

    def rule_weights(self, shape):
        """Weights of all hypercomplex rules together."""
        return 0

    def closed_form(self, shape):
        adapters = len(self.sites(shape))
        return adapters * self.projection_weights(
            shape.hidden_dim, self.bottleneck
        ) + self.rule_weights(shape)

    def build(self, shape, seed, dtype="float32"):
        import keras
        from compacter_layers import Adapter, gelu_tanh

        layers = self.shared_layers(seed, dtype)
        shared = dict(layers)
        activation = gelu_tanh if self.activation == "gelu_tanh" else self.activation
        for site in self.sites(shape):
            name = f"{site}.adapter"
            generator = keras.random.SeedGenerator(seed_of(seed, name))
            adapter = Adapter(
                down=self.projection(self.bottleneck, generator, dtype, **shared),
                up=self.projection(shape.hidden_dim, generator, dtype, **shared),
                activation=activation,
                dtype=dtype,
            )
            adapter.build((None, shape.hidden_dim))
            layers[name] = adapter
        return layers

    def shared_layers(self, seed, dtype):
        """Layers that all adapters share, by name; each is passed on to `projection`."""
        return {}

    def projection(self, units, generator, dtype, **shared):
        """One projection to `units` dimensions, its values drawn from `generator`."""
        raise NotImplementedError


class Hypercomplex(Bottleneck):
    """A bottleneck whose projections are sums of n Kronecker products with a shared rule A."""

    n: PositiveInt = 4
    """Hypercomplex division; the paper tries 4, 8 and 12. It must divide d and k."""
    rank: PositiveInt = 1
    """Rank r of each B_i = s_i t_i (equation 5)."""

    learning_rate = 3e-3

    def problems(self, shape):
        dimensions = (("bottleneck", "the bottleneck d", self.bottleneck),
                      ("n", "the backbone's hidden dimension k", shape.hidden_dim))  # fmt: skip
        return [
            Problem(
                f"method.{key}",
                f"n must divide {what}: {value} % {self.n} = {value % self.n}",
                f"n can be {_divisors(shape.hidden_dim, self.bottleneck)} here",
            )
            for key, what, value in dimensions
            if value % self.n
        ]

    def projection_weights(self, k, d):
        return 2 * self.rank * (k + d)

    def rule_weights(self, shape):
        return self.n**3

    def shared_layers(self, seed, dtype):
        import keras
        from compacter_layers import HypercomplexRule

        initializer = keras.initializers.RandomNormal(stddev=1e-4, seed=seed_of(seed, "rule"))
        return {"rule": HypercomplexRule(self.n, initializer=initializer, dtype=dtype)}

    def projection(self, units, generator, dtype, rule):
        from compacter_layers import LPHMDense, SliceGlorotUniform

        initializer = SliceGlorotUniform(seed=generator)
        return LPHMDense(
            units, self.n, self.rank, rule=rule, factor_initializer=initializer, dtype=dtype
        )


def _divisors(*values):
    from math import gcd

    common = gcd(*values)
    return ", ".join(str(n) for n in range(1, common + 1) if common % n == 0)
