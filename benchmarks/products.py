"""The matrix products that a training step cannot do without, counted from the model's own parts.

    N source tokens, M target tokens, k hidden, H heads, D size of a head, F inner, V vocabulary,
    r rank of a delta, d bottleneck of an adapter

What is counted is what the loss and the gradients of what trains ask for, and no more:

- Tokens are the real ones: N and M leave padding out, and attention is row by row, each at its own
  length.
- `a @ b` costs a product forward, one backward where the gradient has to reach `a`, and one where
  it has to reach `b`. A frozen weight is not reached: two products instead of three. Nor is what
  lies before the first thing that trains: one. Both are read off the tensors of the pass
  (`requires_grad`), and so are counted by method.
- Cross-attention is absorbed where that is cheaper, as in `t5.absorbing`: a query goes
  through its head's part of the key projection to the states, and no keys and values are built.
- The head is applied to target tokens alone, for all of them are labels.
- Adapters and deltas have their own products, two thin ones a delta or one by each of Kronecker's
  factors, an adapter's kernels k x d and d x k (how a hypercomplex one is made of factors is not
  counted: under a thousandth).

Not counted, though a step may do it: attention's scores a second time, in a backward pass that kept
no weights of attention, and everything that is no product.
"""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from compacter_cli.t5.absorbing import absorbing_is_cheaper
from compacter_cli.t5.parts import Thin


class Product(NamedTuple):
    """`count` products of (rows, inner) with (inner, columns) at once."""

    count: int
    rows: int
    inner: int
    columns: int

    @property
    def flops(self):
        return 2 * self.count * self.rows * self.inner * self.columns


@dataclass(frozen=True)
class Operand:
    """`count` matrices of (rows, columns), and whether the gradient has to reach them."""

    count: int
    rows: int
    columns: int
    reached: bool

    def shaped(self, count, rows, columns):
        """As many numbers, or a part of them, as other matrices."""
        return Operand(count, rows, columns, self.reached)

    def also(self, *others):
        """With operands, or parameters or `None`, added or multiplied: reached where one is."""
        reached = any(
            other.reached if isinstance(other, Operand) else other.requires_grad
            for other in others
            if other is not None
        )
        return Operand(self.count, self.rows, self.columns, self.reached or reached)


def products_of(forward, batch):
    """`{Product: how often}` in a step of a forward pass (`T5Forward`) over a batch."""
    return _Step(forward, batch).products


def flops_of(products):
    """Floating-point operations of products, a multiplication and an addition being two."""
    return sum(product.flops * often for product, often in products.items())


