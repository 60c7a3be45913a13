"""Operations of published transformers from their sizes alone, as eager Hugging Face code runs them.

Published tables name networks that the zoo does not have (GPT-2 large, OPT, GPT-3, Switch). Their cost follows from a
few sizes; what eager code really launches (unfused GELU, masks, scalings, copies of transposed heads) follows from the
code of `transformers` 4.36 with `attn_implementation="eager"`, which the tables were measured with. Every operation
knows its backward pass, so that a training step is their sum in reverse and not a multiple of the forward pass.

Products of GPT-2's `Conv1D` keep weights as [inputs, outputs], which the fast path of cuBLAS reads row by row: they are
class `mm_nn`, products of `nn.Linear` are class `mm`. Small kernels that the host waits for are class `sync`.

>>> bert = NETWORKS["bert_large"]
>>> parameters(bert) // 10**6, round(sum(op.flops for op in forward(bert, batch=1, length=512)) / 1e12, 3)
(334, 0.335)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from chipwise.cost.ops import Op

# Operations are kept in 2-byte values, as those of `chipwise.cost.ops`; a profile's widths scale them.
VALUE_BYTES = 2
_MASK_BYTES = 0.5  # one byte a value, where values are later scaled from 2 bytes to 4
# The kernels that products with weights kept input-major were measured on go to 1024 along each side.
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Transformer:
    """Sizes of a network.

    Attributes:
        name: of the network; style: whose code runs it.
        hidden: width; inner: width of the feed-forward part; heads: of attention, `hidden` wide together unless `head`
            says how wide one is; layers: of the decoder or encoder (of each, for Switch); vocabulary: tokens.
        positions: learned ones; 0 for relative ones.
        experts: feed-forward parts to choose from; capacity: tokens that each one takes, per item of the batch.
        source: where the sizes are published.
    """

    name: str
    style: Literal["bert", "gpt2", "opt", "switch"]
    hidden: int
    inner: int
    heads: int
    layers: int
    vocabulary: int
    positions: int
    source: str
    head: int = 0
    experts: int = 1
    capacity: int = 0

    @property
    def width(self) -> int:
        """All heads together."""
        return self.heads * (self.head or self.hidden // self.heads)


NETWORKS = {
    each.name: each
    for each in (
        Transformer(
            "bert_base", "bert", 768, 3072, 12, 12, 30522, 512, "huggingface.co/bert-base-uncased, config.json"
        ),
        Transformer("bert_large", "bert", 1024, 4096, 16, 24, 30522, 512, "huggingface.co/bert-large-uncased, config"),
        Transformer("gpt2_large", "gpt2", 1280, 5120, 20, 36, 50257, 1024, "huggingface.co/gpt2-large, config.json"),
        Transformer("opt_13", "opt", 2048, 8192, 32, 24, 50272, 2048, "huggingface.co/facebook/opt-1.3b, config.json"),
        # 24 heads of 128, which is 3072 and not the 2048 of the same table: the larger one fits the published roofline.
        Transformer("gpt3_xl", "gpt2", 3072, 12288, 24, 24, 50257, 2048, "arXiv 2005.14165, table 2.1: 24 x 128"),
        Transformer("gpt3_27", "gpt2", 2560, 10240, 32, 32, 50257, 2048, "arXiv 2005.14165, table 2.1"),
        # 5.3 B parameters (arXiv 2407.13853) are those of T5's 24 + 24 layers with 4 experts in every layer; a capacity
        # factor of 1.25 is that of arXiv 2101.03961, section 2.2: 1.25 x 512 tokens / 4 experts.
        Transformer(
            "switchxl4", "switch", 2048, 5120, 32, 24, 32128, 0, "arXiv 2101.03961", head=64, experts=4, capacity=160
        ),
    )
}


def parameters(net: Transformer) -> int:
    """Trainable values, without a pooler or a task's head; an output layer that shares the embedding counts once."""
    attention = 4 * net.hidden * net.width
    block = net.experts * 2 * net.hidden * net.inner
    if net.style == "switch":
        norms = net.hidden
        encoder = attention + block + net.hidden * net.experts + 2 * norms
        decoder = encoder + attention + norms
        return net.layers * (encoder + decoder) + net.vocabulary * net.hidden * 2 + 2 * norms
    biases = 5 * net.hidden + net.inner + 4 * net.hidden
    segments = 2 * net.hidden if net.style == "bert" else 0
    padding = 2 * net.hidden if net.style == "opt" else 0  # OPT's positions begin at 2
    tables = (net.vocabulary + net.positions) * net.hidden + segments + padding
    return net.layers * (attention + block + biases) + tables + 2 * net.hidden


