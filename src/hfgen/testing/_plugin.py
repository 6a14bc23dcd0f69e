"""The pytest plugin: the fixture `scripted_server`. The one module here that imports pytest."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Iterator

    from hfgen.testing import Scripted, ScriptedServer, Speaks, StartServer


@pytest.fixture
def scripted_server() -> Iterator[StartServer]:
    """Start scripted servers: `scripted_server(loading(20.0), tokens("Once"))`.

    The function takes the arguments of `hfgen.testing.ScriptedServer`, and starts a server each
    time it is called. After the test, the servers are closed; the test fails if a strict server got
    more requests than its script has answers, or if a function of a script failed.
    """
    # Every pytest run beside an installed hfgen loads this module; few of its tests need a server.
    from hfgen.testing import ScriptedServer  # noqa: PLC0415

    with ExitStack() as servers:

        def start(
            *script: Scripted,
            strict: bool = False,
            tls: tuple[str | os.PathLike[str], str | os.PathLike[str]]
            | ssl.SSLContext
            | None = None,
            speaks: Speaks | None = "tgi",
        ) -> ScriptedServer:
            server = ScriptedServer(*script, strict=strict, tls=tls, speaks=speaks)
            return servers.enter_context(server)

        yield start