class _Step:
    """T5's flow over sizes; the names are those of `compacter_cli.t5.forward`."""

    def __init__(self, forward, batch):
        self.products = Counter()
        self._parts, self._shape = forward.parts, forward.shape
        prompt = self._parts.prompt.length if self._parts.prompt else 0
        self._source = [length + prompt for length in batch.source_mask.sum(1).tolist()]
        self._target = batch.target_mask.sum(1).tolist()
        states = self._encoded()
        hidden = self._decoded(states)
        head, _ = self._parts.head(self._shape.hidden_dim, self._shape.tied)
        self._times(hidden, _weight(head.table.T))

    def _times(self, a, b):
        """`a @ b`, with the products that its gradients cost."""
        self.products[Product(a.count, a.rows, a.columns, b.columns)] += 1
        if a.reached:
            self.products[Product(a.count, a.rows, b.columns, a.columns)] += 1
        if b.reached:
            self.products[Product(a.count, a.columns, a.rows, b.columns)] += 1
        return Operand(a.count, a.rows, b.columns, a.reached or b.reached)

    def _embedded(self, lengths, prompted=False):
        table = self._parts.weights["embedding"]
        reached = prompted or table.requires_grad
        return Operand(1, sum(lengths), self._shape.hidden_dim, reached)

    def _encoded(self):
        hidden = self._embedded(self._source, self._parts.prompt is not None)
        for block in range(self._shape.num_layers):
            name = f"encoder.{block}"
            hidden = self._self_attention(f"{name}.self_attention", hidden, self._source)
            hidden = self._feed_forward(f"{name}.feed_forward", hidden)
        return self._norm("encoder", hidden)

    def _decoded(self, states):
        hidden = self._embedded(self._target)
        for block in range(self._shape.num_layers):
            name = f"decoder.{block}"
            hidden = self._self_attention(f"{name}.self_attention", hidden, self._target)
            hidden = self._cross_attention(f"{name}.cross_attention", hidden, states)
            hidden = self._feed_forward(f"{name}.feed_forward", hidden)
        return self._norm("decoder", hidden)

    def _norm(self, owner, x):
        norm = self._parts.norm(owner)
        return x.also(norm.weight, norm.bias)

    def _linear(self, name, x):
        linear = self._parts.linear(name)
        x = x.also(linear.before)
        y = self._times(x, _weight(linear.weight))
        if linear.delta is not None:
            y = y.also(self._added(linear.delta, x))
        return y.also(linear.bias, linear.scale)

    def _added(self, delta, x):
        """What a delta adds, (1, N, k) to (1, N, d)."""
        first, second = map(_weight, delta)
        if isinstance(delta, Thin):
            return self._times(self._times(x, first), second)
        return self._kronecker(x, first, second)

    def _kronecker(self, x, left, right):
        """`x @ kron(left, right)` of n times M tokens, the cheaper factor first.

        (n, M, a b) to (n, M, c q) by `left` (n, a, c) and `right` (1, b, q).
        """
        n, tokens = x.count, x.rows
        (a, c), (b, q) = (left.rows, left.columns), (right.rows, right.columns)
        if a * q * (b + c) <= b * c * (a + q):
            y = self._times(x.shaped(1, n * tokens * a, b), right)
            y = self._times(y.shaped(n, tokens * q, a), left)
        else:
            y = self._times(x.shaped(n, tokens * b, a), left)
            y = self._times(y.shaped(1, n * tokens * c, b), right)
        return y.shaped(n, tokens, c * q)

    def _self_attention(self, name, hidden, lengths):
        x = self._norm(name, hidden)
        queries, keys, values = (self._linear(f"{name}.{r}", x) for r in ("query", "key", "value"))
        stack = name.partition(".")[0]
        bias = self._parts.weights[f"{stack}.0.self_attention.relative_bias"]
        context = self._attention(queries, keys, values, lengths, lengths, bias)
        return self._add_context(name, hidden, x, context)

    def _attention(self, queries, keys, values, asking, asked, *biases):
        """Row by row, rows of one length at once: (N, H D) and twice (M, H D) to (N, H D)."""
        size, context = self._shape.key_value_dim, None
        for (target, source), rows in _pairs(asking, asked):
            count = rows * self._shape.num_heads
            q, k = queries.shaped(count, target, size), keys.shaped(count, size, source)
            weights = self._times(q, k).also(*biases)
            context = self._times(weights, values.shaped(count, source, size))
        return context.shaped(1, queries.rows, queries.columns)

    def _cross_attention(self, name, hidden, states):
        x = self._norm(name, hidden)
        queries = self._linear(f"{name}.query", x)
        longest = max(self._target), max(self._source)
        if absorbing_is_cheaper(*longest, self._shape.key_value_dim):
            context = self._absorbed(name, queries, states)
        else:
            keys, values = (self._linear(f"{name}.{role}", states) for role in ("key", "value"))
            context = self._attention(queries, keys, values, self._target, self._source)
        return self._add_context(name, hidden, x, context)

    def _absorbed(self, name, queries, states):
        """Through the states: (M, H D) and (N, k) to (M, H D)."""
        heads, size, k = self._shape.num_heads, self._shape.key_value_dim, states.columns
        key, value = (self._parts.linear(f"{name}.{role}") for role in ("key", "value"))
        asked = queries.also(key.scale).shaped(heads, queries.rows, size)
        taken, mixed = self._to_states(asked, key), None
        for (target, source), rows in _pairs(self._target, self._source):
            q = taken.shaped(rows, heads * target, k)
            weights = self._times(q, states.shaped(rows, k, source)).also(key.bias)
            mixed = self._times(weights, states.shaped(rows, source, k))
        context = self._from_states(mixed.shaped(heads, queries.rows, k), value)
        return context.also(value.bias, value.scale).shaped(1, queries.rows, heads * size)

    def _to_states(self, asked, key):
        """Each head's queries through its part of the key projection: (H, M, D) to (H, M, k)."""
        heads, k = asked.count, self._shape.hidden_dim
        y = self._times(asked, Operand(heads, asked.columns, k, key.weight.requires_grad))
        if key.delta is None:
            return y
        first, second = map(_weight, key.delta)
        if not isinstance(key.delta, Thin):
            own = _left_of_a_head(first, second, heads, asked.columns)
            padded = asked.shaped(heads, asked.rows, own.columns * second.columns)
            return y.also(self._kronecker(padded, _transposed(own), _transposed(second)))
        thin = self._times(asked, Operand(heads, asked.columns, second.rows, second.reached))
        flat = thin.shaped(1, heads * asked.rows, second.rows)
        return y.also(self._times(flat, Operand(1, second.rows, k, first.reached)))

    def _from_states(self, mixed, value):
        """What each head mixed through its part of the value projection: (H, M, k) to (H, M, D)."""
        heads, size = mixed.count, self._shape.key_value_dim
        y = self._times(mixed, Operand(heads, mixed.columns, size, value.weight.requires_grad))
        if value.delta is None:
            return y
        first, second = map(_weight, value.delta)
        if not isinstance(value.delta, Thin):
            left = _left_of_a_head(first, second, heads, size)
            return y.also(self._kronecker(mixed, left, second))
        thin = self._times(mixed.shaped(1, heads * mixed.rows, mixed.columns), first)
        own = Operand(heads, second.rows, size, second.reached)
        return y.also(self._times(thin.shaped(heads, mixed.rows, second.rows), own))

    def _feed_forward(self, name, hidden):
        x = self._norm(name, hidden)
        inner = self._linear(f"{name}.input", x)
        if self._shape.gated:
            inner = inner.also(self._linear(f"{name}.gate", x))
        return self._adapted(name, self._linear(f"{name}.output", inner), x).also(hidden)

    def _add_context(self, name, hidden, normed, context):
        return self._adapted(name, self._linear(f"{name}.output", context), normed).also(hidden)

    def _adapted(self, owner, x, normed):
        for role in ("adapter", "parallel_adapter"):
            if adapter := self._parts.adapters.get(f"{owner}.{role}"):
                given = x if role == "adapter" else normed
                for kernel in _kernels(adapter, self._parts.weights["embedding"]):
                    given = self._times(given, kernel)
                x = x.also(given)
        return x


def _weight(tensor):
    return Operand(1, *tensor.shape, tensor.requires_grad)


def _transposed(operand):
    return operand.shaped(operand.count, operand.columns, operand.rows)


def _left_of_a_head(left, right, heads, size):
    """What of a Kronecker delta's left factor each head's `size` outputs are made by, at least."""
    return left.shaped(heads, left.rows, -(-size // right.columns))


def _kernels(adapter, like):
    """The kernels of an adapter (`Adapter`), which train, for inputs like `like` (..., k)."""
    k = like.shape[-1]
    bottleneck = adapter.down(like.detach().new_zeros(1, k)).shape[1]
    return Operand(1, k, bottleneck, True), Operand(1, bottleneck, k, True)


def _pairs(asking, asked):
    """`((target, source), rows)` of the rows of one length each."""
    return Counter(zip(asking, asked, strict=True)).items()
