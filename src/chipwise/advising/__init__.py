"""Which hardware for a network: what fits, how long it takes, what it costs, and what would change the answer.

>>> from chipwise.core.advice import Goal
>>> completed(Goal(phase="training")).batch
256
"""

from chipwise.advising.advise import advise, completed

__all__ = ["advise", "completed"]
