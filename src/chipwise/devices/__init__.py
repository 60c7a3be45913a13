"""Where devices come from: `known` has the catalogue, `detect` this machine and the libraries on it.

>>> from chipwise.devices.known import device
>>> device("rtx3090").multiprocessors
82
"""
