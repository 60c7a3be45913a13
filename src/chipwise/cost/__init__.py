"""What a network should cost on a device: pure arithmetic on layer rows. The same input gives the same answer.

>>> from chipwise.core.device import Device
>>> from chipwise.core.estimate import Workload
>>> device = Device("example", "cpu", peak_flops={"fp32": 1e9}, bandwidth_bytes_s=1e9)
>>> estimate([], device, Workload()).time_s.low
0.0
"""

from chipwise.cost.estimate import estimate

__all__ = ["estimate"]
