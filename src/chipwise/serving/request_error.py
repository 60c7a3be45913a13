"""A request that is not answered with what it asked for: the HTTP status, the reason, and when to try again.

>>> overloaded("digits", 64).status
503
"""

from __future__ import annotations

from chipwise.core.errors import ChipwiseError, InputError

BAD, UNAUTHORIZED, ABSENT, NO_SUCH_METHOD, TOO_SLOW, TOO_LARGE, UNKNOWN_ENCODING = 400, 401, 404, 405, 408, 413, 415
LARGE_HEAD, BROKEN, UNAVAILABLE, EXPIRED = 431, 500, 503, 504
STATUSES = (
    BAD, UNAUTHORIZED, ABSENT, NO_SUCH_METHOD, TOO_SLOW, TOO_LARGE, UNKNOWN_ENCODING, LARGE_HEAD, BROKEN, UNAVAILABLE,
    EXPIRED,
)  # fmt: skip


class RequestError(InputError):
    """Why a request is refused, or could not be answered.

    Args:
        message: what was received, and why it cannot be answered.
        status: of the HTTP answer; gRPC has a code for each.
        retry_after_s: whole seconds after which it may be tried again; 0 where that would not help.
        allowed: the method that the path takes, where another one was used.

    Attributes:
        tallied: whether a model's tally has it already.
    """

    def __init__(self, message: str, status: int = BAD, *, retry_after_s: int = 0, allowed: str = "") -> None:
        super().__init__(message)
        self.status, self.retry_after_s, self.allowed = status, retry_after_s, allowed
        self.tallied = False


def overloaded(model: str, waiting: int) -> RequestError:
    """The refusal of a request for which there is no room."""
    return RequestError(f"model '{model}' has {waiting} requests waiting, its limit", UNAVAILABLE, retry_after_s=1)


def as_refusal(error: ChipwiseError) -> RequestError:
    """Any error as the refusal of the request that led to it: one that was never raised.

    What was raised has the frames with the request's body in its traceback; kept in one of them it would keep them all,
    until the garbage collector comes by.
    """
    if not isinstance(error, RequestError):
        return RequestError(error.message, BAD if isinstance(error, InputError) else BROKEN)
    same = RequestError(error.message, error.status, retry_after_s=error.retry_after_s, allowed=error.allowed)
    same.tallied = error.tallied
    return same


def absent_model(name: str) -> RequestError:
    """The refusal of a name that no model has; a name that is none is cut short."""
    return RequestError(f"there is no model '{name[:100]}'", ABSENT)
