"""By hand, with aiohttp and the standard library's json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self

import aiohttp

from benchmarks.clients.raw_request import HEADERS, encode_body

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "aiohttp"


class Async:
    """A session for all calls."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        request = self._session.post(
            f"{self._address}/generate_stream",
            data=encode_body(prompt, stream=True),
            headers=HEADERS,
        )
        async with request as response:
            response.raise_for_status()
            async for line in response.content:
                if line.startswith(b"data:"):
                    on_token(json.loads(line[5:])["token"]["text"])

    async def run(self, prompt: str) -> str:
        request = self._session.post(
            f"{self._address}/generate", data=encode_body(prompt, stream=False), headers=HEADERS
        )
        async with request as response:
            response.raise_for_status()
            text: str = (await response.json())["generated_text"]
            return text

    async def __aenter__(self) -> Self:
        # Its own limit is 100 connections, and five minutes for a stream.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(None)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
