"""Samples of what servers send, and functions that spoil them."""

import json
import re

from helpers.scripted_answers import token
from hfgen.testing import event

_NUMBERS = ["0", "-1", "0.5", "-0", "1e400", "-1e400", "1e-400", "NaN", "-Infinity", "08", "1_0",
            str(2**63), str(2**64), str(-(2**63) - 1), "9" * 400, "9" * 5000,
            "429", "503"]  # fmt: skip
_STRINGS = ['""', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude80"', '"\\u0000"', '"\\u2028"',
            '"\u2028"', '"\ufeff"', '"\r"', '"\n"', '"a', '"\\x"', '"error"', '"overloaded"',
            '"\\u007fraw"', '"e30="', '"is currently loading"', '"<html>&#' + "1" * 5000 + '"',
            '"`stream` is not supported"']  # fmt: skip
_NESTED = ["[]", "{}", "[null]", "[[]]", '{"error":[]}', '{"":{"":null}}', '{"message":null}',
           '{"text":"a","text":5}', '{"text":"a"}', '[{"text":"a"}]', "[" * 10_000,
           "[" * 10_000 + "]" * 10_000, "[" * 300 + "]" * 300,
           '{"a":' * 10_000, '{"a":' * 300 + "null" + "}" * 300]  # fmt: skip

# Replacements for a value in JSON; some are not JSON.
VALUES = [
    *(text.encode() for text in ["null", "true", *_NUMBERS, *_STRINGS, *_NESTED]),
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b"\xef\xbb\xbf",
    b"",
]

