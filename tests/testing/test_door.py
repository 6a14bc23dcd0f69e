"""The public names of `hfgen.testing`, and what the import loads."""

import inspect
import subprocess
import sys

from hfgen import testing


def test_all_is_sorted_and_real():
    assert testing.__all__ == sorted(set(testing.__all__))
    public = {
        name
        for name, value in vars(testing).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(testing.__all__)


def test_what_is_public_is_documented():
    for name in testing.__all__:
        value = getattr(testing, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            assert inspect.getdoc(value), name
        if inspect.isclass(value):
            for method, function in vars(value).items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    assert inspect.getdoc(function), f"{name}.{method}"


def list_loaded_modules(script):
    listing = "import sys; print('\\n'.join(sys.modules))"
    command = [sys.executable, "-W", "error", "-c", f"{script}\n{listing}"]
    process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(process.stdout.split())


def test_it_loads_neither_pytest_nor_a_transport():
    loaded = list_loaded_modules("import hfgen.testing") - list_loaded_modules("import hfgen")
    added = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert added == {"hfgen"}


def test_its_plugin_loads_nothing_that_pytest_and_hfgen_do_not():
    before = list_loaded_modules("import pytest, hfgen, hfgen.testing")
    assert list_loaded_modules("import hfgen.testing._plugin") - before == {"hfgen.testing._plugin"}


def test_hfgen_does_not_load_it():
    assert "hfgen.testing" not in list_loaded_modules("import hfgen")