def forward(net: Transformer, batch: int, length: int, *, head: bool = False, dropout: bool = False) -> list[Op]:
    """Operations of a forward pass.

    Args:
        net: the network.
        batch: sequences.
        length: tokens in each.
        head: whether BERT's head of masked language modelling runs (others always have their output layer).
        dropout: whether dropout runs, as in training.
    """
    tape = _run(net, batch, length, head=head, dropout=dropout)
    return tape.forward


def training(net: Transformer, batch: int, length: int, *, head: bool = True) -> list[Op]:
    """Operations of a forward and a backward pass with dropout; gradients add up, nothing is updated."""
    tape = _run(net, batch, length, head=head, dropout=True)
    if head or net.style != "bert":
        tape.loss(batch * length, net.vocabulary)
    return [*tape.forward, *reversed(tape.backward)]


class _Tape:
    """Operations in order, and beside them those of the backward pass."""

    def __init__(self, *, dropout: bool, layout: str) -> None:
        self.forward: list[Op] = []
        self.backward: list[Op] = []
        self.dropout = dropout
        self.layout = layout

    def linear(self, rows: float, inputs: int, outputs: int, *, bias: bool = True, layout: str = "") -> None:
        """A product with weights; its backward pass is two products, the sum for the bias, and adding up gradients."""
        kind = layout or self.layout
        self.forward.append(_product(kind, rows, outputs, inputs))
        weights = float(inputs * outputs)
        self.backward.append(_product("mm", rows, inputs, outputs))
        self.backward.append(replace(_product("mm", inputs, outputs, rows), weight_bytes=0.0))
        self.backward.append(_stream(2 * weights, weights))
        if bias:
            self.backward.append(_stream(rows * outputs, outputs))

    def batched(self, groups: float, rows: int, columns: int, depth: int) -> None:
        """A product of two activations in each of `groups`."""
        self.forward.append(_batched(groups, rows, columns, depth))
        self.backward.append(_batched(groups, rows, depth, columns))
        self.backward.append(_batched(groups, depth, columns, rows))

    def stream(self, read: float, written: float, back: Iterable[tuple[float, float]] = (), kind: str = "ew") -> None:
        """Elementwise work; `back` lists values read and written by each kernel of its backward pass."""
        self.forward.append(_stream(read, written, kind))
        self.backward += [_stream(*each, kind) for each in back]

    def scale(self, values: float) -> None:
        """Multiply by a constant, or anything else whose gradient needs the incoming one only."""
        self.stream(values, values, [(values, values)])

    def function(self, values: float) -> None:
        """An activation: its gradient needs what it saved."""
        self.stream(values, values, [(2 * values, values)])

    def copy(self, values: float) -> None:
        """Make heads contiguous."""
        self.stream(values, values, [(values, values)], "cp")

    def add(self, values: float) -> None:
        """A residual: its gradient passes through, and is added where the branches meet."""
        self.stream(2 * values, values, [(2 * values, values)])

    def softmax(self, values: float) -> None:
        self.forward.append(_stream(values, values, "sm"))
        self.backward.append(_stream(2 * values, values, "sm"))

    def norm(self, rows: float, width: int) -> None:
        """A layer norm: backward, one kernel for its input and one for its weights."""
        values = rows * width
        self.forward.append(_stream(values, values, "ln"))
        self.backward.append(_stream(2 * values, values, "ln"))
        self.backward.append(_stream(2 * values, width, "ln"))

    def rms_norm(self, rows: float, width: int) -> None:
        """T5's layer norm in single kernels: square, mean, scale by it, scale by the weights."""
        values = rows * width
        self.stream(values, values, [(values, values), (2 * values, values)])
        self.stream(values, rows, [(rows, values)])
        self.stream(values, values, [(values, values), (2 * values, rows), (2 * values, values)])
        self.stream(values, values, [(values, values), (2 * values, width)])

    def drop(self, values: float) -> None:
        """Dropout reads, writes, and writes a mask of one byte a value."""
        if self.dropout:
            mask = _MASK_BYTES * values
            self.stream(values, values + mask, [(values + mask, values)])

    def loss(self, rows: float, classes: int) -> None:
        """Backward pass of cross-entropy: fill, scatter, and log-softmax."""
        values = rows * classes
        self.backward += [_stream(0.0, values), _stream(2 * values, values, "sm")]


