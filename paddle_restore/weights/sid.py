"""Names of SID's published checkpoints (the PyTorch ports) -> ours."""

RULES = [
    (r"^conv10_1\.", "head."),
    (r"^conv([1-5])_([12])\.", lambda m: f"encoder.{int(m[1]) - 1}.conv{m[2]}."),
    (r"^conv([6-9])_([12])\.", lambda m: f"decoder.{int(m[1]) - 6}.conv{m[2]}."),
    (r"^upv([6-9])\.", lambda m: f"up.{int(m[1]) - 6}.conv."),
]
