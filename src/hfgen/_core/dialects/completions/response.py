"""The JSON of an OpenAI-compatible completion, and what it means in TGI's terms. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET

from hfgen._core.answers import Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hfgen._core.dialects.server_kind import Kind


_T = TypeVar("_T")


class TokenReport(NamedTuple):
    """A token, and its likeliest alternatives if the request asks for them."""

    token: Token
    top: list[Token] | None = None


class Usage(msgspec.Struct):
    """The numbers of tokens of the prompt and of all choices together."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Likely(msgspec.Struct):
    """A token with its log-probability, in the shape of OpenAI's chat."""

    token: str
    id: int | None = None
    logprob: float | None = None
    top_logprobs: list[Likely] | None = None


class Logprobs(msgspec.Struct):
    """Log-probabilities: lists side by side, or `content` in the shape of the chat."""

    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None
    token_ids: list[int] | None = None
    content: list[Likely] | None = None


def read_token_reports(
    logprobs: Logprobs | None, ids: list[int] | None, top_count: int
) -> list[TokenReport]:
    """Return the tokens that a choice lists.

    Args:
        logprobs: The field `logprobs` of the choice.
        ids: The field `token_ids` of the choice.
        top_count: How many alternatives of each token to return.
    """
    if logprobs is not None and logprobs.content:
        return [_report_from_content(token, top_count) for token in logprobs.content]
    if logprobs is None or logprobs.tokens is None:
        # A server may give ids and no texts.
        return [TokenReport(Token(id=token_id, text="")) for token_id in ids or ()]
    texts = logprobs.tokens
    ids = logprobs.token_ids if ids is None else ids
    values = _pad(logprobs.token_logprobs, len(texts))
    tops = _pad(logprobs.top_logprobs, len(texts))
    padded_ids = _pad(ids if ids and len(ids) == len(texts) else None, len(texts))
    return [
        TokenReport(
            Token(id=token_id, text=text, logprob=value),
            _select_likeliest(
                (
                    Token(id=token_id if other == text else None, text=other, logprob=other_value)
                    for other, other_value in (top or {}).items()
                ),
                top_count,
            ),
        )
        for text, token_id, value, top in zip(texts, padded_ids, values, tops, strict=True)
    ]


def has_no_text(token: Token) -> bool:
    """Tell whether this is a real token (it has an id) without a text."""
    return token.id is not None and not token.text


def mark_special(token: Token) -> Token:
    """Return the token marked as special: its text is no part of the generated text."""
    return msgspec.structs.replace(token, special=True)


def _report_from_content(token: Likely, top_count: int) -> TokenReport:
    others = (Token(id=o.id, text=o.token, logprob=o.logprob) for o in token.top_logprobs or ())
    return TokenReport(
        Token(id=token.id, text=token.token, logprob=token.logprob),
        _select_likeliest(others, top_count),
    )


def _select_likeliest(tokens: Iterable[Token], top_count: int) -> list[Token] | None:
    """Return the `top_count` likeliest tokens; servers add the one that was drawn to their list."""
    if not top_count:
        return None
    lowest = float("-inf")
    ordered = sorted(tokens, key=lambda t: lowest if t.logprob is None else t.logprob, reverse=True)
    return ordered[:top_count] or None


def _pad(values: Sequence[_T] | None, length: int) -> list[_T | None]:
    """Return the values, cut or filled up with None to this length."""
    values = (values or ())[:length]
    return [*values, *[None] * (length - len(values))]


class Choice(msgspec.Struct):
    """One of the sequences: all of it in an answer, a piece of it in an event."""

    index: int | None = None
    text: str | msgspec.UnsetType | None = UNSET
    # Some servers send an empty string in place of null.
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    token_ids: list[int] | None = None
    # The stop string or end token that ended the text, as vLLM and as SGLang name the field.
    stop_reason: object = UNSET
    matched_stop: object = UNSET


class Completion(msgspec.Struct):
    """The JSON of an answer or of an event."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: object = None


_completion = msgspec.json.Decoder(Completion)
_STRUCTS: dict[str, type[msgspec.Struct]] = {"logprobs": Logprobs, "usage": Usage}


def decode_completion(data: bytes) -> Completion:
    """Decode a completion. Fields of a wrong type are left out, but for the texts.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: The data is no completion.
    """
    try:
        return _completion.decode(data)
    except msgspec.ValidationError:
        document = msgspec.json.decode(data)
        if not isinstance(document, dict) or not isinstance(document.get("choices"), list):
            raise
        fields = _select_valid_fields(document, Completion)
        fields["choices"] = [_select_choice_fields(choice) for choice in document["choices"]]
        return msgspec.convert(fields, Completion)


def _select_choice_fields(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return choice
    # A text of a wrong type is kept, so that decoding fails: hfgen can do without the other fields.
    text = {"text": choice["text"]} if "text" in choice else {}
    return _select_valid_fields(choice, Choice) | text


def _select_valid_fields(payload: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the fields whose values have the types that the struct declares."""
    fields = {}
    for field in msgspec.structs.fields(kind):
        value = payload.get(field.name, UNSET)
        if field.name in _STRUCTS and isinstance(value, dict):
            value = _select_valid_fields(value, _STRUCTS[field.name])
        if value is not UNSET and _is_valid(value, field.type):
            fields[field.name] = value
    return fields


