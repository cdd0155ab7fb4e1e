"""Make the demo data."""

import _repository  # puts the repository's root on the path
from paddle_restore.cli.main import main

main("prepare_demo")
