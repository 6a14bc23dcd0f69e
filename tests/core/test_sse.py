"""The event decoder against each rule of the standard; streams are split in every way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.byte_cuts import same_every_way
from hfgen import MalformedStreamError
from hfgen._core.sse import Event, EventDecoder


def events_of(pieces, **options):
    decoder = EventDecoder(**options)
    return [*(e for piece in pieces for e in decoder.feed(piece)), *decoder.flush()]


def decode(data):
    return same_every_way(data, events_of)


def data_of(data):
    return [event.data for event in decode(data)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_each_line_end_ends_a_line(end):
    assert data_of(end.join([b"data: a", b"", b"data: b", b"data: c", b"", b""])) == [
        b"a",
        b"b\nc",
    ]


def test_line_ends_may_be_mixed():
    assert data_of(b"data: a\r\n\ndata: b\r\rdata: c\n\r\n") == [b"a", b"b", b"c"]


def test_cr_and_lf_in_two_pieces_are_one_line_end():
    assert [e.data for e in events_of([b"data: a\r", b"\ndata: b\r", b"", b"\n\r\n"])] == [b"a\nb"]


def test_a_cr_ends_its_line_without_waiting_for_what_follows():
    decoder = EventDecoder()
    assert [e.data for e in decoder.feed(b"data: a\r\r")] == [b"a"]


@pytest.mark.parametrize(
    "char",
    ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"],
    ids=["LS", "PS", "NEL", "VT", "FF", "FS", "GS", "RS"],
)
def test_no_other_character_ends_a_line(char):
    assert data_of(f"data: a{char}b\n\n".encode()) == [f"a{char}b".encode()]


def test_one_space_after_the_colon_is_dropped_and_no_more():
    assert data_of(b"data:a\n\ndata: b\n\ndata:  c\n\ndata:\td\n\n") == [b"a", b"b", b" c", b"\td"]


def test_spaces_at_the_end_are_data():
    assert data_of(b"data: a \n\n") == [b"a "]


def test_colons_in_data_are_data():
    assert data_of(b"data: a: b\n\ndata::\n\n") == [b"a: b", b":"]


def test_several_data_lines_are_joined_by_lf():
    assert data_of(b"data: a\ndata:\ndata: b\n\n") == [b"a\n\nb"]


def test_a_line_without_colon_is_a_field_with_an_empty_value():
    assert data_of(b"data\n\n") == [b""]
    assert data_of(b"data\ndata\n\n") == [b"\n"]


def test_an_event_without_data_is_dropped():
    assert decode(b"event: ping\nid: 1\n\n: comment\n\n\n\n") == []


def test_an_event_with_empty_data_counts():
    assert data_of(b"data:\n\ndata: \n\n") == [b"", b""]


def test_the_type_of_an_event_is_its_last_event_field():
    assert decode(b"event: a\ndata: x\nevent:b\n\n") == [Event(b"b", b"x")]


def test_the_type_of_an_event_is_not_kept_for_the_next():
    assert decode(b"event: a\n\ndata: x\n\nevent: b\ndata: y\n\ndata: z\n\n") == [
        Event(b"", b"x"),
        Event(b"b", b"y"),
        Event(b"", b"z"),
    ]


@pytest.mark.parametrize("comment", [b":", b": keepalive", b":data: no", b"::"])
def test_comments_are_ignored_at_any_place(comment):
    lines = [b"data: a", b"data: b", b"", b"data: c", b""]
    expected = [b"a\nb", b"c"]
    for place in range(len(lines) + 1):
        with_comment = [*lines[:place], comment, *lines[place:], b""]
        assert data_of(b"\n".join(with_comment)) == expected


@pytest.mark.parametrize(
    "field",
    [b"id: 1", b"retry: 3000", b"retry: soon", b"id", b"foo: bar", b"Data: no", b" data: no"],
)
def test_other_fields_are_ignored(field):
    assert data_of(b"data: a\n" + field + b"\ndata: b\n\n") == [b"a\nb"]


def test_a_byte_order_mark_at_the_start_is_dropped():
    assert data_of(b"\xef\xbb\xbfdata: a\n\n") == [b"a"]


def test_only_the_first_byte_order_mark_is_dropped():
    assert data_of(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n") == [b"b"]
    assert data_of(b"data: \xef\xbb\xbfa\n\n") == [b"\xef\xbb\xbfa"]


@pytest.mark.parametrize("start", [b"\xef", b"\xef\xbb", b"\xef\xbb\xbf", b"\xef\xbbdata: no\n\n"])
def test_a_stream_of_a_part_of_a_mark_has_no_events(start):
    assert decode(start) == []


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_a_last_event_without_a_blank_line_counts(end):
    assert data_of(b"data: a\n\ndata: b" + end) == [b"a", b"b"]


def test_a_last_event_without_a_blank_line_keeps_its_type_and_lines():
    assert decode(b"event: e\ndata: a\ndata: b") == [Event(b"e", b"a\nb")]


def test_a_last_comment_or_field_is_no_event():
    assert decode(b": com") == []
    assert decode(b"da") == []
    assert decode(b"") == []


def test_flush_leaves_nothing_behind():
    decoder = EventDecoder()
    list(decoder.feed(b"data: a"))
    assert list(decoder.flush()) == [Event(b"", b"a")]
    assert list(decoder.flush()) == []


def test_the_error_field_of_older_llama_cpp_is_data_of_an_error():
    assert decode(b'error: {"code":500}\n\ndata: x\n\n') == [
        Event(b"error", b'{"code":500}'),
        Event(b"", b"x"),
    ]


def test_characters_of_several_bytes_stay_whole():
    text = "é\u2028日本👩\u200d🚀"
    assert data_of(f"data: {text}\n\n".encode()) == [text.encode()]


def test_bytes_that_are_no_utf8_are_passed_on():
    assert data_of(b"data: \xff\xfe\x80\n\n") == [b"\xff\xfe\x80"]


def test_events_come_as_soon_as_their_blank_line():
    decoder = EventDecoder()
    assert list(decoder.feed(b"data: a\n")) == []
    assert list(decoder.feed(b"\n")) == [Event(b"", b"a")]


class TestTooLong:
    def feed_all(self, line, size=1024, **options):
        decoder = EventDecoder(**options)
        for start in range(0, len(line), size):
            yield from decoder.feed(line[start : start + size])

    def test_a_token_of_20_mb_is_an_error_with_a_short_message(self):
        with pytest.raises(MalformedStreamError) as caught:
            list(self.feed_all(b"data: " + b"x" * 20_000_000 + b"\n\n"))
        assert "exceeds" in str(caught.value)
        assert "xxx" in str(caught.value)
        assert len(str(caught.value)) < 300

    def test_a_token_of_16_mib_is_no_error(self):
        (event,) = self.feed_all(b"data: " + b"x" * 16 * 1024 * 1024 + b"\n\n")
        assert len(event.data) == 16 * 1024 * 1024

    def test_data_lines_without_a_blank_line_are_an_error(self):
        line = b"data: " + b"y" * 1018 + b"\n"
        with pytest.raises(MalformedStreamError, match="yyy") as caught:
            list(self.feed_all(line * 20_000))
        assert len(str(caught.value)) < 300

    def test_empty_data_lines_without_a_blank_line_are_an_error(self):
        # The empty lines are joined by LFs, which count as data.
        with pytest.raises(MalformedStreamError):
            list(self.feed_all(b"data\n" * 20_000, max_event_bytes=10_000))

    def test_pieces_of_few_bytes_take_linear_time(self):
        # In quadratic time, this would copy twenty gigabytes.
        with pytest.raises(MalformedStreamError):
            list(self.feed_all(b"data: " + b"x" * 200_001, size=1, max_event_bytes=200_000))

    @pytest.mark.parametrize("length", [100, 101])
    @pytest.mark.parametrize(
        "field", [b"data: ", b"data:", b": "], ids=["data ", "data", "comment"]
    )
    def test_the_limit_does_not_depend_on_the_pieces(self, field, length):
        def outcome(pieces):
            try:
                return [len(event.data) for event in events_of(pieces, max_event_bytes=100)]
            except MalformedStreamError:
                return "too long"

        result = same_every_way(field + b"x" * length + b"\n\ndata: end\n\n", outcome)
        if field.startswith(b"data"):
            assert result == ([length, 3] if length <= 100 else "too long")

    def test_many_small_events_are_not_too_long(self):
        data = b"data: " + b"x" * 1000 + b"\n\n"
        assert sum(1 for _ in self.feed_all(data * 20_000, size=64 * 1024)) == 20_000


LINE = st.one_of(
    st.sampled_from([b"data", b"data:", b"data: ", b":", b"event: e", b"id: 1", b"", b"error: x"]),
    st.builds(lambda value: b"data: " + value, st.binary(max_size=8)),
    st.binary(max_size=8),
)
STREAM = st.lists(st.tuples(LINE, st.sampled_from([b"\n", b"\r", b"\r\n"]))).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


@given(stream=STREAM, mark=st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef"]), ends=st.data())
def test_any_split_gives_the_same_events(stream, mark, ends):
    stream = mark + stream
    cuts = sorted(ends.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert events_of(pieces) == events_of([stream])
    assert events_of([bytes([byte]) for byte in stream]) == events_of([stream])


@given(stream=STREAM)
def test_the_decoder_agrees_with_a_literal_implementation_of_the_standard(stream):
    assert [e.data for e in events_of([stream])] == reference(stream)


def reference(stream):
    """The standard, section 9.2.6, line by line; with hfgen's two additions."""
    text = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, buffer = [], []
    for line in [*text.split(b"\n"), b""]:
        if not line:
            if buffer:
                events.append(b"\n".join(buffer))
            buffer = []
            continue
        name, colon, value = line.partition(b":")
        if colon and value.startswith(b" "):
            value = value[1:]
        if name in {b"data", b"error"}:
            buffer.append(value)
    return events
