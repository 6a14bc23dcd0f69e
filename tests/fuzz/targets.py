"""What `make fuzz` calls with bytes of its own making. The seeds are what servers really say.

An input is what the server sends; at its end stand a few bytes that say where it is cut.
"""

from fuzz.properties import (
    DIALECTS,
    check_answers,
    check_bytes,
    check_conversation,
    check_error_body,
    check_events,
    check_whole_answer,
)
from fuzz.samples import BODIES, HEADERS, LOCATIONS, STREAMS, WAITS

_CUTS = 4
_LIMIT = 200
_STATUSES = [200, 204, 302, 307, 308, 400, 401, 404, 422, 429, 500, 502, 503, 599]


def _cut(data):
    """Return the body, and where to cut it."""
    body, tail = data[: -2 * _CUTS], data[-2 * _CUTS :]
    ends = [int.from_bytes(tail[i : i + 2], "little") for i in range(0, len(tail), 2)]
    return body, [end % (len(body) + 1) for end in ends]


def _split_head(data):
    """Return the status, the headers and the rest, which stand one below the other."""
    head, _, rest = data.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    status = _STATUSES[sum(first.encode()) % len(_STATUSES)]
    fields = (line.partition(": ") for line in lines)
    return status, {name: value for name, _, value in fields}, rest


def _fuzz_events(data):
    body, ends = _cut(data)
    check_bytes(body, ends)
    for dialect in DIALECTS:
        check_events(dialect, body, ends)


def _fuzz_small_events(data):
    body, ends = _cut(data)
    for dialect in DIALECTS:
        check_events(dialect, body, ends, limit=_LIMIT)


def _fuzz_whole_answer(data):
    body, ends = _cut(data)
    for dialect in DIALECTS:
        check_whole_answer(dialect, body, ends)


def _fuzz_answers(data):
    for dialect in DIALECTS:
        check_answers(dialect, data)


def _fuzz_error_bodies(data):
    status, headers, body = _split_head(data)
    check_error_body(status, headers, body)
    check_error_body(None, headers, body)


def _fuzz_conversation(data):
    status, headers, rest = _split_head(data)
    body, ends = _cut(rest)
    for dialect in DIALECTS:
        check_conversation(dialect, status, headers, body, ends, breaks=len(rest) % 4 == 0)


def _join_head(status, headers, body):
    first = chr(next(n for n in range(32, 127) if _STATUSES[n % len(_STATUSES)] == status))
    lines = "".join(f"\n{name}: {value}" for name, value in headers.items())
    return (first + lines).encode("latin-1", "replace") + b"\n\n" + body


_TAIL = bytes([3, 0, 20, 0, 90, 0, 200, 0])
_HEADED = [
    *(_join_head(200, headers, body) for headers in HEADERS[:4] for body in STREAMS[:6]),
    *(_join_head(200, {}, body) for body in BODIES),
    *(_join_head(503, headers, body) for headers in HEADERS for body in BODIES[3:]),
    *(_join_head(429, {"retry-after": wait, "ratelimit": wait}, b"") for wait in WAITS),
    *(_join_head(307, {"location": place}, b"") for place in LOCATIONS),
]

TARGETS = {
    "events": (_fuzz_events, [stream + _TAIL for stream in STREAMS]),
    "small_events": (_fuzz_small_events, [stream + _TAIL for stream in STREAMS]),
    "whole": (_fuzz_whole_answer, [body + _TAIL for body in BODIES]),
    "answers": (_fuzz_answers, BODIES),
    "faults": (_fuzz_error_bodies, _HEADED),
    "conversation": (_fuzz_conversation, [data + _TAIL for data in _HEADED]),
}
