"""What is estimated of a network beside what was measured, for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.core.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from chipwise.api.given import NetworkLike
    from chipwise.core.report import Outlook
    from chipwise.core.what_if import WhatIf

_BATCH = 32  # of a training step on each device
_MOST = 8  # devices, and twice as many in the curve


def outlook_of(network: NetworkLike, batch: int) -> Outlook | None:
    """Estimate an answer here and everywhere, and a training step on the usual device.

    Args:
        network: as `estimate` takes it.
        batch: items that an answer is for.

    Returns:
        None where this machine is not known well enough, or the network is not.
    """
    from chipwise.api.offers import offers
    from chipwise.api.what_if import what_if
    from chipwise.core.report import Outlook

    try:
        here = what_if(network, on="here", phase="inference", batch=batch)
        return Outlook(here, _training(network), offers(network, phase="inference", batch=batch))
    except (InputError, MissingExtraError):  # the rest of the report stands without it
        return None


def _training(network: NetworkLike) -> WhatIf | None:
    from chipwise.api.what_if import what_if

    try:
        return what_if(network, batch=_BATCH, count=_MOST)
    except (InputError, MissingExtraError):
        return None
