"""Parts of other packages: names that are taken, modules that fail."""

from __future__ import annotations

import sys

import pytest

from paddle_restore.registry import Registry, find_modules


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Put modules and entry points of a foreign package on the path: {entry: (module, source)}."""

    def install(folder, entries, name="foreign_parts"):
        lines = [f"[{folder}]"]
        for entry, (module, source) in entries.items():
            (tmp_path / f"{module}.py").write_text(source)
            monkeypatch.delitem(sys.modules, module, raising=False)
            lines.append(f"{entry} = {module}")
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


FOLDER = "paddle_restore.engine.objectives"  # a folder with few modules


def test_our_own_modules_come_first(plugin):
    plugin(FOLDER, {"aaa": ("foreign_aaa", "")})
    found = list(find_modules(FOLDER).values())
    assert found[-1] == "foreign_aaa"
    assert all(module.startswith(FOLDER) for module in found[:-1])


def test_an_entry_point_with_the_name_of_a_module_of_ours_is_named(plugin):
    plugin(FOLDER, {"supervised": ("foreign_supervised", "")})
    with pytest.warns(UserWarning, match="'supervised'.*foreign_supervised is left out"):
        assert find_modules(FOLDER)["supervised"] == f"{FOLDER}.supervised"


@pytest.mark.parametrize("source", ["raise OSError('no')", "import no_such_module_at_all"])
def test_a_module_that_fails_costs_a_warning_and_nothing_else(plugin, source):
    plugin(FOLDER, {"broken": ("foreign_broken", source)})
    registry = Registry("objective", FOLDER)
    with pytest.warns(UserWarning, match="'broken': module foreign_broken cannot be imported"):
        assert list(registry) == []  # ours have registered with the real one
