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

    Takes what `hfgen.testing.ScriptedServer` takes, as often as you like. The servers are closed
    after the test, which fails if something was asked that goes against a strict script.
    """
    # Whoever has pytest and hfgen loads this plugin; most of their tests need no server.
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