_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|\[DONE\]')
_LINE = re.compile(rb"\r\n|\r|\n")
LINES = [b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\n\r", b"", b"\n: comment\n", b"\n:\n\n",
         b"\nevent: error\n", b"\nevent: ping\n", b"\nid: 1\n", b"\nretry: 1\n", b"\ndata\n",
         b"\ndata:", b"\ndata: ", b"\nerror: ", b"\ndata: [DONE]\n\n", b"\n\xef\xbb\xbf",
         b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xe2\x80\xa8", b"\x00"]  # fmt: skip


def replace_value(body, index, value):
    """Return the body with one value of its JSON replaced; `index` counts them, over and over."""
    return _replace_match(_VALUE, body, index, value)


def replace_every_value(body):
    """Yield the body with each value in each place."""
    for index in range(len(_VALUE.findall(body))):
        for value in VALUES:
            yield replace_value(body, index, value)


def replace_line_end(body, index, line):
    """Return the body with one of its line ends replaced."""
    return _replace_match(_LINE, body, index, line)


def _replace_match(pattern, body, index, value):
    found = list(pattern.finditer(body))
    if not found:
        return body + value
    start, end = found[index % len(found)].span()
    return body[:start] + value + body[end:]


_TOKEN = token(" a")["token"]
_DETAILS = {"finish_reason": "length", "generated_tokens": 2, "seed": 3, "input_length": 4}
_STORY = [token("Once", index=1), token(" é", index=2), token("\u2028", index=3)]
_LAST = {
    **token("</s>", special=True, last="Once é\u2028", index=4),
    "details": _DETAILS,
    "top_tokens": [_TOKEN, {**_TOKEN, "logprob": None}],
    "new": {"a": None},
}
_LOADING = {"error": "Model gpt2 is currently loading", "estimated_time": 20.5}
_ERRORS = [
    {"error": "why", "error_type": "overloaded"},
    {"error": ["Error in `stream`: `stream` is not supported for this model"]},
    _LOADING,
    {"error": {"message": "m", "type": "t", "param": None, "code": 400, "http_status_code": 422}},
    {"object": "error", "message": "m", "type": "NotFoundError", "code": 404},
    {"detail": [{"loc": ["body"], "msg": "field required"}]},
    {"title": "Not here", "status": 404},
]
_ANSWER = {
    "generated_text": " a",
    "details": {
        "finish_reason": "length",
        "generated_tokens": 1,
        "seed": 5,
        "prefill": [{"id": 1, "text": "<s>", "logprob": None}],
        "tokens": [_TOKEN, {**_TOKEN, "special": True}],
        "top_tokens": [[_TOKEN], []],
        "best_of_sequences": [{"generated_text": " b", "prefill": [], "tokens": [_TOKEN]}],
        "new": 1,
    },
    "new": {"a": [2, None]},
}


def _to_json(value):
    return json.dumps(value, ensure_ascii=False).encode()


_WHOLE_STREAM = b"".join(map(event, [*_STORY, _LAST]))
STREAMS = [
    _WHOLE_STREAM,
    b"\xef\xbb\xbf: hello\r\n\r\n" + _WHOLE_STREAM.replace(b"\n", b"\r\n").replace(b": {", b":{"),
    _WHOLE_STREAM.rstrip(),
    b"".join(map(event, _STORY)),
    b"".join(map(event, _STORY)) + b"data: [DONE]\n\n",
    *(event(_STORY[0]) + event(error) for error in _ERRORS),
    *(event(error) for error in _ERRORS),
    b'error: {"code":500,"message":"m"}\n\n',
    b"event: error\ndata: it broke\n\n",
    b"data: " + json.dumps(_LAST, indent=1).replace("\n", "\ndata: ").encode() + b"\n\n",
    event({**_STORY[0], "token": {**_TOKEN, "id": None}, "generated_text": ""}),
]
BODIES = [
    _to_json(_ANSWER),
    _to_json([{"generated_text": "a"}, {"generated_text": "b", "details": None}]),
    _to_json({"generated_text": "a", "new": 1}),
    b" \r\n" + _to_json([{"generated_text": "a"}]),
    b"\n" * 20 + _to_json({"generated_text": "a"}),
    *(_to_json(error) for error in _ERRORS),
    b"[]",
    b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>&#38; &amp;</body>",
    b"<html><body><style>p {}</style><p>Down &#38; out</p></body></html>",
    b"Failed to deserialize the JSON body: inputs: missing field",
    b"",
]
HEADERS = [
    {"content-type": "text/event-stream; charset=utf-8"},
    {"content-type": "application/json"},
    {"content-type": "application/problem+json"},
    {"content-type": "text/html"},
    {},
    {"retry-after": "3", "x-request-id": "r"},
    {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "Wed, 21 Oct 2015 07:27:00 GMT"},
    {"retry-after-ms": "250"},
    {"ratelimit": '"api";r=0;t=55'},
    {"location": "https://b.example/x?y=1"},
]
WAITS = ["", "0", "3.5", "-1", "inf", "1e308", "nan", "1_0", "\u0663", "9" * 5000, "0x1", "1e400",
         "Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "\ud800", "\xff",
         "Mon, 01 Jan 0001 00:00:00 -0000", "Mon, 01 Jan 0001 00:00:00 +2359", "a, b c d e f",
         "Mon, 01 Jan 2024 00:00:00 +9999999999", "1 Jan 99999999999 0:0:0 +0000", " , ",
         '"api";r=0;t=55', '"api";r=0;t=' + "9" * 5000, "r=0;t=\u0663"]  # fmt: skip
LOCATIONS = [
    "/other",
    "//b.example",
    "https://a.example/x",
    "http://a.example:80",
    "https://b.example",
    "https://a.example@b.example/",
    "https://a.example\\@b.example/",
    "https:///x",
    "https:x",
    "https://[::1]/",
    "https://\u00e9:8080/",
    "https://[fe80::1%\u00e9]/",
    "https://[::1",
    "https://a.example:99999/",
    "https://a.example:x/",
    "ftp://a.example",
    "javascript:0",
    "\u00e9",
    "https://\u00e9.example/\u00e9?\u00e9#\u00e9",
    "https://a.example\uff0eb/",
    "https://\u2100.example",
    "?",
    "#",
    " https://b.example",
    "https://a.example\t.b/",
    "https://b.example/\r\nx: y",
    "https://" + "a" * 300 + "/",
    "https://" + "\u00e9" * 64 + ".example",
    "https://a.example:\u0668\u0660/",
    "\ud800",
    "https://\ud800/",
    "https://a..example/",
    "https://.",
    "https://a.example:443/",
    "https://A.EXAMPLE/",
    "https://user:pw@a.example/",
    "..",
    "%",
    "https://%61.example",
]
