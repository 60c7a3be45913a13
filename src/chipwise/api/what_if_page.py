"""The what-if page on loopback: `what_if` and `offers` for whoever clicks instead of typing.

chipwise.what_if_page("model.onnx")
"""

from __future__ import annotations

import sys
import webbrowser
from dataclasses import asdict, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from chipwise.api.choosing import MOST_DEVICES, MOST_ITEMS
from chipwise.api.estimating import loaded_network
from chipwise.api.given import HTTP, need
from chipwise.api.offers import offers
from chipwise.api.targets import HERE, OPTIMIZERS, PRECISIONS, target
from chipwise.api.what_if import what_if
from chipwise.core.errors import InputError, unknown_name
from chipwise.core.what_if import ChoiceError, WhatIfPage

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.api.given import NetworkLike
    from chipwise.api.targets import Target
    from chipwise.core.network import Network
    from chipwise.ui.choices import Choices
    from chipwise.ui.http import Content
    from chipwise.views.what_if_page import Group, Offered

_MOST_PORT = 65535
_LONGEST_NAME = 80  # characters of one that is not known, in an error
_KEPT = 64  # answers, of choices that are gone back to
_KINDS = {"gpu": "GPUs", "tpu": "TPUs", "cpu": "CPUs", "edge": "Edge devices", "fpga": "FPGAs"}


def what_if_page(
    network: NetworkLike | None = None,
    *,
    port: int = 0,
    open_browser: bool = True,
    listening: Callable[[WhatIfPage], None] | None = None,
) -> WhatIfPage:
    """Show the what-if page on loopback until SIGTERM or Ctrl-C; call it from the main thread.

    Args:
        network: to begin with, as `estimate` takes it; on the page there are this one and the zoo's.
        port: to listen on; 0 for any that is free.
        open_browser: whether the usual browser is told to open it.
        listening: called once it is there; by default its address is written on stderr.

    Returns:
        where it was.

    Raises:
        InputError: no such network or port. MissingExtraError: the extra "serve" is not installed. MachineError: the
        port is taken.
    """
    if not 0 <= port <= _MOST_PORT:
        raise InputError(f"port is {port}", hint=f"from 1 to {_MOST_PORT}; 0 for any that is free")
    need(*HTTP, extra="serve")
    from chipwise.ui.server import show

    where: list[WhatIfPage] = []

    def told(url: str) -> None:
        where.append(WhatIfPage(url))
        (listening or _say)(where[0])
        if open_browser:
            webbrowser.open(url)

    show(page_content(network), port, told)
    return where[0]


def page_content(network: NetworkLike | None = None) -> Content:
    """The page, and what answers it.

    Args:
        network: to begin with; None for one of the zoo.

    Raises:
        InputError: no such network.
    """
    from chipwise.ui.choices import Choices
    from chipwise.ui.http import Content
    from chipwise.views.what_if_page import what_if_page as page

    given = None if network is None else loaded_network(network)
    usual = Choices() if given is None else _beginning(given)
    made = page(_offered(given), asdict(usual), MOST_DEVICES, MOST_ITEMS)
    answers = _Answers(given)
    return Content(made.html, made.policy, {"/api/estimate": answers.estimate, "/api/offers": answers.offers})


class _Answers:
    """What the page asks for, of the networks and devices that it offers and of no others.

    Args:
        given: the network that was given, besides the zoo's.
    """

    def __init__(self, given: Network | None) -> None:
        self._given = given
        self._here: Target | None = None  # measured once, when it is asked for
        self._offers = lru_cache(_KEPT)(self._every_device)

    def estimate(self, choices: Choices) -> str:
        """`what_if` as JSON."""
        from chipwise.views.as_json import as_json

        on: Any = self._place(choices.on)
        answer = what_if(
            self._network(choices.network), on=on, count=choices.count, link=choices.link or None, batch=choices.batch,
            micro_batches=choices.micro_batches, zero=choices.zero, pipeline=choices.pipeline, **_settings(choices),
        )  # fmt: skip
        return as_json(answer)

    def offers(self, choices: Choices) -> str:
        """`offers` as JSON; of each device what goes through at a time."""
        micro = max(choices.batch // max(choices.micro_batches, 1), 1)
        return self._offers(choices.network, batch=micro, **_settings(choices))

    def _every_device(self, network: str, **settings: Any) -> str:
        from chipwise.views.as_json import as_json

        return as_json(offers(self._network(network), **settings))

    def _network(self, name: str) -> Any:
        """The network that was given, or the zoo's: no file, and no code, that the address names."""
        from chipwise.networks.zoo.named import named

        if self._given is not None and name == self._given.name:
            return self._given
        try:
            found = named(name)
        except InputError as error:
            raise ChoiceError("network", error.message, hint=error.hint) from error
        if found is None:
            unknown = unknown_name("network", name[:_LONGEST_NAME], _network_names(self._given))
            raise ChoiceError("network", unknown.message, hint=unknown.hint)
        return found

    def _place(self, name: str) -> Any:
        if name.strip().lower() != HERE:
            return name
        self._here = self._here or target(HERE)
        return self._here


def _settings(choices: Choices) -> dict[str, Any]:
    return {
        "phase": choices.phase, "precision": choices.precision or None, "compiled": choices.compiled,
        "techniques": choices.techniques,
    }  # fmt: skip


def _beginning(given: Network) -> Choices:
    """The usual choices, with this network and the batch that it takes."""
    from chipwise.networks.layers import fixed_batch
    from chipwise.ui.choices import Choices

    usual = Choices()
    return replace(usual, network=given.name, batch=fixed_batch(given) or usual.batch)


def _offered(given: Network | None) -> Offered:
    from chipwise.devices import known
    from chipwise.networks.zoo import ZOO
    from chipwise.views.what_if_page import Offered

    kinds: dict[str, list[tuple[str, str]]] = {}
    for name in ZOO:
        kinds.setdefault(ZOO[name].task.kind, []).append((name, name))
    own: list[Group] = [("Yours", [(given.name, given.name)])] if given is not None and given.name not in ZOO else []
    systems = [each for each in known.systems() if each.device is not None]
    places: list[Group] = [
        ("This machine", [(HERE, "here")]),
        ("Systems", [(each.name, f"{each.name} ({each.count})") for each in systems]),
    ]
    for kind, heading in _KINDS.items():
        found = sorted((each for each in known.devices() if each.kind == kind), key=lambda each: -(each.year or 0))
        places.append((heading, [(each.name, each.name) for each in found]))
    return Offered(
        networks=[*own, *((f"Zoo: {kind}", pairs) for kind, pairs in kinds.items())],
        devices=places,
        links=[each.name for each in known.links()],
        precisions=PRECISIONS,
        optimizers=OPTIMIZERS,
    )


def _network_names(given: Network | None) -> list[str]:
    from chipwise.networks.zoo import ZOO

    return [*ZOO, *([given.name] if given is not None else [])]


def _say(page: WhatIfPage) -> None:
    sys.stderr.write(f"{page.url}\n")
