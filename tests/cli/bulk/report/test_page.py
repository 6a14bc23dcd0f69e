"""The page: one file, whatever there is to show."""

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from hfgen import BulkFileError, ValidationError
from hfgen.types import BulkResult, Details, GeneratedText

pytest.importorskip("matplotlib")

from hfgen._cli.bulk.report.page import Report, make_page
from hfgen._cli.bulk.report.recorder import Recorder


class _Tags(HTMLParser):
    """What stands in the page: tags, ids, and whether all that was opened is closed."""

    void = frozenset({"meta"})

    def __init__(self):
        super().__init__()
        self.ids, self.tags, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(text):
    tags = _Tags()
    tags.feed(text)
    tags.close()
    # In HTML the heads and rows of tables need no end; here they have one.
    assert tags.open == []
    return tags


def record_run(seconds=100, *, errors=True, first=True):
    recorder = Recorder()
    for tick in range(seconds * 2):
        now = tick / 2
        answer = GeneratedText(generated_text="x", details=Details(generated_tokens=tick % 50))
        recorder.add(
            BulkResult(
                index=tick, row=None, answers=[answer], latency=1 + tick % 7,
                time_to_first_token=0.1 if first else None,
            ),
            now,
        )  # fmt: skip
        if errors and tick % 10 == 0:
            error = ValidationError("too long: <script>alert(1)</script> & more", status=422)
            recorder.add(BulkResult(index=tick, row=None, error=error), now)
        recorder.sample(now, in_flight=8, limit=9, retries=tick // 20)
    return recorder


def test_all_plots_in_one_page_whose_parts_have_names_of_their_own():
    text = make_page(record_run(), "in.jsonl → out.jsonl", {"Input": "in.jsonl"})
    tags = read(text)
    assert tags.tags.count("svg") == 8
    assert len(tags.ids) == len(set(tags.ids))
    assert "<h1>in.jsonl → out.jsonl</h1>" in text
    for svg in text.split("<svg")[1:]:
        ET.fromstring("<svg" + svg.partition("</svg>")[0] + "</svg>")


def test_it_needs_nothing_from_elsewhere():
    text = make_page(record_run(), "x", {})
    assert "script" not in read(text).tags
    assert "@import" not in text
    links = [part.partition('"')[0] for part in text.split('href="')[1:]]
    assert links
    assert all(link.startswith("#") for link in links)


def test_what_others_wrote_is_text():
    text = make_page(record_run(), "<b>x</b>", {"Model": "<i>m</i>"})
    assert not {"b", "i", "script"} & set(read(text).tags)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text


@pytest.mark.parametrize("seconds", [1, 30, 600, 40_000])
def test_runs_of_any_length(seconds):
    text = make_page(record_run(seconds), "x", {})
    unit = {1: "seconds", 30: "seconds", 600: "minutes", 40_000: "hours"}[seconds]
    assert f"{unit} from the start" in text
    assert len(text) < 1_000_000


def test_only_what_there_is_to_show():
    def count(**changes):
        return make_page(record_run(10, **changes), "x", {}).count("<svg")

    assert (count(), count(first=False)) == (8, 6)
    quiet = Recorder()
    quiet.sample(0.0, in_flight=0, limit=1, retries=0)
    assert make_page(quiet, "x", {}).count("<svg") == 2
    assert make_page(Recorder(), "x", {}).count("<svg") == 0


def test_it_replaces_an_older_one_and_no_other_file(tmp_path):
    page, other = tmp_path / "run.html", tmp_path / "run.html.new"
    page.write_text("older")
    other.write_text("precious")
    Report(str(page), []).write("title", {})
    assert page.read_text().startswith("<!doctype html>")
    assert other.read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(BulkFileError, match="the report would overwrite"):
        Report(str(page), [page])
