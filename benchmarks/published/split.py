"""Which published rows are held out: decided by the name of a network's family alone, before anything is fitted.

A family is the leading letters of the model's name, lower case, up to the first digit, `_` or `.`. Prefixes that only
say where the weights come from are dropped first: `ssl_resnet50` is the same computation as `resnet50`, and must not
stand on the other side. A family is held out when the first byte of the SHA-256 of its name is odd.

>>> family("tf_efficientnet_b0.ns_jft_in1k"), family("ssl_resnet50"), family("RegNetX_002")
('efficientnet', 'resnet', 'regnetx')
>>> held_out("resnet50"), held_out("vit_tiny_patch16_224")
(True, False)
"""

from __future__ import annotations

import hashlib
import re

# Where weights come from, not what is computed.
_ORIGINS = ("tf_", "legacy_", "gluon_", "tv_", "ssl_", "swsl_", "ig_", "adv_", "ens_", "jx_", "dm_")


def family(model: str) -> str:
    """The family of a network, by its name."""
    name = model.lower()
    while origin := next((each for each in _ORIGINS if name.startswith(each)), ""):
        name = name[len(origin) :]
    found = re.match(r"[a-z]*", name)
    return found.group() if found else ""


def held_out(model: str) -> bool:
    """Whether rows of this network are for testing only."""
    return hashlib.sha256(family(model).encode()).digest()[0] % 2 == 1


def fold(model: str, folds: int) -> int:
    """Which fold of a cross-validation by families a network is in, 0..folds-1; of other bytes than `held_out`."""
    return int.from_bytes(hashlib.sha256(family(model).encode()).digest()[1:5], "big") % folds
