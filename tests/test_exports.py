"""The front door: what `import rldk` offers, and what it costs."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
import subprocess
import sys

import pytest

import rldk

HEAVY = {"datasets", "numpy", "pandas", "tokenizers", "torch", "transformers", "trl"}


def test_the_public_names_are_sorted() -> None:
    """One can find a name in the list."""
    assert rldk.__all__ == sorted(set(rldk.__all__))


def test_the_public_names_are_those_that_have_a_home() -> None:
    """Every name in `__all__` is loaded from somewhere, and nothing is loaded that is not in it."""
    assert rldk.__all__ == sorted(rldk._HOMES)


@pytest.mark.parametrize("name", rldk.__all__)
def test_a_public_name_is_the_one_of_its_home(name: str) -> None:
    """It is what its module calls so and declares as public, and it is documented."""
    home = importlib.import_module(rldk._HOMES[name])
    value = getattr(rldk, name)

    assert value is getattr(home, name)
    assert value.__module__ == home.__name__
    assert name in home.__all__
    assert inspect.getdoc(value)


def test_all_public_names_can_be_imported_at_once() -> None:
    """`from rldk import *` gives exactly them."""
    names: dict[str, object] = {}
    exec("from rldk import *", names)  # noqa: S102 - the statement is allowed at the top of a module only

    assert sorted(names.keys() - {"__builtins__"}) == rldk.__all__


def test_the_public_names_are_shown_by_dir() -> None:
    """Completion in a shell offers them before they are loaded."""
    assert set(rldk.__all__) <= set(dir(rldk))


def test_the_version_is_the_one_of_the_package() -> None:
    """It stands in one place only."""
    assert rldk.__version__ == importlib.metadata.version("rldk")


def test_an_unknown_name_is_an_error() -> None:
    """The message is the one of any module."""
    with pytest.raises(AttributeError) as caught:
        rldk.nothing  # noqa: B018 - reading it is the test

    assert str(caught.value) == "module 'rldk' has no attribute 'nothing'"


@pytest.mark.parametrize(
    "name", [each.name for each in pkgutil.walk_packages(rldk.__path__, "rldk.") if "__main__" not in each.name]
)
def test_a_module_says_what_it_is_for_and_has_what_it_exports(name: str) -> None:
    """Each module has a docstring, and each name in its `__all__` exists."""
    if name.startswith("rldk.integrations.trl"):
        pytest.importorskip("trl", reason="it derives from the trainer's classes")
    module = importlib.import_module(name)

    assert module.__doc__
    assert [each for each in getattr(module, "__all__", []) if not hasattr(module, each)] == []


def _loaded(code: str) -> set[str]:
    """The modules that a fresh Python has loaded after some code."""
    code += "; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_loads_nothing_yet() -> None:
    """`import rldk` loads one module of its own, and none of others beyond the standard library."""
    loaded = _loaded("import rldk")

    assert {name for name in loaded if name.startswith("rldk")} == {"rldk"}
    assert loaded & {"msgspec", "click", "rich"} == set()


def test_no_public_name_loads_a_trainer() -> None:
    """Using everything at the front door imports neither torch nor pandas."""
    assert _loaded("from rldk import *") & HEAVY == set()
