"""LiteLLM, at `/v1/completions`, with an event more than the server sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import litellm

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "litellm"


def _options(address: str) -> dict[str, Any]:
    return {
        "model": "text-completion-openai/x",
        "api_base": f"{address}/v1",
        "api_key": "-",
        "timeout": 60,
    }


class Sync:
    """All calls alike."""

    def __init__(self, address: str) -> None:
        self._options = _options(address)

    def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        for event in litellm.text_completion(prompt=prompt, stream=True, **self._options):
            if text := event.choices[0].text:
                on_token(text)

    def run(self, prompt: str) -> str:
        text: str = litellm.text_completion(prompt=prompt, **self._options).choices[0].text
        return text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Async:
    """All calls alike."""

    def __init__(self, address: str) -> None:
        self._options = _options(address)

    async def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        stream = await litellm.atext_completion(prompt=prompt, stream=True, **self._options)
        async for event in stream:
            if text := event.choices[0].text:
                on_token(text)

    async def run(self, prompt: str) -> str:
        answer = await litellm.atext_completion(prompt=prompt, **self._options)
        text: str = answer.choices[0].text
        return text

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass
