"""OpenAI's client, at `/v1/completions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from openai import AsyncOpenAI, OpenAI

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "openai"


class Sync:
    """A client for all calls."""

    def __init__(self, address: str) -> None:
        self._client = OpenAI(base_url=f"{address}/v1", api_key="-", timeout=60)

    def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        for event in self._client.completions.create(model="x", prompt=prompt, stream=True):
            on_token(event.choices[0].text)

    def run(self, prompt: str) -> str:
        return self._client.completions.create(model="x", prompt=prompt).choices[0].text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


class Async:
    """A client for all calls."""

    def __init__(self, address: str) -> None:
        self._client = AsyncOpenAI(base_url=f"{address}/v1", api_key="-", timeout=60)

    async def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        stream = await self._client.completions.create(model="x", prompt=prompt, stream=True)
        async for event in stream:
            on_token(event.choices[0].text)

    async def run(self, prompt: str) -> str:
        answer = await self._client.completions.create(model="x", prompt=prompt)
        return answer.choices[0].text

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
