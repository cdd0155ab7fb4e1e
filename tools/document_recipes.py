"""Write docs/recipes.md from the schema."""

import _repository  # puts the repository's root on the path
from paddle_restore.cli.main import main

main("document_recipes")
