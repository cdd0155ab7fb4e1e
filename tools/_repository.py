"""Put the repository's root on the path, so that `python tools/X.py` needs no installation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