def _run(net: Transformer, batch: int, length: int, *, head: bool, dropout: bool) -> _Tape:
    tape = _Tape(dropout=dropout, layout="mm_nn" if net.style == "gpt2" else "mm")
    rows = float(batch * length)
    if net.style == "switch":
        _switch(tape, net, batch, length)
        return tape
    embedded = rows * net.hidden
    tables = 3 if net.style == "bert" else 2
    for _ in range(tables):
        tape.stream(embedded, embedded, [(embedded, embedded)])
    for _ in range(tables - 1):
        tape.stream(2 * embedded, embedded)
    if net.style == "bert":
        tape.norm(rows, net.hidden)
    tape.drop(embedded)
    for _ in range(net.layers):
        _layer(tape, net, batch, length)
    if net.style != "bert":
        tape.norm(rows, net.hidden)
        tape.linear(rows, net.hidden, net.vocabulary, bias=False, layout="mm")
    elif head:
        tape.linear(rows, net.hidden, net.hidden)
        tape.function(embedded)
        tape.norm(rows, net.hidden)
        tape.linear(rows, net.hidden, net.vocabulary)
    return tape


def _layer(tape: _Tape, net: Transformer, batch: int, length: int) -> None:
    """One layer; the norm stands behind each half in BERT, before it elsewhere."""
    rows, values = float(batch * length), float(batch * length * net.hidden)
    before = net.style != "bert"
    if before:
        tape.norm(rows, net.hidden)
    if net.style == "gpt2":
        tape.linear(rows, net.hidden, 3 * net.hidden)
    else:
        for _ in range(3):
            tape.linear(rows, net.hidden, net.hidden)
    _attention(tape, net, batch, length)
    tape.linear(rows, net.width, net.hidden)
    tape.drop(values)
    tape.add(values)
    tape.norm(rows, net.hidden)
    tape.linear(rows, net.hidden, net.inner)
    _activation(tape, net, rows * net.inner)
    tape.linear(rows, net.inner, net.hidden)
    tape.drop(values)
    tape.add(values)
    if not before:
        tape.norm(rows, net.hidden)


