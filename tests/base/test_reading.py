"""JSON and CSV from elsewhere: read as they are meant, or refused in one short line, whatever they hold."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lts.base import CohortError, ConfigError, LtsError, _reading, printable, read_csv_rows, read_json_object

COLUMNS = ("case", "image")


def put(tmp_path: Path, content: bytes | str, name: str = "file") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_json_object_is_read_with_and_without_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    content = {"name": "Größe", "deep": [[[{"n": -(10**40), "x": 1.5e-3}]]], "none": None}
    path = put(tmp_path, json.dumps(content, ensure_ascii=False).encode(encoding))
    assert read_json_object(path) == content


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def test_json_may_be_nested_a_hundred_deep(tmp_path: Path) -> None:
    assert read_json_object(put(tmp_path, nested(100)))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "must be JSON in UTF-8: Expecting value: line 1 column 1"),
        ('{"state": "run', "must be JSON in UTF-8: Unterminated string starting at: line 1 column 11"),
        (b"\0" * 512, "must be JSON in UTF-8: Expecting value"),
        ('{"a": 1}'.encode("utf-16"), "must be JSON in UTF-8: 'utf-8' codec can't decode byte"),
        ('{"größe": 1}'.encode("latin-1"), "must be JSON in UTF-8: 'utf-8' codec can't decode byte"),
        ("[1, 2]", "must hold a JSON object, got a list"),
        ("null", "must hold a JSON object, got null"),
        ("true", "must hold a JSON object, got true or false"),
        ("7", "must hold a JSON object, got a number"),
        ('"text"', "must hold a JSON object, got a text"),
        ("[" * 10**5, "must be JSON nested at most 100 deep, goes deeper"),
        (nested(101), "must be JSON nested at most 100 deep, goes deeper"),
        ('{"a":' + "[" * 100 + "]" * 100 + "}", "must be JSON nested at most 100 deep, goes deeper"),
        (
            '{"n": ' + "9" * 5000 + "}",
            "must be JSON in UTF-8: a number must have at most 300 digits, got 5000",
        ),
        ('{"n": 1e999}', "must be JSON in UTF-8: a number must be one that a computer can hold, got '1e999'"),
        ('{"n": NaN}', "must be JSON in UTF-8: a number must be finite, got NaN"),
        ('{"n": -Infinity}', "must be JSON in UTF-8: a number must be finite, got -Infinity"),
        ('{"t": [], "t": [1]}', "must be JSON in UTF-8: an object must have each name once, got 't' twice"),
    ],
)
def test_json_that_is_none_is_refused_in_one_line(tmp_path: Path, content: bytes | str, told: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(ConfigError) as error:
        read_json_object(path, error=ConfigError)
    assert str(error.value).startswith(f"{path}: {told}")
    assert str(error.value).isprintable()


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="cannot be read: No such file or directory"):
        read_json_object(tmp_path / "none.json")
    with pytest.raises(CohortError, match="cannot be read: Is a directory"):
        read_csv_rows(tmp_path, columns=COLUMNS)
    with pytest.raises(CohortError, match="cannot be read: File name too long"):
        read_json_object(tmp_path / ("n" * 300))


@pytest.mark.parametrize(("size", "is_read"), [(20, True), (21, False)])
def test_a_file_beyond_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, is_read: bool
) -> None:
    monkeypatch.setattr(_reading, "_MOST_BYTES", 20)
    path = put(tmp_path, '{"a": 1}'.ljust(size))
    if is_read:
        assert read_json_object(path) == {"a": 1}
    else:
        with pytest.raises(CohortError, match="must be JSON of at most 0 MiB, is larger"):
            read_json_object(path)


def test_rows_of_csv_are_numbered_as_a_spreadsheet_does(tmp_path: Path) -> None:
    content = 'case, image ,other\r\na,"i, 1.nii",x\r\n,,\r\n b ,i.nii,\r\n'
    rows = read_csv_rows(put(tmp_path, content.encode("utf-8-sig")), columns=COLUMNS)
    assert rows == [
        (2, {"case": "a", "image": "i, 1.nii", "other": "x"}),
        (4, {"case": "b", "image": "i.nii", "other": ""}),
    ]


def test_spreadsheets_may_end_lines_as_they_like_and_leave_columns_without_a_name(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        content = end.join(("case,image,,", "a,i.nii,,", "b,j.nii,,", ""))
        rows = read_csv_rows(put(tmp_path, content), columns=COLUMNS)
        assert [(number, row["case"], row["image"]) for number, row in rows] == [
            (2, "a", "i.nii"),
            (3, "b", "j.nii"),
        ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the first row must name the columns case, image, each once, got []"),
        ("case\n", "the first row must name the columns case, image, each once, got ['case']"),
        ("case,image,case\n", "the first row must name the columns case, image, each once, got"),
        ("case,image,x,x\n", "the first row must name each column once, got 'x' twice"),
        ("case,image,,,x,x\n", "the first row must name each column once, got 'x' twice"),
        (
            "case;image\na;b\n",
            "the first row must name the columns case, image, each once, separated by commas",
        ),
        ("case\timage\n", "the first row must name the columns case, image, each once, separated by commas"),
        ("case,image\na\n", "row 2 must have 2 cells, got 1"),
        ("case,image\na,b\nc,d,e\n", "row 3 must have 2 cells, got 3"),
        ('case,image\n"a"b,c\n', "must be a CSV file in UTF-8: row 2: "),
        ('case,image\na,"b\n', "must be a CSV file in UTF-8: row "),
        (
            "case,image\na," + "b" * 200_000,
            "must be a CSV file in UTF-8: row 2: field larger than field limit",
        ),
        (
            "case,image\nä,b\n".encode("latin-1"),
            "must be a CSV file in UTF-8: 'utf-8' codec can't decode byte",
        ),
        ("case,image\n".encode("utf-16"), "must be a CSV file in UTF-8: 'utf-8' codec can't decode byte"),
        (",".join(f"column {n}" for n in range(10**5)), "the first row must name the columns case, image"),
        (
            "\x1b[31m,\x07",
            r"the first row must name the columns case, image, each once, got ['\x1b[31m', '\x07']",
        ),
    ],
)
def test_csv_that_is_none_is_refused_in_one_line(tmp_path: Path, content: bytes | str, told: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(CohortError) as error:
        read_csv_rows(path, columns=COLUMNS)
    assert str(error.value).startswith(f"{path}: {told}")
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= 1500


SPOILT = st.one_of(
    st.binary(max_size=200),
    st.text(st.sampled_from('{}[]",:0123456789eE+-.\\untrflsab \n\x1b\0;\t'), max_size=80).map(str.encode),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda content: json.dumps(content).encode()),
)


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(content=SPOILT, cut=st.integers(0, 200), twice=st.integers(0, 60))
def test_whatever_a_file_holds_there_is_an_object_or_one_line(
    tmp_path: Path, content: bytes, cut: int, twice: int
) -> None:
    for spoilt in (content, content[:cut], content[:twice] + content):
        path = put(tmp_path, spoilt)
        for read in (read_json_object, lambda path: read_csv_rows(path, columns=COLUMNS)):
            told = ""
            try:
                json.dumps(read(path), allow_nan=False)
            except LtsError as error:
                told = str(error)
            assert printable(told) == told
            assert len(told) <= 1500