def _is_valid(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


class RequestedOutput(msgspec.Struct, frozen=True):
    """The parts of a request that are needed to read its answer.

    Attributes:
        prompt: The prompt.
        returns_prompt: Whether to put the prompt before the generated text.
        stop: The stop strings.
        top_count: How many alternatives of each token to return.
        sequence_count: The number of sequences.
        max_tokens: The maximum of generated tokens, None if the request sets none.
        kind: The kind of the server.
    """

    prompt: str = ""
    returns_prompt: bool = False
    stop: tuple[str, ...] = ()
    top_count: int = 0
    sequence_count: int = 1
    max_tokens: int | None = None
    kind: Kind | None = None

    @staticmethod
    def of(request: Mapping[str, Any], kind: Kind | None) -> RequestedOutput:
        """Return the output that a normalised request asks a server of this kind for."""
        parameters = request.get("parameters") or {}
        return RequestedOutput(
            prompt=request.get("inputs", ""),
            returns_prompt=bool(parameters.get("return_full_text")),
            stop=tuple(parameters.get("stop") or ()),
            top_count=parameters.get("top_n_tokens") or 0,
            sequence_count=parameters.get("num_return_sequences") or 1,
            max_tokens=parameters.get("max_new_tokens"),
            kind=kind,
        )

    def add_prompt(self, generated: str) -> str:
        """Return the `generated_text`: the text, with the prompt before it if the request says."""
        return self.prompt + generated if self.returns_prompt else generated


def translate_finish_reason(choice: Choice, generated: str, output: RequestedOutput) -> str | None:
    """Return the finish reason in TGI's terms, or the server's own word where TGI has none.

    Args:
        choice: The choice, or the piece of it that has the finish reason.
        generated: The whole text, without the prompt.
        output: What the request asks for.
    """
    native = choice.finish_reason or None
    if native in {"eos", "eos_token"}:
        return "eos_token"
    if native != "stop":
        return native
    # "stop" means the end of the text or a stop string. These fields tell which.
    stops = [stop for stop in (choice.stop_reason, choice.matched_stop) if stop is not UNSET]
    if any(isinstance(stop, str) for stop in stops):
        return "stop_sequence"
    if any(isinstance(stop, int) for stop in stops):
        return "eos_token"
    # Generation ends at the first stop string, so a stop string in the text is what ended it. It
    # need not be at the end: transformers keeps the rest of the token that completed it.
    if any(stop and stop in generated for stop in output.stop):
        return "stop_sequence"
    # vLLM sends null for the end of the text. TGI has a word of its own for a stop string.
    is_end = bool(stops) or not output.stop or output.kind == "tgi"
    return "eos_token" if is_end else native


def read_piece_tokens(
    choice: Choice, text: str, finish_reason: str | None, output: RequestedOutput
) -> list[TokenReport]:
    """Return the tokens of a piece of a stream; an empty list if the server does not list them.

    Args:
        choice: The piece.
        text: The text of the piece, which is that of its tokens joined.
        finish_reason: In the last piece the finish reason in TGI's terms, else None.
        output: What the request asks for.
    """
    reports = read_token_reports(choice.logprobs, choice.token_ids, output.top_count)
    # TGI's own stream has the end-of-sequence token in the text, and no other mark of it.
    if text and choice.finish_reason == "eos_token" and output.kind in {None, "tgi"}:
        reports = fit_text(reports or [TokenReport(Token(text=text))], text)
        return _mark_last_special(reports)
    return mark_end_token(reports, text, finish_reason) or fit_text(reports, text)


def mark_end_token(
    reports: list[TokenReport], text: str, finish_reason: str | None
) -> list[TokenReport]:
    """Return the tokens; the last one is special if it is an end token that the text lacks.

    The list is empty if these are not the tokens of this text.
    """
    texts = [report.token.text for report in reports]
    is_whole = "".join(texts) == text
    has_end = (
        finish_reason == "eos_token"
        and reports
        and (has_no_text(reports[-1].token) or not is_whole)
    )
    if has_end and "".join(texts[:-1]) == text:
        return _mark_last_special(reports)
    return reports if is_whole else []


def fit_text(reports: list[TokenReport], text: str) -> list[TokenReport]:
    """Return tokens whose texts make up `text`: unless they do, the last one gets all of it."""
    if not reports or "".join(report.token.text for report in reports) == text:
        return reports
    texts = [""] * (len(reports) - 1) + [text]
    return [
        report._replace(token=msgspec.structs.replace(report.token, text=new_text))
        for report, new_text in zip(reports, texts, strict=True)
    ]


def _mark_last_special(reports: list[TokenReport]) -> list[TokenReport]:
    last = reports[-1]
    return [*reports[:-1], last._replace(token=mark_special(last.token))]
