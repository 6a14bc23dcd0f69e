"""The public names of hfgen, and what the imports load."""

import ast
import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hfgen
import hfgen.types

VERBS = ["run", "stream", "stream_tokens", "stream_bytes"]


@pytest.mark.parametrize("module", [hfgen, hfgen.types])
def test_all_is_sorted_and_real(module):
    assert module.__all__ == sorted(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)


def test_no_name_is_in_both_modules():
    assert not set(hfgen.__all__) & set(hfgen.types.__all__)


def test_type_checkers_read_the_same_names_from_the_same_modules():
    tree = ast.parse(inspect.getsource(hfgen))
    imported = {
        alias.name: node.module.removeprefix("hfgen.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("hfgen.")
        for alias in node.names
    }
    assert imported == hfgen._MODULES
    assert sorted(imported) == hfgen.__all__


def test_no_error_and_no_answer_is_missing():
    from hfgen._core import answers, errors  # noqa: PLC0415

    roots = ((errors, hfgen.HfgenError, hfgen), (answers, hfgen.types.Answer, hfgen.types))
    for module, root, public in roots:
        for name, value in vars(module).items():
            if inspect.isclass(value) and issubclass(value, root):
                assert name in public.__all__


@pytest.mark.parametrize("module", [hfgen, hfgen.types])
def test_what_is_public_is_documented(module):
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value):
            assert inspect.getdoc(value), name
            for method, function in vars(value).items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    assert inspect.getdoc(function), f"{name}.{method}"


def list_loaded_modules(script):
    listing = "import sys; print('\\n'.join(sys.modules))"
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{script}\n{listing}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(process.stdout.split())


def test_importing_hfgen_imports_nothing_else():
    assert list_loaded_modules("import hfgen") - list_loaded_modules("pass") == {"hfgen"}


@pytest.mark.parametrize(
    ("script", "needed"),
    [("hfgen.Client()", "msgspec, urllib3"), ("hfgen.AsyncClient()", "msgspec, aiohttp")],
)
def test_a_client_imports_nothing_that_is_rarely_used(script, needed):
    added = list_loaded_modules(f"import hfgen; {script}") - list_loaded_modules(f"import {needed}")
    assert "hfgen._core.call" in added
    rare = {"concurrent.futures", "copy", "dataclasses", "difflib", "html", "urllib.request",
            "hfgen._core.dialects.completions", "hfgen._core.server_info"}  # fmt: skip
    assert not rare & added


def test_names_are_loaded_when_they_are_first_used():
    loaded = list_loaded_modules("from hfgen import *; assert issubclass(TimeoutError, HfgenError)")
    assert {"hfgen._sync.client", "hfgen._async.client"} <= loaded
    assert "hfgen._sync.client" in list_loaded_modules("from hfgen import Client")
    listed = list_loaded_modules("import hfgen, hfgen.fetch; assert 'Client' in dir(hfgen)")
    assert "hfgen._sync.client" not in listed
    assert "hfgen._async.client" not in list_loaded_modules("from hfgen import Client, HfgenError")


def test_an_unknown_name():
    for name in ("client", "_gone", "_LATER", "annotations"):
        with pytest.raises(AttributeError, match=f"module 'hfgen' has no attribute '{name}'"):
            getattr(hfgen, name)
    with pytest.raises(ImportError, match="cannot import name 'client'"):
        from hfgen import client  # noqa: F401, PLC0415


def test_each_side_loads_its_own_transport():
    sync = list_loaded_modules("import hfgen; hfgen.Client()")
    assert "urllib3" in sync
    assert not {"aiohttp", "numpy"} & sync
    asynchronous = list_loaded_modules("import hfgen; hfgen.AsyncClient()")
    assert "aiohttp" in asynchronous
    assert not {"numpy", "urllib3"} & asynchronous


def signature(function):
    """Names, kinds and defaults, without `self`."""
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters if p.name != "self"]


@pytest.mark.parametrize("verb", VERBS)
def test_the_four_verbs_have_one_signature(verb):
    namespaces = [
        hfgen.Client,
        hfgen.AsyncClient,
        hfgen.HuggingFaceTextGeneration,
        hfgen.AsyncHuggingFaceTextGeneration,
    ]
    assert all(
        signature(getattr(namespace, verb)) == signature(hfgen.Client.run)
        for namespace in namespaces
    )
    assert [inspect.iscoroutinefunction(getattr(namespace, verb)) for namespace in namespaces] == [
        False, True, False, True
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "options"),
    [(getattr(namespace, verb), options)
     for namespace, options in (
         (hfgen.Client, hfgen.types.Options),
         (hfgen.AsyncClient, hfgen.types.AsyncOptions),
         (hfgen.HuggingFaceTextGeneration, hfgen.types.Options),
         (hfgen.AsyncHuggingFaceTextGeneration, hfgen.types.AsyncOptions),
     ) for verb in VERBS]
    + [(hfgen.Client, hfgen.types.ClientOptions),
       (hfgen.Client.generate_many, hfgen.types.Options),
       (hfgen.Client.info, hfgen.types.CallOptions),
       (hfgen.AsyncClient, hfgen.types.AsyncClientOptions),
       (hfgen.AsyncClient.with_options, hfgen.types.AsyncOptions),
       (hfgen.AsyncClient.tokenize, hfgen.types.AsyncCallOptions)],
)  # fmt: skip
def test_signature_and_help_have_the_options_by_name(function, options):
    parameters = inspect.signature(function).parameters
    names = list(options.__annotations__)
    assert list(parameters)[-len(names) :] == names
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    assert str(parameters["api_key"]) == "api_key: 'str | None' = ..."
    text = pydoc.render_doc(function, renderer=pydoc.plaintext)
    for name in names:
        assert re.search(rf"^[ |]*{name}: \w.*\.$", text, re.MULTILINE), name


def test_help_of_the_types_describes_every_field():
    for kind in (hfgen.types.GenerateParameters, hfgen.types.GenerationRequest):
        for name in kind.__annotations__:
            assert f"    {name}: " in inspect.getdoc(kind)


def test_generate_many_has_one_signature():
    sync, asynchronous = (
        [(name, kind, None if name == "concurrency" else default)
         for name, kind, default in signature(namespace.generate_many)]
        for namespace in (hfgen.Client, hfgen.AsyncClient)
    )  # fmt: skip
    assert sync == asynchronous


@pytest.mark.parametrize(
    ("sync", "asynchronous"),
    [(hfgen.Client, hfgen.AsyncClient), (hfgen.types.Stream, hfgen.types.AsyncStream),
     (hfgen.types.Bulk, hfgen.types.AsyncBulk),
     (hfgen.HuggingFaceTextGeneration, hfgen.AsyncHuggingFaceTextGeneration)],
)  # fmt: skip
def test_both_sides_have_the_same_methods(sync, asynchronous):
    def public(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    assert {
        name.removeprefix("a") if name == "aclose" else name for name in public(asynchronous)
    } == public(sync)


@pytest.mark.parametrize("verb", VERBS)
def test_the_verbs_are_static(verb):
    for namespace in (hfgen.HuggingFaceTextGeneration, hfgen.AsyncHuggingFaceTextGeneration):
        assert isinstance(vars(namespace)[verb], staticmethod)


def test_the_package_is_typed():
    assert (Path(hfgen.__file__).parent / "py.typed").exists()


def test_the_version():
    assert hfgen.__version__.count(".") == 2
