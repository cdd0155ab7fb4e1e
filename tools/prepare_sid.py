"""Check a SID data set; decode its frames into a cache."""

import _repository  # puts the repository's root on the path
from paddle_restore.cli.main import main

if __name__ == "__main__":
    main("prepare_sid")
