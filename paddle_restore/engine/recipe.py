"""Recipes as files: YAML with `_base_`, overridden by `-o a.b=v`; their keys are not checked here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from paddle_restore.errors import UserError, line_of

BASE = "_base_"


def read_recipe(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return a file's keys merged into those of its bases. Raises UserError that names the file."""
    if path.resolve() in seen:
        raise UserError(f"{path}: {BASE} leads back to the file itself")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such recipe") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not valid YAML ({line_of(error)})") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: a recipe is a mapping of keys to values")
    bases = values.pop(BASE, [])
    merged: dict[str, Any] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        merged = merge(merged, read_recipe(path.parent / base, (*seen, path.resolve())))
    return merge(merged, values)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings; a section of another `kind` (or model `id`) replaces the base's whole."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        other = both and any(k in value and k in old and value[k] != old[k] for k in ("kind", "id"))
        merged[key] = merge(old, value) if both and not other else value
    return merged


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set a key in place as `-o key.path=value` says; the value is YAML."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"-o {override}: expected key.path=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    *parents, last = key.split(".")
    for part in parents:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise UserError(f"-o {override}: {part!r} is a value, not a section")
    # Choosing another model or kind drops the arguments of the old one.
    if last in ("id", "kind") and values.get(last, value) != value:
        values.clear()
    values[last] = value
