"""The log-probabilities of a completion, in the shape of OpenAI's older API. No I/O.

TGI has none on that route. Shape: vLLM, `vllm/entrypoints/openai/` (`CompletionLogProbs`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfgen.server.http.answers import Logprobs

if TYPE_CHECKING:
    from hfgen.server.engine.jobs import Token
    from hfgen.server.http.inference import Run


def logprobs_of(run: Run, most: int | None, *, since: int = 0) -> Logprobs | None:
    """Return the log-probabilities of a run's tokens, None where they were not asked for.

    Args:
        run: Whose tokens.
        most: How many of the likeliest tokens to show in the place of each; None: not asked for.
        since: The first token to show.
    """
    if most is None:
        return None
    tokens = run.tokens[since:]
    likeliest = run.top_tokens[since:] or [()] * len(tokens)
    return Logprobs(
        tokens=[token.text for token in tokens],
        token_logprobs=[token.logprob for token in tokens],
        top_logprobs=[
            _by_text(token, top[:most]) for token, top in zip(tokens, likeliest, strict=True)
        ],
        text_offset=run.offsets[since:],
    )


def _by_text(chosen: Token, likeliest: tuple[Token, ...]) -> dict[str, float]:
    """Return log-probabilities by text, the chosen token's under the text that it added.

    By itself a token may read otherwise than in its place, where clients look it up. Of others
    with one text, such as halves of characters, the likeliest is kept.
    """
    logprobs: dict[str, float] = {}
    for token in likeliest:
        text = chosen.text if token.id == chosen.id else token.text
        logprobs.setdefault(text, token.logprob)
    logprobs[chosen.text] = chosen.logprob
    return logprobs
