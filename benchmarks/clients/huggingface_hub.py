"""Hugging Face's own client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import httpx2
from huggingface_hub import AsyncInferenceClient, InferenceClient, set_async_client_factory

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "huggingface_hub"

# Its own limit is 100 connections.
set_async_client_factory(
    lambda: httpx2.AsyncClient(
        follow_redirects=True, timeout=None, limits=httpx2.Limits(max_connections=None)
    )
)


class Sync:
    """A client for all calls."""

    def __init__(self, address: str) -> None:
        self._client = InferenceClient(model=address)

    def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        for text in self._client.text_generation(prompt, stream=True):
            on_token(text)

    def run(self, prompt: str) -> str:
        return self._client.text_generation(prompt)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Async:
    """A client for all calls."""

    def __init__(self, address: str) -> None:
        self._client = AsyncInferenceClient(model=address)

    async def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        async for text in await self._client.text_generation(prompt, stream=True):
            on_token(text)

    async def run(self, prompt: str) -> str:
        return await self._client.text_generation(prompt)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()  # type: ignore[no-untyped-call] # the package says nothing
