"""Compressed bodies: inflated within bounds, so that a small body cannot fill the memory.

>>> inflate(deflate(b"a" * 100, "gzip"), "gzip", Limits()) == b"a" * 100
True
"""

from __future__ import annotations

import gzip
import zlib

from chipwise.serving.limits import Limits
from chipwise.serving.request_error import BAD, TOO_LARGE, UNKNOWN_ENCODING, RequestError

_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}  # RFC 9110: "deflate" has zlib's header
_ALWAYS_BYTES = 1 << 20  # so much may come of any body: zeros compress a thousandfold
_LEVEL = 1  # of answers: tensors hardly compress, and time is what is short


def inflate(body: bytes, encoding: str, limits: Limits) -> bytes:
    """Undo a Content-Encoding.

    Args:
        body: as it came.
        encoding: "gzip", "deflate", "identity" or "".
        limits: the size, and the ratio to what came.

    Raises:
        RequestError: another encoding; damaged; cut short; or larger than allowed.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in _WBITS:
        raise RequestError(f"Content-Encoding '{encoding[:40]}' is unknown; gzip and deflate are", UNKNOWN_ENCODING)
    most = min(limits.body_bytes, max(_ALWAYS_BYTES, limits.inflated_ratio * len(body)))
    stream = zlib.decompressobj(_WBITS[encoding])
    try:
        data = stream.decompress(body, most + 1)
    except zlib.error as error:
        raise RequestError(f"the body is no {encoding}: {error}") from error
    if len(data) > most:
        raise RequestError(f"the body inflates to more than {most} bytes", TOO_LARGE)
    if not stream.eof or stream.unused_data:
        raise RequestError(f"the {encoding} body is cut short, or something follows it", BAD)
    return data


def deflate(body: bytes, encoding: str) -> bytes:
    """Apply a Content-Encoding, "gzip" or "deflate"."""
    return gzip.compress(body, _LEVEL, mtime=0) if encoding == "gzip" else zlib.compress(body, _LEVEL)


def accepted(header: str | None) -> str:
    """The encoding to answer in, from Accept-Encoding: "gzip", "deflate" or "" for none."""
    if not header:
        return ""
    refused, found = set(), []
    for each in header.lower().split(","):
        name, _, quality = each.strip().partition(";")
        zero = quality.replace(" ", "").rstrip("0.") == "q="
        refused |= {name.strip()} if zero else set()
        found.append(name.strip())
    return next((name for name in found if name in _WBITS and name not in refused), "")
