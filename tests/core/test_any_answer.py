"""Whatever a server sends, however it is split: hfgen raises its own errors, always the same.

The properties are those that `make fuzz` looks for exceptions to.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import properties
from fuzz.properties import DIALECTS
from fuzz.samples import (
    BODIES,
    HEADERS,
    LINES,
    LOCATIONS,
    STREAMS,
    VALUES,
    WAITS,
    replace_every_value,
    replace_line_end,
    replace_value,
)
from helpers.scripted_answers import token
from hfgen.testing import event

# The same examples each time: `make fuzz` is for finding others.
SOME = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
CHANGE = st.one_of(
    st.tuples(st.just(replace_value), st.sampled_from(VALUES)),
    st.tuples(st.just(replace_line_end), st.sampled_from(LINES)),
    st.tuples(st.sampled_from([replace_value, replace_line_end]), st.binary(max_size=4)),
)
ENDS = st.lists(st.integers(0, 5000), max_size=6)
dialects = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: type(dialect).__name__)


@st.composite
def variants(draw, originals):
    """What a server really says, cut off, joined with more, and with a few changes."""
    body = b"".join(draw(st.lists(st.sampled_from(originals), min_size=1, max_size=2)))
    for change, value in draw(st.lists(CHANGE, max_size=3)):
        body = change(body, draw(st.integers(0, 400)), value)
    is_cut = draw(st.integers(0, 7)) == 0
    return body[: draw(st.integers(0, len(body)))] if is_cut else body


ANSWER = st.one_of(variants(BODIES), st.binary(max_size=40))
STREAM = st.one_of(variants(STREAMS), st.binary(max_size=40))
FIELDS = st.one_of(
    st.sampled_from(HEADERS),
    st.dictionaries(
        st.sampled_from(["content-type", "Date", "x-request-id", "retry-after", "ratelimit"]),
        st.one_of(st.sampled_from(WAITS), st.text(max_size=20)),
    ),
)
# An event with every field that there is.
EVENT = {
    **token("a", last="a"),
    "top_tokens": [{"id": 1, "text": "b"}],
    "details": {"finish_reason": "length", "generated_tokens": 2, "seed": 3, "input_length": 4},
    "new": 1,
}
_PARTS = ["https://", "http:", "//", "a.example", "b.example", "@", ":", "443", "/", "\\", "?", "#",
          "%2f", "[", "]", "é", "\uff0e", " ", "\t", "\ud800", "..", ";"]  # fmt: skip
ADDRESS = st.lists(st.sampled_from(_PARTS), max_size=8).map("".join)


class TestDecoders:
    @dialects
    @SOME
    @given(body=STREAM, ends=ENDS)
    def test_events(self, dialect, body, ends):
        properties.check_events(dialect, body, ends)

    @dialects
    @SOME
    @given(body=STREAM, ends=ENDS, limit=st.integers(100, 400))
    def test_events_with_a_limit(self, dialect, body, ends, limit):
        properties.check_events(dialect, body, ends, limit)

    @dialects
    @SOME
    @given(body=st.one_of(ANSWER, STREAM), ends=ENDS)
    def test_one_answer(self, dialect, body, ends):
        properties.check_whole_answer(dialect, body, ends)

    @dialects
    def test_any_value_in_any_place_of_an_event(self, dialect):
        for body in replace_every_value(event(EVENT)):
            properties.check_events(dialect, body, [])

    @SOME
    @given(body=st.binary(max_size=100), ends=ENDS)
    def test_bytes(self, body, ends):
        properties.check_bytes(body, ends)


class TestDialects:
    @dialects
    @SOME
    @given(body=ANSWER)
    def test_answers(self, dialect, body):
        properties.check_answers(dialect, body)

    @dialects
    @pytest.mark.parametrize("original", BODIES, ids=lambda body: repr(body[:30]))
    def test_any_value_in_any_place_of_an_answer(self, dialect, original):
        for body in replace_every_value(original):
            properties.check_answers(dialect, body)


class TestFaults:
    @pytest.mark.parametrize("original", BODIES[4:], ids=lambda body: repr(body[:30]))
    def test_any_value_in_any_place(self, original):
        for body in replace_every_value(original):
            properties.check_error_body(503, {}, body)
            properties.check_error_body(None, {}, body)

    @SOME
    @given(status=st.one_of(st.none(), st.integers(100, 999)), headers=FIELDS, body=ANSWER)
    def test_any_status_and_body(self, status, headers, body):
        properties.check_error_body(status, headers, body)

    @pytest.mark.parametrize("name", ["retry-after", "retry-after-ms", "ratelimit", "date"])
    @SOME
    @given(value=st.one_of(st.sampled_from(WAITS), st.text(max_size=40)), more=FIELDS)
    def test_any_time_to_wait(self, name, value, more):
        properties.check_error_body(503, {**more, name: value}, b"")


class TestConversation:
    @dialects
    @SOME
    @given(
        status=st.sampled_from([200, 200, 200, 204, 302, 401, 429, 503]),
        headers=FIELDS,
        body=st.one_of(ANSWER, STREAM),
        ends=ENDS,
        breaks=st.booleans(),
    )
    def test_any_answer(self, dialect, status, headers, body, ends, breaks):
        properties.check_conversation(dialect, status, headers, body, ends, breaks=breaks)

    @SOME
    @given(location=st.one_of(st.sampled_from(LOCATIONS), ADDRESS, st.text(max_size=30)))
    def test_any_redirect(self, location):
        properties.check_conversation(DIALECTS[0], 307, {"location": location}, b"", [])
