"""What a message makes of text from outside: printable, one line, of bounded length, both ends kept."""

import pickle
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts.base import (
    CheckpointError,
    CohortError,
    ConfigError,
    LtsError,
    StorageError,
    VolumeError,
    counted,
    listed,
    name_some,
    natural_key,
    one_line,
    printable,
    shortened,
    shown,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # halves of surrogate pairs too


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Größe 5 µm, 肝臓", "Größe 5 µm, 肝臓"),
        (
            "NSD 2\xa0mm, 肝臓\u3000一",
            "NSD 2\xa0mm, 肝臓\u3000一",
        ),  # spaces that hold together, and wide ones
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x9b31mred", r"\x9b31mred"),  # the one-byte beginning of a sequence
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("a\u2028b", r"a\u2028b"),
        ("caf\udce9.nii", r"caf\udce9.nii"),  # a name of bytes that are not UTF-8
        ("\0", r"\x00"),
    ],
)
def test_what_is_not_printed_is_written_out(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_both_ends_of_a_long_text_are_kept() -> None:
    told = shortened("/data/" + "x" * 5000 + "/scan.nii.gz", most=100)
    assert len(told) <= 100
    assert told.startswith("/data/xxx")
    assert told.endswith("/scan.nii.gz")
    left_out = int(told.partition("[... ")[2].partition(" ")[0])
    assert left_out == 6 + 5000 + 12 - (len(told) - len(f"[... {left_out} characters ...]"))


@pytest.mark.parametrize("length", [0, 99, 100])
def test_what_is_short_enough_stays(length: int) -> None:
    assert shortened("x" * length, most=100) == "x" * length


def test_a_value_is_shown_as_python_writes_it() -> None:
    assert shown("a") == "'a'"
    assert shown([1, None]) == "[1, None]"
    assert shown({"1": "\x1b"}) == r"{'1': '\x1b'}"
    assert len(shown(["x" * 10] * 5000)) <= 200

    class WithItsOwnWords:
        def __repr__(self) -> str:
            return "a\n\x1b[31mb"

    assert shown(WithItsOwnWords()) == r"a\n\x1b[31mb"


def test_a_message_keeps_its_file_its_rule_and_its_value() -> None:
    error = ConfigError(f"/{'deep/' * 900}split.json: must be a list of names, got {shown('v' * 10**6)}")
    told = str(error)
    assert len(told) <= 1500
    assert told.startswith("/deep/deep")
    assert "split.json: must be a list of names, got 'vvv" in told
    assert told.endswith("v'")
    told = one_line(f"/{'d' * 5000}/a.json: must hold its key once, got {'v' * 5000}")
    assert "/a.json: must hold its key once, got vvv" in told


def test_of_many_words_both_ends_are_kept() -> None:
    told = one_line(f"first {'word ' * 1000}last")
    assert 1400 < len(told) <= 1500
    assert told.startswith("first word")
    assert told.endswith("word last")


@pytest.mark.parametrize(
    "kind", [LtsError, ConfigError, VolumeError, CohortError, CheckpointError, StorageError]
)
def test_every_error_of_the_user_is_one_printable_line(kind: type[LtsError]) -> None:
    error = kind("a\n\x1b[2Jb" + "c" * 10**5)
    assert str(error).isprintable()
    assert len(str(error)) <= 1500
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # between processes
    assert str(kind("a.nii: must be read, got nothing")) == "a.nii: must be read, got nothing"


@given(ANY_TEXT)
def test_any_text_becomes_one_printable_line_and_stays_so(text: str) -> None:
    told = one_line(text * 40)
    assert not {unicodedata.category(sign) for sign in told} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert len(told) <= 1500
    told.encode()
    assert one_line(told) == told
    assert str(CohortError(f"{CohortError(told)}")) == told
    assert sys.getsizeof(shown(text)) < 2000


@given(st.lists(st.text("a0129٣ -", max_size=12), max_size=8))
def test_natural_order_is_that_of_numbers(names: list[str]) -> None:
    def by_value(text: str) -> tuple[list[str | int], str]:
        parts = re.split(r"(\d+)", text)
        return [int(part) if index % 2 else part for index, part in enumerate(parts)], text

    western = [name.replace("٣", "3") for name in names]
    assert sorted(western, key=natural_key) == sorted(western, key=by_value)
    assert all((natural_key(a) == natural_key(b)) == (a == b) for a in names for b in names)


def test_names_of_thousands_of_digits_have_an_order() -> None:
    small, large = "c-" + "8" * 5000, "c-" + "9" * 5000
    assert sorted([f"{large}0", large, small, "c-7"], key=natural_key) == ["c-7", small, large, f"{large}0"]


@pytest.mark.parametrize(
    ("most", "separator", "told"),
    [
        (3, ", ", "c, a, b"),
        (2, ", ", "c, a and 1 more"),
        (1, "; ", "c; and 2 more"),
        (3, "; ", "c; a; b"),
    ],
)
def test_a_list_keeps_its_order_and_counts_what_it_leaves_out(most: int, separator: str, told: str) -> None:
    assert listed(iter(["c", "a", "b"]), most=most, separator=separator) == told


def test_some_names_are_the_first_in_natural_order_and_none_is_endless() -> None:
    names = {f"case-{number}" for number in range(12)}
    assert name_some(names).endswith("case-8, case-9 and 2 more")
    assert name_some(names, most=2) == "case-0, case-1 and 10 more"
    assert len(name_some(["x" * 5000])) == 250
    assert name_some([]) == ""


def test_one_thing_is_told_as_one() -> None:
    assert [counted(number, "case") for number in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
    assert counted(2, "series", "series") == "2 series"
