"""Which module may import which. A failure names the module, the line and what it imports.

`_core` decides, `_io` touches the world, `_sync` and `_async` run it, with the same file names on
both sides. Imports inside functions count; so do those that only annotations need.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import hfgen

ROOT = Path(hfgen.__file__).parent

# Modules that do I/O, read clocks or the environment, start threads or draw random numbers.
WORLD = {
    "aiohttp", "asyncio", "datetime", "http.client", "logging", "os", "pathlib", "random", "select",
    "socket", "ssl", "subprocess", "threading", "time", "urllib3",
}  # fmt: skip
# Modules that only compute, beside all of `_core`; and the imports that each may have.
PURE = {
    "hfgen._core.retry": {"random"},  # a default that tests replace
    "hfgen._bulk.dispatcher": {"random"},  # a default that tests replace
    "hfgen._bulk.failures": {"socket"},  # for the class of an error
    "hfgen._bulk.plan": set(),
    "hfgen._bulk.rate_limit": set(),
    "hfgen._bulk.results": set(),
    "hfgen._bulk.servers": set(),
}


# What each part may import of hfgen, beside itself: the client from the bottom up, the server.
LAYERS = {
    "_version": set(),
    "_core": {"_io.signal"},  # in annotations only, which another test checks
    "_io": {"_core", "_version"},
    "_options": {"_core", "_io"},
    "_session": {"_core", "_io", "_options"},
    "_bulk": {"_core", "_io", "_options"},
    "_sync": {"_core", "_io", "_options", "_session", "_bulk"},
    "_async": {"_core", "_io", "_options", "_session", "_bulk"},
    "_static": {"_core", "_options", "_sync", "_async"},
    "types": {"_core", "_options", "_bulk", "_sync", "_async"},
    "fetch": {"_core", "_io", "_sync", "_async"},
    # The command imports the server, not the other way round.
    "server": {"_core", "_io", "_version"},
}
# Files of one side that the other has no use for.
ONE_SIDED = {
    # Threads are woken by closing a socket, tasks by cancelling them.
    "abort_scope",
    "closable_body",
    "deadlines",
    "sockets",
    # urllib3 reads a chunk at a time.
    "chunked",
}


class Import(NamedTuple):
    line: int
    module: str
    is_for_annotations: bool


def module_name(path: Path) -> str:
    return ".".join(("hfgen", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


MODULES = {module_name(path): path for path in ROOT.rglob("*.py")}


def read_imports(module: str) -> list[Import]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for_annotations = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{MODULES[module]}:{node.lineno}: imports are absolute here"
            # A name is a module or something in one.
            names = [
                full if (full := f"{node.module}.{alias.name}") in MODULES else str(node.module)
                for alias in node.names
            ]
        else:
            continue
        imported += [Import(node.lineno, name, id(node) in for_annotations) for name in names]
    return imported


IMPORTS = {module: read_imports(module) for module in MODULES}


def is_inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_no_import_circle():
    graph = {
        module: {imported.module for imported in imports if imported.module in MODULES}
        - {module, "hfgen"}
        for module, imports in IMPORTS.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize(
    "module", sorted(PURE.keys() | {name for name in MODULES if is_inside(name, "hfgen._core")})
)
def test_pure_modules_import_nothing_that_does_io(module):
    offences = [
        f"{MODULES[module]}:{imported.line}: {module} imports {imported.module}"
        for imported in IMPORTS[module]
        if any(is_inside(imported.module, name) for name in WORLD - PURE.get(module, set()))
    ]
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("part", LAYERS)
def test_what_each_part_may_import(part):
    allowed = [f"hfgen.{name}" for name in (part, *LAYERS[part])]
    offences = [
        f"{MODULES[module]}:{imported.line}: {module} imports {imported.module}"
        for module, imports in IMPORTS.items()
        if is_inside(module, f"hfgen.{part}")
        for imported in imports
        if is_inside(imported.module, "hfgen")
        if not any(is_inside(imported.module, name) for name in allowed)
    ]
    assert not offences, "\n".join(offences)


def test_the_core_imports_a_signal_for_annotations_alone():
    offences = [
        f"{MODULES[module]}:{imported.line}: {module} imports {imported.module} at run time"
        for module, imports in IMPORTS.items()
        if is_inside(module, "hfgen._core")
        for imported in imports
        if is_inside(imported.module, "hfgen._io") and not imported.is_for_annotations
    ]
    assert not offences, "\n".join(offences)


def test_both_sides_have_the_same_files():
    sync, asynchronous = (
        {path.stem for path in (ROOT / side).glob("*.py")} for side in ("_sync", "_async")
    )
    assert sync ^ asynchronous == ONE_SIDED
