"""Instances become series: which, when, how many, and what is left of those that do not come whole."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import UltrasoundImageStorage, generate_uid
from service_kit import samples

pytest.importorskip("pynetdicom", reason="the extra `pacs` is not installed")
from pacs_kit import OPTIONS, make_series

from lts.base import ConfigError
from lts.service.folder import PrivateFolder
from lts.service.metrics import Metrics
from lts.service.pacs import DicomNode, PacsOptions, WebNode
from lts.service.pacs.intake import Intake, Rule, Sender, Status

QUIET_S, DROP_S = 10, 600


class Taking:
    """An intake with a clock that the test sets."""

    def __init__(self, folder: PrivateFolder, **changes: Any) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.root, self._metrics = folder.path, Metrics({})
        options = {"quiet_s": QUIET_S, "drop_s": DROP_S, **changes}
        description = options.pop("description", None)
        self.intake = Intake(
            folder,
            rule=Rule(modality="CT", description=description),
            options=PacsOptions(**{**OPTIONS, **options}),
            counts=self._metrics.pacs,
            log=self.lines.append,
            clock=lambda: self.now,
        )

    def give(self, sender: Sender, file: Path, *, announced: tuple[str, str] | None = None) -> Status:
        path = self.intake.new_file(sender)
        shutil.copy(file, path)
        return self.intake.take(sender, path, announced=announced).status

    def give_all(self, files: list[Path], *, whole: bool = True) -> list[Status]:
        sender = self.intake.begin("SCANNER at 10.0.0.7")
        told = [self.give(sender, file) for file in files]
        self.intake.end(sender, whole=whole)
        return told

    def count(self, what: str, outcome: str) -> float:
        return samples(self._metrics.text().decode())[f"lts_pacs_{what}_total,outcome={outcome}"]

    def left_over(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file()]


@pytest.fixture
def taking() -> Iterator[Callable[..., Taking]]:
    folder = PrivateFolder(log=print)
    yield lambda **changes: Taking(folder, **changes)
    folder.close()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return sorted(make_series(tmp_path).iterdir())


def test_a_series_is_complete_when_all_who_sent_it_have_ended_and_a_while_has_passed(
    taking: Callable[..., Taking], files: list[Path]
) -> None:
    one = taking()
    first, second = one.intake.begin("a"), one.intake.begin("b")
    assert {one.give(first, file) for file in files[:2]} == {Status.TAKEN}
    assert {one.give(second, file) for file in files[1:]} == {Status.TAKEN}
    one.intake.end(first, whole=True)
    one.now = 300
    assert one.intake.complete() == []
    one.intake.end(second, whole=True)
    one.now += QUIET_S - 1
    assert one.intake.complete() == []
    one.now += 1
    (series,) = one.intake.complete()
    assert series.uid == dcmread(files[0]).SeriesInstanceUID
    assert sorted(path.read_bytes() for path in series.files.iterdir()) == sorted(
        file.read_bytes() for file in files
    )
    assert one.intake.complete() == []
    assert one.intake.held == 1
    one.intake.release(series)
    assert one.intake.held == 0
    assert one.left_over() == []
    assert one.lines == []


def test_a_series_that_was_cut_short_waits_until_all_of_it_is_sent_again(
    taking: Callable[..., Taking], files: list[Path]
) -> None:
    one = taking()
    one.give_all(files[:3], whole=False)
    one.now = 100
    assert one.intake.complete() == []
    assert one.give_all(files) == [Status.TAKEN] * 6
    one.now = 200
    (series,) = one.intake.complete()
    assert len(series.instances) == len(list(series.files.iterdir())) == 6
    assert one.lines[0].endswith(
        f"cut short; what came of {series} is kept {DROP_S} s, for it to be sent again"
    )


def test_who_began_before_it_was_cut_short_does_not_make_it_whole(
    taking: Callable[..., Taking], files: list[Path]
) -> None:
    one = taking()
    cut, other = one.intake.begin("a"), one.intake.begin("b")
    one.give(cut, files[0])
    one.give(other, files[1])
    one.now = 1
    one.intake.end(cut, whole=False)
    one.now = 2
    one.intake.end(other, whole=True)
    one.now = 2 + DROP_S - 1
    assert one.intake.complete() == []
    assert one.intake.held == 1
    one.now += 1
    assert one.intake.complete() == []
    assert one.intake.held == 0
    assert one.left_over() == []
    assert one.count("series", "dropped") == 1
    assert one.lines[-1].endswith(
        f"dropped with 2 instances: nothing of it came for {DROP_S} s, and its sender was cut short or "
        "refused a part of it"
    )


def test_the_rest_of_a_series_that_was_dropped_begins_no_new_one(
    taking: Callable[..., Taking], files: list[Path]
) -> None:
    one = taking()
    sender = one.intake.begin("a")
    one.give(sender, files[0])
    one.now = DROP_S
    assert one.intake.complete() == []
    assert one.lines[-1].endswith("and its sender has not ended")
    assert one.give(sender, files[1]) is Status.NO_ROOM
    one.intake.end(sender, whole=True)
    assert one.intake.held == 0
    assert one.left_over() == []


def test_a_series_of_which_an_instance_was_refused_is_not_whole(
    taking: Callable[..., Taking], files: list[Path], tmp_path: Path
) -> None:
    one = taking()
    junk = tmp_path / "junk"
    junk.write_bytes(bytes(4096))
    assert one.give_all([*files[:5], junk]) == [*[Status.TAKEN] * 5, Status.NOT_UNDERSTOOD]
    one.now = QUIET_S
    assert one.intake.complete() == []
    assert one.intake.held == 1
    assert (one.count("instances", "received"), one.count("instances", "refused")) == (5, 1)
    assert "an instance cannot be read: " in one.lines[0]
    assert str(one.root) not in "".join(one.lines)


def test_an_instance_is_the_one_that_it_was_announced_as(
    taking: Callable[..., Taking], files: list[Path]
) -> None:
    one = taking()
    sender, dataset = one.intake.begin("a"), dcmread(files[0])
    right = (str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
    assert one.give(sender, files[0], announced=(right[0], "1.2.3")) is Status.NO_MATCH
    assert one.give(sender, files[0], announced=("1.2.3", right[1])) is Status.NO_MATCH
    assert one.give(sender, files[0], announced=right) is Status.TAKEN


def test_what_no_rule_chooses_is_accepted_and_not_kept(
    taking: Callable[..., Taking], files: list[Path], tmp_path: Path
) -> None:
    one = taking(description="*ARTERIAL*")
    other = dcmread(files[0])
    other.SOPClassUID, other.SOPInstanceUID, other.Modality = UltrasoundImageStorage, generate_uid(), "US"
    other.save_as(tmp_path / "other.dcm")
    chosen = dcmread(files[0])
    chosen.SeriesInstanceUID, chosen.SeriesDescription = "1.2.3", "Late arterial"
    chosen.save_as(tmp_path / "chosen.dcm")
    given = [*files[:2], tmp_path / "other.dcm", tmp_path / "chosen.dcm"]
    assert one.give_all(given) == [Status.TAKEN] * 4
    assert one.lines == ["SCANNER at 10.0.0.7: passed over 3 instances that no rule chooses: 2 CT, 1 US"]
    assert one.count("instances", "passed_over") == 3
    one.now = QUIET_S
    assert [series.uid for series in one.intake.complete()] == ["1.2.3"]
    assert len(one.left_over()) == 1


def test_a_series_beyond_the_limit_is_refused_and_nothing_of_it_is_kept(
    taking: Callable[..., Taking], files: list[Path]
) -> None:
    one = taking(max_series_mib=3 * files[0].stat().st_size / 2**20 + 0.001)
    assert one.give_all(files) == [*[Status.TAKEN] * 3, *[Status.NO_ROOM] * 3]
    assert one.left_over() == []
    (line,) = one.lines
    assert ": refused, it must have at most " in line
    one.now = QUIET_S
    assert one.intake.complete() == []
    assert one.intake.held == 0
    assert (one.count("series", "refused"), one.count("series", "dropped")) == (1, 0)


def test_no_more_series_are_held_than_may_be(
    taking: Callable[..., Taking], files: list[Path], tmp_path: Path
) -> None:
    one = taking(max_series=1)
    second = sorted(make_series(tmp_path, name="second").iterdir())
    # In one association: of the first series nothing is missing.
    assert one.give_all([*files, *second]) == [*[Status.TAKEN] * 6, *[Status.NO_ROOM] * 6]
    (line,) = one.lines
    assert line.endswith("refused, 1 series are held, which is the most")
    one.now = QUIET_S
    (series,) = one.intake.complete()
    assert len(series.instances) == 6
    assert one.give_all(second)[0] is Status.NO_ROOM
    one.intake.release(series)
    assert one.give_all(second) == [Status.TAKEN] * 6


def test_a_disk_that_is_full_is_told_and_the_series_is_not_whole(
    taking: Callable[..., Taking], files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = taking()
    sender = one.intake.begin("a")
    one.give(sender, files[0])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", full)
        assert one.give(sender, files[1]) is Status.NO_ROOM
    one.intake.end(sender, whole=True)
    assert one.lines[0] == "a: an instance cannot be stored: No space left on device"
    one.now = QUIET_S
    assert one.intake.complete() == []
    assert len(one.left_over()) == 1


def test_what_is_not_complete_when_the_service_stops_is_dropped(
    taking: Callable[..., Taking], files: list[Path]
) -> None:
    one = taking()
    sender = one.intake.begin("a")
    one.give(sender, files[0])
    one.intake.close()
    assert one.lines[-1].endswith("dropped with 1 instance: the service is stopping")
    assert one.give(sender, files[1]) is Status.NO_ROOM
    one.intake.end(sender, whole=True)
    assert one.left_over() == []
    with pytest.raises(FileNotFoundError):
        one.intake.new_file(sender)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"send_to": None}, "send_to: must be given where port is, or results go nowhere; got null"),
        (
            {"send_to": "ORTHANC"},
            "send_to: must be AE@HOST:PORT, or http://HOST/... without a name, password",
        ),
        ({"send_to": "ORTHANC@host:0"}, "send_to: must be AE@HOST:PORT"),
        ({"send_to": "ORTHANC@host:65536"}, "send_to: must be AE@HOST:PORT"),
        ({"send_to": "http://"}, "send_to: must be AE@HOST:PORT"),
        ({"send_to": "http://host:x/dicom-web"}, "send_to: must be AE@HOST:PORT"),
        ({"send_to": "http://name:word@host/dicom-web"}, "send_to: must be AE@HOST:PORT"),
        ({"send_to": "http://host/dicom-web?a=b"}, "send_to: must be AE@HOST:PORT"),
        ({"send_to": "http://host/dicom web"}, "send_to: must be AE@HOST:PORT"),
        ({"send_to": "SEVENTEEN-LETTERS@host:104"}, "send_to: an AE title has 1 to 16 characters of ASCII"),
        ({"ae_title": "A\\B"}, r"ae_title: an AE title has .* without backslash, got 'A\\\\B'"),
        ({"ae_title": "  "}, "ae_title: an AE title has"),
        ({"calling": ("SCANNER", "")}, "calling: an AE title has .*, got ''"),
        ({"description": ""}, "description: must be a pattern, or null for any, got ''"),
        ({"results": ()}, r"results: must name one or more of seg, rtstruct, sr, got \[\]"),
        ({"results": ("seg", "png")}, r"results: must name one or more of .*, got \['seg', 'png'\]"),
        ({"results": ("rtstruct", "sr")}, "results: sr refers to the segments of seg, and needs it"),
        ({"credentials_file": Path("secret")}, "credentials_file: is for a send_to of http:// or https://"),
        ({"port": 70000}, "port: must be 0 to 65535, got 70000"),
        ({"quiet_s": 0}, "quiet_s: must be a number > 0 and at most 3600, got 0"),
        ({"idle_s": 1e9}, "idle_s: must be a number > 0 and at most 86400"),
    ],
)
def test_an_option_that_breaks_its_rule_is_told(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=f"^{expected}"):
        PacsOptions(**{**OPTIONS, **changes})


@pytest.mark.parametrize(
    ("send_to", "node"),
    [
        ("MY PACS@pacs.example.org:104", DicomNode("MY PACS", "pacs.example.org", 104)),
        ("PACS@[::1]:11112", DicomNode("PACS", "::1", 11112)),
        ("https://pacs.example.org:8443/wado/", WebNode("https://pacs.example.org:8443/wado")),
    ],
)
def test_a_node_is_a_title_and_an_address_or_the_address_of_a_service(send_to: str, node: Any) -> None:
    found = PacsOptions(**{**OPTIONS, "send_to": send_to}).node
    assert found == node
    assert PacsOptions(**{**OPTIONS, "send_to": str(found)}).node == node
