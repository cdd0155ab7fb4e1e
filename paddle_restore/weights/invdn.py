"""Names of InvDN's published checkpoints -> ours."""


def _subnet(m):
    """Operation 0 and 9 are the wavelets; 8 coupling blocks follow each."""
    level, block = divmod(int(m[1]), 9)
    return f"levels.{level}.{block - 1}.{m[2].lower()}."


RULES = [
    (r"\.haar_weights$", None),  # constants
    (r"^operations\.(\d+)\.([FGH])\.", _subnet),
]
