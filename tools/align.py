"""Compare networks with their authors' code, step by step."""

import _repository  # puts the repository's root on the path
from paddle_restore.cli.main import main

if __name__ == "__main__":
    main("align")
