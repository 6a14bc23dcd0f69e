"""What `make fuzz` calls with bytes of its own making. The seeds are what servers really say.

An input is what the server sends; at its end stand a few bytes that say where it is cut.
"""

from fuzz.properties import DIALECTS, answers, conversation, events, fault, raw, whole
from fuzz.strange import BODIES, HEADERS, PLACES, STREAMS, WAITS

_CUTS = 4
_LIMIT = 200
_STATUSES = [200, 204, 302, 307, 308, 400, 401, 404, 422, 429, 500, 502, 503, 599]


def _cut(data):
    """Return the body, and where to cut it."""
    body, tail = data[: -2 * _CUTS], data[-2 * _CUTS :]
    ends = [int.from_bytes(tail[i : i + 2], "little") for i in range(0, len(tail), 2)]
    return body, [end % (len(body) + 1) for end in ends]


def _headed(data):
    """Return the status, the headers and the rest, which stand one below the other."""
    head, _, rest = data.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    status = _STATUSES[sum(first.encode()) % len(_STATUSES)]
    fields = (line.partition(": ") for line in lines)
    return status, {name: value for name, _, value in fields}, rest


def _events(data):
    body, ends = _cut(data)
    raw(body, ends)
    for dialect in DIALECTS:
        events(dialect, body, ends)


def _small_events(data):
    body, ends = _cut(data)
    for dialect in DIALECTS:
        events(dialect, body, ends, limit=_LIMIT)


def _whole(data):
    body, ends = _cut(data)
    for dialect in DIALECTS:
        whole(dialect, body, ends)


def _answers(data):
    for dialect in DIALECTS:
        answers(dialect, data)


def _faults(data):
    status, headers, body = _headed(data)
    fault(status, headers, body)
    fault(None, headers, body)


def _conversation(data):
    status, headers, rest = _headed(data)
    body, ends = _cut(rest)
    for dialect in DIALECTS:
        conversation(dialect, status, headers, body, ends, breaks=len(rest) % 4 == 0)


def _with_head(status, headers, body):
    first = chr(next(n for n in range(32, 127) if _STATUSES[n % len(_STATUSES)] == status))
    lines = "".join(f"\n{name}: {value}" for name, value in headers.items())
    return (first + lines).encode("latin-1", "replace") + b"\n\n" + body


_TAIL = bytes([3, 0, 20, 0, 90, 0, 200, 0])
_HEADED = [
    *(_with_head(200, headers, body) for headers in HEADERS[:4] for body in STREAMS[:6]),
    *(_with_head(200, {}, body) for body in BODIES),
    *(_with_head(503, headers, body) for headers in HEADERS for body in BODIES[3:]),
    *(_with_head(429, {"retry-after": wait, "ratelimit": wait}, b"") for wait in WAITS),
    *(_with_head(307, {"location": place}, b"") for place in PLACES),
]

TARGETS = {
    "events": (_events, [stream + _TAIL for stream in STREAMS]),
    "small_events": (_small_events, [stream + _TAIL for stream in STREAMS]),
    "whole": (_whole, [body + _TAIL for body in BODIES]),
    "answers": (_answers, BODIES),
    "faults": (_faults, _HEADED),
    "conversation": (_conversation, [data + _TAIL for data in _HEADED]),
}
