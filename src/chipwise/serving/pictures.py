"""The convenience routes: a picture file in, what the plan's task says of it out, prepared as the plan says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.serving.request_error import RequestError
from chipwise.serving.wire import Message

if TYPE_CHECKING:
    from chipwise.serving.shelf import Shelf

_TOP = 5  # classes that are named, as `chipwise run` does
VERBS = {"classification": "classify", "detection": "detect", "segmentation": "segment"}


async def look(shelf: Shelf, model: str, kind: str, picture: bytes) -> Message:
    """Have a model look at a picture file.

    Args:
        shelf: the models.
        model: name of one.
        kind: of task that it must be for.
        picture: the file's bytes.

    Raises:
        RequestError: it is for something else, takes no pictures, or the picture cannot be read.
    """
    serving = shelf.find(model)
    if serving.facts.kind != kind or not serving.facts.pictures:
        verb = VERBS.get(serving.facts.kind) if serving.facts.pictures else None
        instead = f"ask it to {verb}" if verb else "send it tensors"
        raise RequestError(f"model '{model}' is for {serving.facts.kind}; {instead}")
    if not picture:
        raise RequestError("the body is empty; a picture file is wanted (PNG, JPEG, ...)")
    return await shelf.turns.infer(serving, Message("look", {"top": _TOP}, blob=picture))
