"""Names are printed as they are: none is a command for the terminal or the table."""

import io
import re

import pytest
from rich.console import Console

from lts.app.run import console
from lts.app.run.console import ShowProgress, print_line, print_table
from lts.app.run.failures import print_error

HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]b[/bold] :smile: a\nb\u202e \udce9"
PRINTED = r"\x1b[31mred\x1b]0;title\x07 [bold]b[/bold] :smile: a\nb\u202e \udce9"


def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 80 columns is sent."""
    sent = io.StringIO()
    monkeypatch.setattr(
        console, "Console", lambda **asked: Console(file=sent, force_terminal=True, **{"width": 80, **asked})
    )
    return sent


def test_a_line_is_said_without_commands(capsys: pytest.CaptureFixture[str]) -> None:
    print_line(f"run {HOSTILE}: done")
    print_error("train", f"{HOSTILE}: must be a name")
    said = capsys.readouterr()
    assert said.out == f"run {PRINTED}: done\n"
    assert said.err == f"train: {PRINTED}: must be a name\n"


def test_a_complaint_is_of_bounded_length(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("train", "x" * 10**6)
    assert len(capsys.readouterr().err) <= 1510


def test_a_table_prints_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(f"cases of {HOSTILE}".replace("\n", "\\n"), [{"case": HOSTILE, HOSTILE: 1.0}])
    printed = capsys.readouterr().out
    assert printed.count(PRINTED) == 3
    assert re.sub(r"[\n─-╿]", "", printed).isprintable()


def test_a_terminal_is_sent_no_commands_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = terminal(monkeypatch)
    print_table("cases", [{"case": HOSTILE, "dice": None}])
    own = re.compile(r"\x1b\[[\d;]*m")  # what the table itself is drawn with
    printed = own.sub("", sent.getvalue())
    assert r"\x1b[31mred" in printed
    assert re.sub(r"[\n─-╿]", "", printed).isprintable()
    assert max(map(len, printed.splitlines())) <= 80


def test_very_long_cells_keep_both_ends(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("jobs", [{"job": "a" + "x" * 5000 + "z"}])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) < 310
    assert re.search(r"ax+\[\.\.\. \d+ characters \.\.\.\]x+z", printed)


def test_a_bar_shows_its_title_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = terminal(monkeypatch)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    ShowProgress("[red]\x1b[2Jcase")(1, 1)
    assert r"[red]\x1b[2Jcase" in sent.getvalue()
    assert "\x1b[2J" not in sent.getvalue()
