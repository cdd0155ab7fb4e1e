"""The recipes that come with the package, and the camera files: in a wheel, or in a clone's `configs/`."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
_HIDDEN = ("_base_", "cameras")


def recipe_folder() -> Path:
    """Return the folder of the recipes. setup.py puts `configs/` into a wheel as `paddle_restore/configs`."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def list_recipes() -> list[str]:
    """Return the names of the recipes, such as "sid/demo", sorted."""
    folder = recipe_folder()
    paths = (path.relative_to(folder).with_suffix("") for path in folder.glob("*/*.yml"))
    return sorted(path.as_posix() for path in paths if path.parts[0] not in _HIDDEN)


def find_recipe(name: str | Path) -> Path:
    """Return the file of a recipe: a path, or a name of `list_recipes`, also with "configs/" or ".yml".

    A path that is no file and names no recipe is returned as it is.
    """
    path = Path(name)
    if path.is_file() or path.is_absolute():
        return path
    below = Path(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    found = recipe_folder() / below.with_suffix(".yml")
    return found if below.with_suffix("").as_posix() in list_recipes() else path
