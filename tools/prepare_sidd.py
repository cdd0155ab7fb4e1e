"""Prepare the SIDD data set: patches, validation blocks, a check, low-resolution targets."""

import _repository  # puts the repository's root on the path
from paddle_restore.cli.main import main

if __name__ == "__main__":
    main("prepare_sidd")
