"""What is missing is named, with how to get it."""

import sys

import pytest

from hfgen import BulkFileError
from hfgen._files.source import Source
from hfgen._files.target import Target


@pytest.mark.parametrize(
    ("name", "module", "needs"),
    [
        ("in.parquet", "pyarrow", "Parquet needs pyarrow"),
        pytest.param(
            "in.jsonl.zst",
            "backports",
            "zstd needs backports",
            marks=pytest.mark.skipif(sys.version_info >= (3, 14), reason="it is Python's own"),
        ),
    ],
)
def test_a_missing_module(tmp_path, monkeypatch, name, module, needs):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(BulkFileError) as caught:
        list(Source.from_name(str(tmp_path / name)).rows())
    assert needs in caught.value.message
    assert "pip install 'hfgen[bulk]'" in caught.value.message
    # Before the run, though it is needed at its end.
    with pytest.raises(BulkFileError) as caught:
        Target.from_name(str(tmp_path / name.replace("in", "out")))
    assert needs in caught.value.message
