r"""Darknet's recurrent layers, one step at a time: what they remember goes in and comes out.

Darknet keeps the state in the layer and `time_steps` only says how many steps it unrolls in training; in inference
(examples/rnn.c) it feeds one row after another. So does the graph: a row and the states in, an answer and the new
states out (`chipwise.core.task.Stream.states`); states are zero at first.

Source: src/rnn_layer.c, src/gru_layer.c, src/lstm_layer.c, and the order of their parts in src/parser.c
load_weights_upto: pjreddie/darknet has another one than AlexeyAB/darknet, told apart by the file's revision.

>>> from chipwise.networks.darknet.cfg import parse
>>> from chipwise.networks.darknet.drawing import Drawing
>>> drawing, layer = Drawing(0, 0), parse("[net]\n[gru]\noutput=5").layers[0]
>>> gru(drawing, layer, drawing.open("x", (3,))).shape, len(drawing.states)
((5, 1, 1), 1)
"""

from __future__ import annotations

import onnx_ir as ir

from chipwise.networks.darknet.activations import activate, activation_of
from chipwise.networks.darknet.cfg import Section
from chipwise.networks.darknet.dense import Part, apply, declare
from chipwise.networks.darknet.drawing import Drawing, Flow


def rnn(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add an Elman network: state' = f(W x) + f(U state), answer = f(V state').

    Raises:
        NetworkError: when an option cannot be built.
    """
    outputs = section.integer("output", 1, least=1)
    hidden = section.integer("hidden", outputs, least=1)
    activation, normalized = activation_of(section), section.flag("batch_normalize")
    own = {0: activation, 1: "logistic", 2: "loggy"}[section.integer("logistic", 0, most=2)]
    first = declare(drawing, "input", before.count, hidden, normalized=normalized)
    again = declare(drawing, "self", hidden, hidden, normalized=normalized)
    last = declare(drawing, "output", hidden, outputs, normalized=normalized)
    state = drawing.state("state", (hidden,)).value
    seen = apply(drawing, first, drawing.flat(before), activation)
    after = drawing.node("Add", "state_next", [seen, apply(drawing, again, state, own)], (hidden,))
    if section.flag("shortcut"):
        after = drawing.node("Add", "state_kept", [after, state], (hidden,))
    drawing.states.append((state, after))
    return Flow(apply(drawing, last, after, activation), (outputs, 1, 1), flat=True)


def gru(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add a gated recurrent unit: h' = z h + (1 - z) f(Wh x + Uh (r h)), f logistic unless `tanh`.

    Raises:
        NetworkError: when an option cannot be built.
    """
    outputs = section.integer("output", 1, least=1)
    order = ("input_z", "input_r", "input_h", "state_z", "state_r", "state_h")
    parts = _parts(drawing, section, before.count, outputs, order if drawing.forked else order[3:] + order[:3])
    state = drawing.state("state", (outputs,)).value
    x = drawing.flat(before)
    update = _gate(drawing, parts, "z", (x, state), "logistic")
    reset = _gate(drawing, parts, "r", (x, state), "logistic")
    kept = drawing.node("Mul", "forgot", [reset, state], (outputs,))
    fresh = _gate(drawing, parts, "h", (x, kept), "tanh" if section.flag("tanh") else "logistic")
    # z h + (1 - z) n = n + z (h - n)
    change = drawing.node("Sub", "change", [state, fresh], (outputs,))
    change = drawing.node("Mul", "weighed", [update, change], (outputs,))
    after = drawing.node("Add", "gru", [fresh, change], (outputs,))
    drawing.states.append((state, after))
    return Flow(after, (outputs, 1, 1), flat=True)


def lstm(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add a long short-term memory: c' = f c + i g, h' = o tanh(c').

    Raises:
        NetworkError: when an option cannot be built.
    """
    outputs = section.integer("output", 1, least=1)
    gates = "figo" if drawing.forked else "ifog"
    order = tuple(f"{side}_{gate}" for side in ("state", "input") for gate in gates)
    parts = _parts(drawing, section, before.count, outputs, order)
    hidden, cell = (drawing.state(name, (outputs,)).value for name in ("hidden", "cell"))
    x = drawing.flat(before)
    forget, take, give = (_gate(drawing, parts, gate, (x, hidden), "logistic") for gate in "fio")
    news = _gate(drawing, parts, "g", (x, hidden), "tanh")
    old = drawing.node("Mul", "kept", [forget, cell], (outputs,))
    new = drawing.node("Mul", "taken", [take, news], (outputs,))
    cell_after = drawing.node("Add", "cell_next", [old, new], (outputs,))
    bent = drawing.node("Tanh", "cell_tanh", [cell_after], (outputs,))
    after = drawing.node("Mul", "lstm", [give, bent], (outputs,))
    drawing.states += [(hidden, after), (cell, cell_after)]
    return Flow(after, (outputs, 1, 1), flat=True)


def _parts(drawing: Drawing, section: Section, inputs: int, outputs: int, order: tuple[str, ...]) -> dict[str, Part]:
    normalized = section.flag("batch_normalize")
    return {
        name: declare(drawing, name, inputs if name[0] == "i" else outputs, outputs, normalized=normalized)
        for name in order
    }


def _gate(
    drawing: Drawing, parts: dict[str, Part], gate: str, values: tuple[ir.Value, ir.Value], activation: str
) -> ir.Value:
    outputs = (parts[f"input_{gate}"].outputs,)
    sides = [
        apply(drawing, parts[f"{side}_{gate}"], value, "linear")
        for side, value in zip(("input", "state"), values, strict=True)
    ]
    return activate(drawing, drawing.node("Add", f"gate_{gate}", sides, outputs), outputs, activation)