def _attention(tape: _Tape, net: Transformer, batch: int, length: int, *, bias: bool = False) -> None:
    """Scores, what each code does with them, softmax, and the sum of values; heads are copied to be contiguous."""
    groups, values = batch * net.heads, float(batch * length * net.width)
    scores = float(groups * length * length)
    if net.style == "opt":
        tape.scale(values)
    for _ in range(3):
        tape.copy(values)
    tape.batched(groups, length, length, net.width // net.heads)
    if net.style in ("bert", "gpt2"):
        tape.scale(scores)  # over the root of a head's width
    if net.style == "gpt2":
        tape.scale(scores)  # where(causal, scores, lowest)
    elif net.style == "bert":
        tape.stream(scores, scores)  # adds a mask
    elif net.style == "opt":
        tape.stream(scores, scores)  # adds a mask, then the larger of it and the lowest value
        tape.stream(scores, scores, [(scores, scores / 4), (scores, scores), (1.25 * scores, scores)])
    elif bias:
        tape.stream(2 * scores, scores, [(2 * scores, scores)])
    tape.softmax(scores)
    tape.drop(scores)
    tape.batched(groups, length, net.width // net.heads, length)
    tape.copy(values)


def _activation(tape: _Tape, net: Transformer, values: float) -> None:
    if net.style != "gpt2":
        tape.function(values)
        return
    # GPT-2 writes GELU out: 0.5 x (1 + tanh(c (x + 0.044715 x^3))), a kernel each.
    tape.scale(values)
    tape.stream(values, values, [(values, values), (values, values), (2 * values, values), (2 * values, values)])
    tape.scale(values)
    tape.stream(2 * values, values, [(2 * values, values)])
    tape.scale(values)
    tape.function(values)
    tape.stream(values, values)
    tape.stream(2 * values, values, [(2 * values, values), (2 * values, values)])


def _switch(tape: _Tape, net: Transformer, batch: int, length: int) -> None:
    """Encoder and decoder of T5 whose feed-forward parts are chosen per token."""
    rows = float(batch * length)
    for stack, attentions in (("encoder", 1), ("decoder", 2)):
        tape.stream(rows * net.hidden, rows * net.hidden, [(rows * net.hidden, rows * net.hidden)])
        tape.drop(rows * net.hidden)
        for _ in range(net.layers):
            for number in range(attentions):
                _switch_attention(tape, net, batch, length, bias=number == 0)
            _experts(tape, net, batch, length)
        tape.rms_norm(rows, net.hidden)
        if stack == "decoder":
            tape.scale(rows * net.hidden)
            tape.linear(rows, net.hidden, net.vocabulary, bias=False)


def _switch_attention(tape: _Tape, net: Transformer, batch: int, length: int, *, bias: bool) -> None:
    rows = float(batch * length)
    tape.rms_norm(rows, net.hidden)
    for _ in range(3):
        tape.linear(rows, net.hidden, net.width, bias=False)
    _attention(tape, net, batch, length, bias=True)
    if not bias:  # positions of other attentions are zeros, made anew
        tape.stream(0.0, float(net.heads * length * length))
    tape.linear(rows, net.width, net.hidden, bias=False)
    tape.drop(rows * net.hidden)
    tape.add(rows * net.hidden)


def _experts(tape: _Tape, net: Transformer, batch: int, length: int) -> None:
    """Every expert works on its full capacity, padded; tokens are gathered and put back by a mask."""
    rows, values = float(batch * length), float(batch * length * net.hidden)
    taken, chosen = float(batch * net.capacity), values / net.experts
    tape.rms_norm(rows, net.hidden)
    tape.linear(rows, net.hidden, net.experts, bias=False)
    tape.softmax(rows * net.experts)
    for _ in range(8):  # largest, one-hot, running sum, comparison, masks: small kernels
        tape.stream(rows * net.experts, rows * net.experts)
    tape.copy(values)
    for _ in range(net.experts):
        for _ in range(5):  # a column as Boolean, its count, its indices thrice: the host waits for what they find
            tape.forward.append(_stream(rows, rows, "sync"))
        tape.stream(chosen, chosen, [(chosen, chosen)], "cp")
        tape.stream(chosen, chosen, [(chosen, chosen)], "cp")
        tape.linear(taken, net.hidden, net.inner, bias=False)
        tape.function(taken * net.inner)
        tape.drop(taken * net.inner)
        tape.linear(taken, net.inner, net.hidden, bias=False)
        tape.stream(chosen, chosen, [(chosen, chosen)], "cp")
    tape.scale(values)
    tape.drop(values)
    tape.add(values)


def _product(kind: str, m: float, n: float, k: float) -> Op:
    """A product with weights; a large one whose weights are kept input-major counts as blocks that were measured."""
    weights = VALUE_BYTES * n * k
    dims = (m, n, k, 1.0)
    if kind == "mm_nn":
        rows, columns = min(m, _BLOCK), min(n, _BLOCK)
        dims = (rows, columns, k, m * n / (rows * columns))
    return Op(kind, 2.0 * m * n * k, VALUE_BYTES * m * k, weights, VALUE_BYTES * m * n, dims)


def _batched(groups: float, m: float, n: float, k: float) -> Op:
    read = VALUE_BYTES * groups * (m * k + n * k)
    return Op("bmm", 2.0 * groups * m * n * k, read, 0.0, VALUE_BYTES * groups * m * n, (m, n, k, groups))


def _stream(read: float, written: float, kind: str = "ew") -> Op:
    return Op(kind, read_bytes=VALUE_BYTES * read, write_bytes=VALUE_BYTES * written)
