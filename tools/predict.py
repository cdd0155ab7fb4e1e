"""Restore files with a network's own code."""

import _repository  # puts the repository's root on the path
from paddle_restore.cli.main import main

if __name__ == "__main__":
    main("predict")
