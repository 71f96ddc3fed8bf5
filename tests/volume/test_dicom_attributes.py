"""What a DICOM SEG takes over from its series: sound values as they are, others mended, empty or left out."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct
from pydicom import Dataset, config, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from lts.volume import DicomSegWriter
from lts.volume._dicom_attributes import CopiedAttributes, copy_attributes
from lts.volume._dicom_calls import parsing

MENDED, EMPTY, LEFT_OUT = "mended", "left empty", "left out"


def _put(dataset: Dataset, keyword: str, value: bytes) -> None:
    """An element as a file may hold it, which pydicom would not write."""
    tag = Tag(tag_for_keyword(keyword))
    dataset[tag] = RawDataElement(tag, dictionary_VR(keyword), len(value), value, 0, False, True)


def _taken(charset: str | list[str] | None = None, **values: bytes) -> CopiedAttributes:
    header = Dataset()
    if charset is not None:
        header.SpecificCharacterSet = charset
    for keyword, value in values.items():
        _put(header, keyword, value)
    with parsing(Path("scan")):
        return copy_attributes(header)


def _note(what: str, keyword: str) -> str:
    return f"DICOM output: {what}, as the series breaks DICOM's rules: {keyword}."


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "0" * 64),
        ("PatientBirthDate", "19500304"),
        ("PatientSex", "O"),
        ("StudyTime", "101010.123456"),
        ("StudyTime", "10"),
        ("PatientAge", "060Y"),
        ("PatientWeight", "72.5"),
        ("PatientComments", "two\r\nlines \\ and a tab\t"),
        ("PatientName", "a^b^c^d^e=f=g"),
        ("SmokingStatus", "UNKNOWN"),
        ("PatientIdentityRemoved", "NO"),
        ("TypeOfPatientID", "RFID"),
        ("ManufacturerModelName", "A scanner"),
        ("ClinicalTrialTimePointID", "T1"),
        ("LossyImageCompression", "01"),
    ],
)
def test_a_value_that_keeps_its_rule_is_taken_over_as_it_is(keyword: str, value: str) -> None:
    taken = _taken(**{keyword: value.encode() + b" " * (len(value) % 2)})
    assert str(taken.dataset[keyword].value) == value
    assert taken.notes == ()


@pytest.mark.parametrize(
    ("keyword", "value", "mended"),
    [
        ("StudyDate", b"2024.01.02", "20240102"),
        ("PatientBirthDate", b"1950-03-04", "19500304"),
        ("StudyTime", b"10:11:12", "101112"),
        ("StudyTime", b"10:11:12.50 ", "101112.50"),
        ("StudyTime", b"10:11 ", "1011"),
        ("PatientSex", b"f ", "F"),
        ("PatientAge", b"60y", "060Y"),
        ("PatientWeight", b"72.500000000000014", "72.5"),
    ],
)
def test_a_value_of_certain_meaning_is_mended(keyword: str, value: bytes, mended: str) -> None:
    taken = _taken(**{keyword: value})
    assert str(taken.dataset[keyword].value) == mended
    assert taken.notes == (_note(MENDED, keyword),)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", b"1" * 65),
        ("PatientID", b"one\\two"),
        ("AccessionNumber", b"a" * 17),
        ("PatientBirthDate", b"1950"),
        ("PatientBirthDate", b"ANON"),
        ("StudyDate", b"00000000"),
        ("StudyDate", b"20240230"),
        ("StudyDate", b"20240101-20240102"),
        ("StudyDate", b"02/01/2024"),
        ("StudyTime", b"2561"),
        ("StudyTime", b"1011-1012"),
        ("StudyTime", b"1:234"),
        ("PatientSex", b"W"),
        ("PatientSex", b"Female"),
        ("PatientSex", b"M\\F"),
        ("PatientName", b"a^b^c^d^e^f"),
        ("PatientName", b"a=b=c=d"),
        ("PatientName", b"a" * 65),
        ("PatientName", "Müller".encode("latin-1")),
        ("StudyID", b"bell\x07"),
    ],
)
def test_what_must_be_there_is_empty_where_it_breaks_its_rule(keyword: str, value: bytes) -> None:
    taken = _taken(**{keyword: value})
    assert taken.dataset[keyword].value in ("", None)
    assert taken.notes == (_note(EMPTY, keyword),)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientAge", b"about 60"),
        ("PatientAge", b"060"),
        ("PatientWeight", b"72,5"),
        ("PatientWeight", b"heavy"),
        ("PatientWeight", b"nan"),
        ("PatientWeight", b"1e400"),
        ("StudyDescription", b"\xff\xfe"),
        ("StudyDescription", b"d" * 65),
        ("PatientIdentityRemoved", b"YES"),  # by which method is not told
        ("ClinicalTrialSubjectID", b"S1"),  # of which trial is not told
        ("LossyImageCompression", b"NO"),
        ("SmokingStatus", b"SOMETIMES"),
        ("TypeOfPatientID", b"PASSPORT"),
        ("QualityControlSubject", b"PERHAPS"),
        ("ClinicalTrialTimePointDescription", b"after a year"),  # of which point is not told
    ],
)
def test_what_may_lack_is_left_out_where_it_breaks_its_rule(keyword: str, value: bytes) -> None:
    taken = _taken(**{keyword: value})
    assert keyword not in taken.dataset
    assert taken.notes == (_note(LEFT_OUT, keyword),)


def test_what_dicom_wants_is_there_though_the_series_has_nothing() -> None:
    taken = _taken(PatientName=b"")
    assert {element.keyword for element in taken.dataset} == {
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
        *("StudyDate", "StudyTime", "AccessionNumber", "StudyID", "PositionReferenceIndicator"),
    }
    assert not any(element.value for element in taken.dataset)
    assert taken.notes == ()
    assert taken.charset == ""


def test_attributes_of_a_trial_come_all_or_none() -> None:
    taken = _taken(
        ClinicalTrialSponsorName=b"S", ClinicalTrialProtocolID=b"P", ClinicalTrialSubjectReadingID=b"R"
    )
    assert taken.dataset.ClinicalTrialSubjectReadingID == "R"
    assert taken.dataset.ClinicalTrialSiteID == ""
    assert taken.notes == ()
    assert taken.dataset.ClinicalTrialProtocolName == ""
    trial = {
        "ClinicalTrialSponsorName": b"S",
        "ClinicalTrialProtocolID": b"P",
        "ClinicalTrialSubjectID": b"1",
    }
    ethics = [f"ClinicalTrialProtocolEthicsCommittee{what}" for what in ("Name", "ApprovalNumber")]
    assert {*trial, *ethics} <= {
        each.keyword for each in _taken(**trial, **dict.fromkeys(ethics, b"E")).dataset
    }
    assert not any(name in _taken(**trial, **{ethics[0]: b"E"}).dataset for name in ethics)
    assert not any(name in _taken(**dict.fromkeys(ethics, b"E")).dataset for name in ethics)
    for lacking in trial:
        without = _taken(**{name: value for name, value in trial.items() if name != lacking})
        assert not any(element.keyword.startswith("ClinicalTrial") for element in without.dataset)
    taken = _taken(ClinicalTrialSponsorName=b"S" * 65, ClinicalTrialProtocolID=b"P")
    assert not any(element.keyword.startswith("ClinicalTrial") for element in taken.dataset)
    assert taken.notes == (_note(LEFT_OUT, "ClinicalTrialSponsorName, ClinicalTrialProtocolID"),)


def test_a_method_of_deidentification_is_told_by_text_or_code() -> None:
    header = Dataset()
    _put(header, "PatientIdentityRemoved", b"YES ")
    codes = []
    for value, meaning in (("113100", "Basic"), ("x" * 17, "Too long"), ("113101", "")):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "DCM", meaning
        _put(code, "CodeValue", value.encode())
        codes.append(code)
    header.DeidentificationMethodCodeSequence = codes
    with parsing(Path("scan")):
        taken = copy_attributes(header)
    (kept,) = taken.dataset.DeidentificationMethodCodeSequence
    assert (kept.CodeValue, kept.CodeMeaning) == ("113100", "Basic")
    assert taken.dataset.PatientIdentityRemoved == "YES"
    assert taken.notes == (_note(LEFT_OUT, "DeidentificationMethodCodeSequence (2 of 3 items)"),)


KOREAN = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
JAPANESE = (
    b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"  # of PS3.5 H.3.1
)
CHINESE = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab"  # of PS3.5 K.2


@pytest.mark.parametrize(
    ("charset", "raw", "name", "written"),
    [
        (["", "ISO 2022 IR 149"], KOREAN, "Hong^Gildong=洪^吉洞=홍^길동", "ISO_IR 192"),
        (["", "ISO 2022 IR 87"], JAPANESE, "Yamada^Tarou=山田^太郎=やまだ^たろう", "ISO_IR 192"),
        (["", "ISO 2022 IR 58"], CHINESE, "Zhang^XiaoDong=张^小东", "ISO_IR 192"),
        ("GB18030", "Wang^Xiao=王^小".encode("gb18030"), "Wang^Xiao=王^小", "GB18030"),
        ("ISO_IR 192", "Müller".encode(), "Müller", "ISO_IR 192"),
        ("ISO_IR 100", b"M\xfcller", "Müller", "ISO_IR 100"),
        ("ISO_IR 144", "Щюж".encode("iso8859_5"), "Щюж", "ISO_IR 144"),
        (["", "ISO 2022 IR 149"], b"Smith", "Smith", ""),
        (None, b"Smith", "Smith", ""),
        (["ISO_IR 100", "ISO 2022 IR 87"], b"M\xfcller", "Müller", "ISO_IR 192"),
        ("ISO IR 100", b"M\xfcller", "Müller", "ISO_IR 192"),  # misspelt
    ],
)
def test_text_keeps_its_signs_in_every_character_set(
    charset: str | list[str] | None, raw: bytes, name: str, written: str
) -> None:
    taken = _taken(charset, PatientName=raw)
    assert (str(taken.dataset.PatientName), taken.charset) == (name, written)
    if written == "ISO_IR 192" and charset != written:
        (note,) = taken.notes
        assert note.startswith(
            "DICOM output: text is written as UTF-8, as SpecificCharacterSet of the series is"
        )
    else:
        assert taken.notes == ()


@pytest.mark.parametrize(
    ("charset", "raw", "name"),
    [
        (None, "Müller".encode(), "Müller"),
        ("ISO_IR 999", "Müller".encode(), "Müller"),
        ("ISO_IR 999", b"M\xfcller", ""),
        ("GB18030", b"\xff\xff", ""),
        (
            ["ISO 2022 IR 6", "ISO 2022 IR 100"],
            b"M\xfcller",
            "Müller",
        ),  # no escape sequence, as many write it
        (["", "ISO 2022 IR 149"], "홍^길동".encode("euc_kr"), "홍^길동"),
    ],
)
def test_text_beside_its_character_set_is_mended_where_its_signs_are_certain(
    charset: str | list[str] | None, raw: bytes, name: str
) -> None:
    taken = _taken(charset, PatientName=raw)
    assert str(taken.dataset.PatientName) == name
    assert taken.notes[0] == _note(MENDED if name else EMPTY, "PatientName")
    assert taken.charset == ("ISO_IR 192" if name else taken.charset)


def test_no_note_tells_a_value() -> None:
    taken = _taken(
        PatientName=b"Secret^\xff", PatientBirthDate=b"1950", PatientAge=b"Secret", StudyDate=b"1.2"
    )
    assert len(taken.notes) == 2
    assert not any("Secret" in note or "1950" in note for note in taken.notes)


def _spoil(dataset: Dataset, index: int) -> None:
    """Break all kinds of rules at once."""
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    for keyword, value in {
        "PatientName": JAPANESE,
        "PatientBirthDate": b"1950",
        "PatientSex": b"W",
        "PatientAge": b"60y",
        "PatientWeight": b"72.500000000000014",
        "PatientIdentityRemoved": b"YES",
        "StudyDate": b"2024.01.01",
        "StudyTime": b"10:10:10",
        "AccessionNumber": b"1" * 20,
        "ClinicalTrialSubjectID": b"S1",
        "LossyImageCompression": b"NO",
        "SliceThickness": b"-3",
        "Manufacturer": b"M" * 80,
        "InstitutionName": b"Klinik\x07",
    }.items():
        _put(dataset, keyword, value + b" " * (len(value) % 2))
    dataset.add_new(0x00091010, "UN", b"private")
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [f"{number:.14f}" for number in (x, y, z)]  # 17 characters


@pytest.mark.parametrize("spoilt", [False, True])
def test_dciodvfy_finds_no_error(spoilt: bool, phantoms: Any) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    with config.disable_value_validation():  # so that pydicom writes it
        folder = phantoms.series(phantoms.stored((7, 5, 6)), **({"change": _spoil} if spoilt else {}))
    (series,) = find_dicom_series(folder)
    volume = read_dicom_ct(series)
    labels = np.zeros(volume.voxels.shape, np.uint8)
    labels[1:4, 1:4, 2:5], labels[2, 2, 3] = 1, 2
    for layout in ("nested", "disjoint"):  # it does not know label maps
        path = phantoms.folder / f"{layout}.dcm"
        writer = DicomSegWriter(series, regions=["liver", "tumor"], version="1.2.3", layout=layout)
        writer.write(path, labels, geometry=volume.geometry)
        done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        assert "Segmentation" in done.stderr  # the kind of object it took it for
        assert [line for line in done.stderr.splitlines() if "Error" in line] == []
    assert dcmread(path).ContentCreatorName == ""
    told = " ".join(writer.notes)
    names = ("PatientBirthDate", "PatientSex", "PatientAge", "PatientWeight", "PatientIdentityRemoved")
    names += ("StudyDate", "StudyTime", "AccessionNumber", "ClinicalTrialSubjectID", "LossyImageCompression")
    names += ("SliceThickness", "Manufacturer", "InstitutionName", "SpecificCharacterSet")
    assert [name for name in names if (name in told) is not spoilt] == []
