"""What a network costs: parameters and multiply-accumulate operations (MACs).

Published numbers mix two conventions, which have names here:

direct     one MAC per multiplication of convolutions, transposed convolutions and linear layers
ptflops    the convention of the 440.46 GMac (SID) and 41.38 GMac (Lamba) at 2048x4096 in Lamba and Mitra,
           CVPR 2021, Table 1: a transposed convolution counts at its output's size, a bias and an
           activation count one per value, pooling counts one per value that it reads
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Parameters, and MACs as `fixed + each * area`, the area counted in squares of `side` input pixels.

    Layers cost the same at every pixel, except those that work on values pooled over the whole picture.
    So two small sizes give the cost at every size exactly.
    """

    parameters: int
    side: int
    direct_fixed: int
    direct_each: int
    ptflops_fixed: int
    ptflops_each: int

    def macs(self, height: int, width: int, convention: str = "direct") -> int:
        """MACs of one input of a size that the network takes; `convention` is `direct` or `ptflops`."""
        fixed, each = {
            "direct": (self.direct_fixed, self.direct_each),
            "ptflops": (self.ptflops_fixed, self.ptflops_each),
        }[convention]
        return fixed + each * height * width // self.side**2
