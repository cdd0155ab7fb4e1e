"""YAML of files that others wrote: recipes, exported folders, cameras.

A few lines of YAML can stand for gigabytes, because an alias repeats what its anchor holds. So the values are
counted before they are built. What no option can take (dates aside) is refused here: keys that are not text,
integers beyond 64 bits, text with NUL or lone surrogates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import yaml

from paddle_restore.errors import UserError, line_of

MAX_BYTES = 1 << 20
MAX_NODES = 20_000
MAX_DEPTH = 40
BEYOND = "an integer beyond 64 bits"


def read_yaml(path: Path) -> Any:
    """Return the values of a file. Raises UserError that names the file, and OSError if it cannot be read."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB, which no recipe or description is")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Any:
    """Return the values of a text. Raises UserError that begins with `source`."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _Counter().count(node, 0)
            values = loader.construct_document(node)
        finally:
            loader.dispose()
        _check(values)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # Not only YAML's own errors: 2024-13-45 is a ValueError of datetime.
        # Python's own line about an integer of thousands of digits gives advice to programmers.
        reason = BEYOND if "integer string conversion" in str(error) else line_of(error, 200)
        raise UserError(f"{source}: is not valid YAML ({reason})") from None
    except RecursionError:
        raise UserError(f"{source}: is not valid YAML (nested too deeply)") from None
    return values


class _Loader(yaml.SafeLoader):
    """Stops at the first node that is too many or nested too deeply: PyYAML takes seconds for thousands."""

    def __init__(self, text: str):
        super().__init__(text)
        self.depth = self.nodes = 0

    def compose_node(self, parent: Optional[yaml.Node], index: Any) -> Optional[yaml.Node]:
        self.depth += 1
        self.nodes += 1
        if self.depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        if self.nodes > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} values")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Counter:
    """Counts what the nodes of a document stand for, each alias as often as it occurs."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.open: set[int] = set()

    def count(self, node: yaml.Node, depth: int) -> int:
        """Return the number of values in a node. Raises ValueError for too many, or nested too deeply."""
        if id(node) in self.open:
            raise ValueError("an alias stands inside what it names")
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        known = self.counts.get(id(node))
        if known is None:
            self.open.add(id(node))
            inner = node.value if isinstance(node, yaml.CollectionNode) else ()
            if isinstance(node, yaml.MappingNode):
                inner = [part for pair in node.value for part in pair]
            known = 1 + sum(self.count(part, depth + 1) for part in inner)
            self.open.remove(id(node))
            self.counts[id(node)] = known
        if known > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} values")
        return known


def _check(values: Any) -> None:
    if isinstance(values, dict):
        for key, value in values.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {str(key)[:50]} is not text; write it in quotes")
            _check(key)
            _check(value)
    elif isinstance(values, (list, tuple, set)):
        for value in values:
            _check(value)
    elif isinstance(values, str):
        if "\0" in values or any("\ud800" <= letter <= "\udfff" for letter in values):
            raise ValueError("text holds a character that is not text (NUL or a lone surrogate)")
    elif isinstance(values, int) and not -(2**63) <= values < 2**63:
        raise ValueError(BEYOND)
