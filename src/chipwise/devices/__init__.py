"""Where devices come from: so far this machine and the libraries on it, in `detect`.

>>> from chipwise.devices.detect import detect
>>> detect().cores >= 1
True
"""
