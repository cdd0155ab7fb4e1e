"""Write the API pages from the docstrings to output/api, or to the folder that is given.

pip install -e ".[cpu,serve,docs]" && python tools/api_pages.py
"""

import pkgutil
import re
import sys
import textwrap
import warnings
from pathlib import Path

import _repository  # puts the repository's root on the path
import paddle_restore
import paddle  # before pdoc, which blocks the subprocesses that this import starts
import pdoc
from jinja2 import pass_context

markdown = pdoc.render.env.filters["to_markdown"]


@pass_context
def with_columns(context, docstring):
    """Show paragraphs in aligned columns as they are."""
    paragraphs = docstring.split("\n\n")
    kept = [textwrap.indent(p, "    ") if re.search(r"\S {2,}\S", p) else p for p in paragraphs]
    return markdown(context, "\n\n".join(kept))


pdoc.render.env.filters["to_markdown"] = with_columns
warnings.filterwarnings("ignore", message="The module specification .* already been added")
for name in paddle_restore.__all__:
    getattr(paddle_restore, name)  # loads what is loaded on first use
# Each module by its name: pdoc shows no modules of a package that has __all__.
modules = [m.name for m in pkgutil.walk_packages(paddle_restore.__path__, "paddle_restore.")]
skipped = ("paddle_restore.__main__", "paddle_restore.cli")
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "output/api")
pdoc.pdoc("paddle_restore", *(m for m in modules if not m.startswith(skipped)), output_directory=folder)
print(f"wrote {folder / 'index.html'}")
