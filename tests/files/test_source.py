"""The input, as a file and as standard input."""

import contextlib
import gzip
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfgen import BulkFileError
from hfgen._files.source import Source

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROWS = b'{"inputs": "a"}\n{"inputs": "b"}\n'
PACK = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}


@pytest.fixture
def file(tmp_path):
    def write_file(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return Source.from_name(str(path))

    return write_file


def prompts(source):
    return [row.value("inputs") for row in source.rows()]


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("kind", "data"),
    [("jsonl", ROWS), ("txt", b"a\r\nb\r\n"), ("csv", b"inputs\na\nb\n"), ("tsv", b"inputs\na\nb")],
)
def test_every_format_compressed_and_with_a_mark(file, kind, data, mark, ending):
    source = file(f"in.{kind}{ending}", PACK[ending](mark + data))
    assert prompts(source) == ["a", "b"]
    assert source.count() == 2


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_compressed_files_may_be_put_behind_one_another(file, ending):
    assert len(prompts(file(f"in.jsonl{ending}", PACK[ending](ROWS) * 3))) == 6


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_torn_file_gives_what_it_has_and_says_so(file, ending):
    lines = b"".join(b'{"inputs": "%d"}\n' % (n * 7919 % 100_003) for n in range(50_000))
    packed = PACK[ending](lines)
    source, texts = file(f"in.jsonl{ending}", packed[: len(packed) // 2]), []
    with pytest.raises(BulkFileError, match="ends too early"):
        texts.extend(row.value("inputs") for row in source.rows())
    assert 0 < len(texts) < 50_000
    assert texts == [str(n * 7919 % 100_003) for n in range(len(texts))]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_what_is_not_compressed(file, ending):
    with pytest.raises(BulkFileError, match="not compressed as its name says"):
        prompts(file(f"in.jsonl{ending}", ROWS))


@pytest.mark.parametrize(
    "ask", [prompts, lambda source: source.count(), lambda source: source.digest()]
)
def test_what_cannot_be_opened(tmp_path, ask):
    with pytest.raises(BulkFileError, match=r"cannot read .*none\.jsonl: No such file"):
        ask(Source.from_name(str(tmp_path / "none.jsonl")))
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(BulkFileError, match=r"cannot read .*folder\.jsonl: Is a directory"):
        ask(Source.from_name(str(tmp_path / "folder.jsonl")))


def test_what_can_be_read_only_once(tmp_path):
    os.mkfifo(tmp_path / "in.jsonl")
    with pytest.raises(BulkFileError, match="pass it as standard input, with -"):
        Source.from_name(str(tmp_path / "in.jsonl"))


def test_utf16_is_told_from_damage(file):
    with pytest.raises(BulkFileError, match="UTF-16: iconv"):
        prompts(file("in.txt", "a\nb".encode("utf-16")))


def test_the_file_is_named_in_what_is_wrong_inside(file):
    with pytest.raises(BulkFileError, match=r"cannot read .*in\.csv: the first line"):
        prompts(file("in.csv", b"a,a\n"))


def test_the_digest_is_that_of_the_content(file):
    first, same, other = file("a.txt", b"a"), file("b.txt", b"a"), file("c.txt", b"b")
    assert first.digest() == same.digest() != other.digest()


@pytest.mark.parametrize(
    ("name", "data", "indices"),
    [
        ("in.jsonl", b'{"a": 1}\n{"b": 2}\n', [0, 1]),
        ("in.csv", b"a,b\nnone\n1,2\n3,4\n", [0, 1]),
        ("in.txt", b"a\nb\n", [0]),
    ],
)
def test_rows_with_all_columns(file, name, data, indices):
    assert [row.index for row in file(name, data).rows_with_all_columns()] == indices


class TestChangedMeanwhile:
    DATA = b"".join(b'{"inputs": "%d"}\n' % n for n in range(20_000))
    MESSAGE = r"cannot read .*in\.jsonl.*: it was changed during the run\. Put it back"

    @pytest.fixture(params=["", ".gz", ".zst"])
    def source(self, file, request):
        source = file(f"in.jsonl{request.param}", PACK[request.param](self.DATA))
        source.digest()
        return source

    def change_in_the_middle(self, source, change):
        texts = []
        for row in source.rows():
            if not texts:
                change(source.path)
            texts.append(row.value("inputs"))
        return texts

    @pytest.mark.parametrize(
        "change",
        [
            lambda path: os.truncate(path, path.stat().st_size // 2),
            lambda path: os.truncate(path, 0),
            lambda path: path.write_bytes(path.read_bytes() * 2),
            lambda path: path.write_bytes(path.read_bytes()[:-9] + b"_" * 9),
        ],
        ids=["shorter", "empty", "longer", "other"],
    )
    def test_nothing_is_read_of_what_was_changed(self, source, change):
        with pytest.raises(BulkFileError, match=self.MESSAGE):
            self.change_in_the_middle(source, change)
        for read in (prompts, lambda source: source.count()):
            with pytest.raises(BulkFileError, match=self.MESSAGE):
                read(source)

    def test_what_is_put_back_is_read(self, source):
        data = source.path.read_bytes()
        source.path.write_bytes(b"")
        with pytest.raises(BulkFileError, match=self.MESSAGE):
            source.count()
        source.path.write_bytes(data)
        assert (source.count(), len(prompts(source))) == (20_000, 20_000)

    def test_a_new_file_of_that_name_does_not_change_what_is_being_read(self, source):
        texts = self.change_in_the_middle(source, lambda path: path.rename(path.with_name("other")))
        assert len(texts) == 20_000

    def test_a_new_date_is_no_change(self, source):
        assert len(self.change_in_the_middle(source, lambda path: os.utime(path, (1, 1)))) == 20_000

    def test_parquet(self, tmp_path):
        path = tmp_path / "in.parquet"
        table = pa.table({"inputs": [str(n) * 9 for n in range(50_000)]})
        pq.write_table(table, path, row_group_size=1000)
        source = Source.from_name(str(path))
        source.digest()
        with pytest.raises(BulkFileError, match="changed during the run"):
            self.change_in_the_middle(source, lambda path: os.truncate(path, 1000))


def test_leaving_the_rows_closes_the_file(file):
    rows = file("in.jsonl", ROWS).rows()
    next(rows)
    rows.close()


def test_an_empty_file(file):
    for name in ("in.jsonl", "in.txt", "in.csv"):
        assert prompts(file(name, b"")) == []


class TestStandardInput:
    @pytest.fixture
    def stdin(self, monkeypatch, tmp_path):
        with contextlib.ExitStack() as files:

            def write(data):
                path = tmp_path / "stdin"
                path.write_bytes(data)
                file = files.enter_context(path.open())
                monkeypatch.setattr(sys, "stdin", file)
                return file

            yield write

    def test_json_lines_by_default(self, stdin):
        stdin(b"\xef\xbb\xbf" + ROWS)
        source = Source.from_name("-")
        assert (source.count(), source.digest(), source.name) == (None, None, "standard input")
        assert prompts(source) == ["a", "b"]

    @pytest.mark.parametrize(
        ("kind", "data"),
        [("txt", b"a\nb"), ("csv", b"inputs\na\nb"), ("jsonl.gz", PACK[".gz"](ROWS))],
        ids=["txt", "csv", "gz"],
    )
    def test_any_format_that_is_given(self, stdin, kind, data):
        stdin(data)
        assert prompts(Source.from_name("-", kind)) == ["a", "b"]

    def test_it_stays_open(self, stdin):
        file = stdin(ROWS)
        prompts(Source.from_name("-"))
        assert os.fstat(file.fileno()).st_size == len(ROWS)

    def test_not_parquet(self):
        with pytest.raises(BulkFileError, match="give a file"):
            Source.from_name("-", "parquet")

    def test_closed(self, monkeypatch):
        monkeypatch.setattr(sys, "stdin", None)
        with pytest.raises(BulkFileError, match="cannot read standard input: it is closed"):
            prompts(Source.from_name("-"))
