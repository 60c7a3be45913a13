"""Sound from .wav files: 16-bit PCM, as one channel of numbers between -1 and 1.

>>> import io, pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "short.wav"
>>> with wave.open(str(path), "wb") as file:
...     file.setparams((1, 2, 8000, 0, "NONE", "")); file.writeframes(np.array([0, 16384], "<i2").tobytes())
>>> read_wave(path)[0].tolist()
[0.0, 0.5]
"""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LARGEST_BYTES = 1 << 30  # an hour and a half in stereo at 48 kHz
_HINT = "16-bit PCM is read; convert it with: ffmpeg -i IN -c:a pcm_s16le -ar 16000 -ac 1 OUT.wav"
# What the standard library raises on damaged files.
_DAMAGE = (wave.Error, EOFError, ValueError, RuntimeError, OverflowError)


def read_wave(path: Path) -> tuple[NDArray[np.float32], int]:
    """Read a .wav file; the channels of several are averaged.

    Returns:
        float32 [samples] in -1..1 (the 16-bit number over 32768), and the sample rate in Hz.

    Raises:
        DataError: when it is missing, damaged, empty, too large or other than 16-bit PCM.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_BYTES:
            raise DataError(f"{path} has {size:,} bytes; sound may have {_LARGEST_BYTES:,}", hint="cut it into pieces")
        with path.open("rb") as stream, wave.open(stream) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            if width != 2:
                raise DataError(f"{path} holds {8 * width}-bit samples", hint=_HINT)
            data = file.readframes(min(file.getnframes(), size))  # a header may promise more than there is
    except OSError as error:
        raise DataError(f"cannot read sound {path}: {error.strerror or error}") from error
    except _DAMAGE as error:
        reason = str(error) or "it is empty or cut short"
        raise DataError(f"{path} is no .wav file that can be read: {reason}", hint=_HINT) from error
    whole = len(data) // (2 * channels) * channels
    if not whole:
        raise DataError(f"{path} holds no sound", hint=_HINT)
    samples = np.frombuffer(data, "<i2", whole).reshape(-1, channels)
    return (samples.astype(np.float32).mean(axis=1) / np.float32(32768)), rate
