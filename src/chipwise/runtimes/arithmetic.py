"""Arithmetic that can be timed: products of matrices and Fourier transforms, whatever library computes them.

>>> Product("product", "fp32", "example", 1, lambda size: lambda: None).operations(100)
2000000.0
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

# Transforms are done in batches of so many values, as networks do.
FFT_VALUES = 1 << 20


@dataclass(frozen=True, slots=True)
class Product:
    """Arithmetic that can be timed.

    Attributes:
        work: a product of square matrices, or Fourier transforms.
        format: of the numbers; through: the library.
        threads: that it uses; 0 for a graphics processor.
        count: products in one call.
        make: prepares a size (side of the matrices; values in a transform) and gives the call.
    """

    work: Literal["product", "fft"]
    format: str
    through: str
    threads: int
    make: Callable[[int], Callable[[], object]]
    count: int = 1

    def operations(self, size: int) -> float:
        """Of one call: 2 n^3 for a product, 5 N log2 N for each transform."""
        if self.work == "product":
            return 2.0 * size**3 * self.count
        return 5.0 * FFT_VALUES * math.log2(size)
