"""By hand, with httpx2 and its own server-sent events, and the standard library's json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

import httpx2

from benchmarks.clients.raw_request import HEADERS, encode_body

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "httpx2"

_OPTIONS: dict[str, Any] = {
    "timeout": 60,
    "limits": httpx2.Limits(max_connections=None),
    "headers": HEADERS,
}


class Sync:
    """A client for all calls."""

    def __init__(self, address: str) -> None:
        self._client = httpx2.Client(base_url=address, **_OPTIONS)

    def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        request = self._client.stream(
            "POST", "/generate_stream", content=encode_body(prompt, stream=True)
        )
        with request as response:
            response.raise_for_status()
            for event in httpx2.EventSource(response):
                on_token(json.loads(event.data)["token"]["text"])

    def run(self, prompt: str) -> str:
        response = self._client.post("/generate", content=encode_body(prompt, stream=False))
        text: str = response.raise_for_status().json()["generated_text"]
        return text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


class Async:
    """A client for all calls."""

    def __init__(self, address: str) -> None:
        self._client = httpx2.AsyncClient(base_url=address, **_OPTIONS)

    async def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        request = self._client.stream(
            "POST", "/generate_stream", content=encode_body(prompt, stream=True)
        )
        async with request as response:
            response.raise_for_status()
            async for event in httpx2.EventSource(response):
                on_token(json.loads(event.data)["token"]["text"])

    async def run(self, prompt: str) -> str:
        response = await self._client.post("/generate", content=encode_body(prompt, stream=False))
        text: str = response.raise_for_status().json()["generated_text"]
        return text

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
