"""The client that came with Text Generation Inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from text_generation import AsyncClient, Client

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "text-generation"


class Sync:
    """A client for all calls."""

    def __init__(self, address: str) -> None:
        self._client = Client(address, timeout=60)

    def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        for event in self._client.generate_stream(prompt):
            on_token(event.token.text)

    def run(self, prompt: str) -> str:
        text: str = self._client.generate(prompt).generated_text
        return text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Async:
    """A client for all calls."""

    def __init__(self, address: str) -> None:
        self._client = AsyncClient(address, timeout=60)

    async def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        async for event in self._client.generate_stream(prompt):
            on_token(event.token.text)

    async def run(self, prompt: str) -> str:
        text: str = (await self._client.generate(prompt)).generated_text
        return text

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass
