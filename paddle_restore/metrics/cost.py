"""What a network costs: parameters and multiply-accumulate operations (MACs).

Two ways of counting, each with a name, since published numbers mix them:

direct     one MAC a multiplication of convolutions, transposed convolutions and linear layers
ptflops    the convention behind the 440.46 GMac (SID) and 41.38 GMac (Lamba) at 2048x4096 in Lamba
           and Mitra, CVPR 2021, Table 1: a transposed convolution counts at its output's size, a bias
           and an activation count one a value, and pooling one a value that it reads
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Parameters, and MACs as `fixed + each * area`, the area counted in squares of `side` input pixels.

    A network's layers cost the same at every pixel, but for what works on values pooled over the
    whole picture, so that two small sizes tell every size exactly.
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
