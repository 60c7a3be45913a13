"""Where devices come from: so far this machine (`detect`) and the libraries on it (`versions`).

>>> detect().cores >= 1
True
"""

from chipwise.devices.detect import detect, versions

__all__ = ["detect", "versions"]
