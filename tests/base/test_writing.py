"""Facts and tables as files."""

from pathlib import Path

import pytest

from lts.base import write_csv, write_json


def test_a_table_has_the_columns_of_its_rows(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"x": 1, "y": "a,b"}, {"x": None, "y": ""}])
    assert (tmp_path / "a.csv").read_bytes() == b'x,y\r\n1,"a,b"\r\n,\r\n'


def test_a_table_without_rows_has_the_columns_that_are_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [], columns=["x", "y"])
    assert (tmp_path / "a.csv").read_bytes() == b"x,y\r\n"


def test_a_name_that_is_not_utf_8_is_written_as_text(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"file": b"M\xfcller".decode(errors="surrogateescape")}])
    assert (tmp_path / "a.csv").read_text("utf-8").splitlines() == ["file", "M\\udcfcller"]


def test_content_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert (tmp_path / "a.json").read_text() == '{\n  "x": 1\n}\n'
    assert len(list(tmp_path.iterdir())) == 1
