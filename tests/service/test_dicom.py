"""A zip of one DICOM series is a scan; of several, it is not."""

import errno
import io
import subprocess
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_kit import open_scan
from service_kit import (
    DEPTH,
    SIDE,
    SPACING_MM,
    Running,
    make_hu,
    multipart,
    read_answer,
    run_service,
    upload,
    wait_until,
)

pydicom = pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid  # noqa: E402

from lts.base import StorageError  # noqa: E402
from lts.volume import DicomSegWriter, _dicom_decoding, _dicom_rtstruct  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def series_files(folder: str, *, compressed: bool = False) -> dict[str, bytes]:
    """The scan of `make_hu` as a CT series, a file a slice."""
    hu, series, frame, study = make_hu()[0], generate_uid(), generate_uid(), generate_uid()
    files = {}
    for z in range(DEPTH):
        one = Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = CTImageStorage
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = generate_uid()
        one.SeriesInstanceUID, one.StudyInstanceUID, one.FrameOfReferenceUID = series, study, frame
        one.Modality, one.PatientID, one.PatientName = "CT", "secret", "Somebody^Secret"
        one.InstanceNumber, one.ImageOrientationPatient = z + 1, [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [0, 0, z * SPACING_MM[2]]
        one.PixelSpacing, one.SliceThickness = [SPACING_MM[1], SPACING_MM[0]], SPACING_MM[2]
        one.Rows = one.Columns = SIDE
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.RescaleSlope, one.RescaleIntercept = 1, 0
        # On disk toward right and front; in DICOM columns run to the left and rows to the back.
        one.PixelData = np.ascontiguousarray(hu[::-1, ::-1, z].T).tobytes()
        if compressed:
            one.compress(RLELossless, generate_instance_uid=False)
        buffer = io.BytesIO()
        one.save_as(buffer, enforce_file_format=True)
        files[f"{folder}/{z}.dcm"] = buffer.getvalue()
    return files


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_zip_of_a_series_is_seen_as_the_same_scan_in_nifti(
    running: Running, tmp_path: Path, scan_file: Path
) -> None:
    path = zipped(tmp_path / "patient 7.zip", series_files("CT"))
    with running.client as client:
        told, expected = (upload(client, one).json() for one in (path, scan_file))
        slices = [client.get(one["links"]["slices"].replace("{z}", "2")).content for one in (told, expected)]
    assert told["case"] == "patient_7"
    assert told["spacing_mm"] == pytest.approx(expected["spacing_mm"])
    for key in ("shape", "pixels_per_slice"):
        assert told[key] == expected[key]
    assert slices[0] == slices[1]
    assert "secret" not in str([told, running.lines]).lower()


def test_the_mask_of_a_series_is_offered_as_objects_that_refer_to_it(
    running: Running, tmp_path: Path, scan_file: Path
) -> None:
    files = series_files("CT")
    source = pydicom.dcmread(io.BytesIO(files["CT/0.dcm"]))
    with running.client as client:
        nifti = upload(client, scan_file).json()
        assert not [name for name in nifti["links"] if name.startswith("dicom")]
        assert client.get(f"{nifti['links']['self']}/dicom/seg").status_code == 404
        told = upload(client, zipped(tmp_path / "patient 7.zip", files)).json()
        assert not [note for note in told["notes"] if "DICOM" in note]
        answers = {kind: client.get(told["links"][f"dicom_{kind}"]) for kind in ("seg", "rtstruct", "sr")}
        assert client.get(f"{told['links']['self']}/dicom/png").status_code == 422
        client.delete(told["links"]["self"])
        assert client.get(told["links"]["dicom_seg"]).status_code == 404
    names = {"seg": "patient_7_mask.dcm", "rtstruct": "patient_7_rtstruct.dcm", "sr": "patient_7_report.dcm"}
    for kind, answer in answers.items():
        assert answer.headers["content-type"] == "application/dicom"
        assert f'filename="{names[kind]}"' in answer.headers["content-disposition"]
    seg, structures, report = (pydicom.dcmread(io.BytesIO(answer.content)) for answer in answers.values())
    assert [one.Modality for one in (seg, structures, report)] == ["SEG", "RTSTRUCT", "SR"]
    assert {one.StudyInstanceUID for one in (seg, structures, report)} == {source.StudyInstanceUID}
    told_by = {element.value for element in report.iterall() if element.keyword == "TextValue"}
    (model,) = running.service.version["models"]
    assert f"checkpoint {model['file']}, SHA-256 {model['sha256']}" in told_by
    referred = {
        element.value for element in report.iterall() if element.keyword == "ReferencedSOPInstanceUID"
    }
    assert seg.SOPInstanceUID in referred
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8))
    assert bits.sum() == sum(map(sum, told["pixels_per_slice"].values()))
    contours = structures.ROIContourSequence[0].ContourSequence
    drawn_on = {contour.ContourImageSequence[0].ReferencedSOPInstanceUID for contour in contours}
    assert len(drawn_on) == np.count_nonzero(told["pixels_per_slice"]["liver"])


def test_a_dicom_seg_is_compared_as_a_second_mask(running: Running, tmp_path: Path, scan_file: Path) -> None:
    shifted = {}
    for name, content in series_files("CT").items():
        one = pydicom.dcmread(io.BytesIO(content))
        one.ImagePositionPatient = [SPACING_MM[0] / 2, 0, one.ImagePositionPatient[2]]
        one.save_as(buffer := io.BytesIO())
        shifted[name] = buffer.getvalue()
    with running.client as client:
        told, other = (
            upload(client, zipped(tmp_path / f"{name}.zip", files)).json()
            for name, files in {"a": series_files("CT"), "b": shifted}.items()
        )
        seg, elsewhere = (client.get(one["links"]["dicom_seg"]).content for one in (told, other))
        answer = client.post(told["links"]["second"], files={"mask": ("SEG.DCM", seg)})
        assert answer.status_code == 201, answer.text
        assert [one["dice"] for one in answer.json()["regions"]] == [1, 1]
        assert answer.json()["regions"][0]["second_ml"] == pytest.approx(told["liver_ml"])
        refused = client.post(told["links"]["second"], files={"mask": ("b.dcm", elsewhere)})
        assert refused.status_code == 422
        assert refused.json()["detail"].startswith("b.dcm: a mask's voxels must be voxels of its image, ")
        assert refused.json()["detail"].endswith("; resample it to the scan, or send another")
        assert client.get(told["links"]["self"]).json()["second"] == answer.json()


def test_a_series_that_no_object_can_refer_to_is_shown_with_a_note(running: Running, tmp_path: Path) -> None:
    files = series_files("CT")
    for name, content in files.items():
        one = pydicom.dcmread(io.BytesIO(content))
        del one.StudyInstanceUID
        buffer = io.BytesIO()
        one.save_as(buffer)
        files[name] = buffer.getvalue()
    with running.client as client:
        told = upload(client, zipped(tmp_path / "study.zip", files)).json()
        assert client.get(f"{told['links']['self']}/dicom/rtstruct").status_code == 404
    assert not [name for name in told["links"] if name.startswith("dicom")]
    (note,) = (note for note in told["notes"] if "DICOM" in note)
    assert note.startswith("No DICOM SEG or RTSTRUCT or DICOM SR: study.zip")
    assert note.endswith("a DICOM result refers to its StudyInstanceUID, which is missing.")
    assert "lts-service" not in note


def test_objects_are_made_when_they_are_asked_for_and_once(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = [], DicomSegWriter.write

    def counted(self: Any, path: Any, *given: Any, **named: Any) -> Any:
        written.append(path)
        return write(self, path, *given, **named)

    monkeypatch.setattr(DicomSegWriter, "write", counted)
    with running.client as client:
        told = upload(client, zipped(tmp_path / "ct.zip", series_files("CT"))).json()
        assert not written
        with ThreadPoolExecutor(3) as pool:
            kinds = ("seg", "rtstruct", "sr")
            asked = [pool.submit(client.get, told["links"][f"dicom_{kind}"]) for kind in kinds]
        assert [one.result().status_code for one in asked] == [200] * 3
        assert client.get(told["links"]["dicom_seg"]).content == asked[0].result().content
    assert len(written) == 1


@pytest.mark.parametrize(
    ("fault", "why"),
    [(MemoryError(), "not enough memory"), (OSError(errno.ENOSPC, "No space left"), "its disk is full")],
)
def test_objects_that_there_is_no_room_for_cost_no_mask(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, why: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise fault if isinstance(fault, MemoryError) else StorageError("full") from fault

    with running.client as client:
        told = upload(client, zipped(tmp_path / "ct.zip", series_files("CT"))).json()
        assert client.get(told["links"]["mask"]).status_code == 200
        with monkeypatch.context() as patched:
            patched.setattr(DicomSegWriter, "write", full)
            refused = client.get(told["links"]["dicom_rtstruct"])
        assert (refused.status_code, why in refused.json()["detail"]) == (507, True)
        assert client.get(told["links"]["dicom_rtstruct"]).status_code == 200  # there is room again


def test_an_object_that_cannot_be_written_is_refused_with_the_reason(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dicom_rtstruct, "_MOST_CONTOURS", 0)
    with running.client as client:
        told = upload(client, zipped(tmp_path / "ct.zip", series_files("CT"))).json()
        refused = client.get(told["links"]["dicom_rtstruct"])
        assert refused.status_code == 404
        why = "scan_rtstruct.dcm: contours of liver must be at most 0"
        assert refused.json()["detail"].startswith(f"this scan has no such DICOM object: {why}")
        assert client.get(told["links"]["dicom_seg"]).status_code == 200


def test_the_page_offers_objects_of_a_series_and_of_no_other_scan(
    browser: Any, running: Running, tmp_path: Path, scan_file: Path
) -> None:
    open_scan(browser, running, zipped(tmp_path / "ct.zip", series_files("CT")))
    links = browser.find_elements("css selector", "#dicom a")
    assert [link.text for link in links] == ["SEG", "RTSTRUCT", "Report"]
    with running.client as client:
        answers = [client.get(link.get_attribute("href")) for link in links]
    assert [answer.headers["content-type"] for answer in answers] == ["application/dicom"] * 3
    open_scan(browser, running, scan_file)
    assert not browser.find_element("id", "dicom").is_displayed()


def test_a_zip_of_several_series_is_refused_by_their_names(running: Running, tmp_path: Path) -> None:
    path = zipped(tmp_path / "two.zip", {**series_files("a"), **series_files("b")})
    with running.client as client:
        answer = upload(client, path)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "two.zip: must hold one scan, got 2: a, b; send one a time"


def test_a_zip_of_a_study_with_one_volume_is_a_scan(running: Running, tmp_path: Path) -> None:
    volume, scout = series_files("CT"), series_files("scout")
    path = zipped(tmp_path / "study.zip", {**volume, "scout/0.dcm": scout["scout/0.dcm"], "readme": b"x"})
    with running.client as client:
        told = upload(client, path).json()
    assert (told["case"], told["shape"][0]) == ("study", DEPTH)
    assert told["notes"][:2] == [
        "Passed over: 1 series that is no volume: series in scout, 1 image, which has no spacing.",
        "Passed over: 1 other file (readme).",
    ]


class Slow:
    """A decoder that does not end its first slice, and tells when it began and if it ended."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.processes: list[subprocess.Popen[bytes]] = []

    def ended(self) -> bool:
        return all(process.returncode is not None for process in self.processes)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    told = Slow()

    class Told(subprocess.Popen):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            told.processes.append(self)
            told.begun.set()

    sleeps = "_dicom_decoder.stored_frames = lambda *_, **__: (time.sleep(600) for _ in [0])"
    run = f"import time; from lts.volume import _dicom_decoder; {sleeps}; main()"
    monkeypatch.setattr(_dicom_decoding, "_RUN", _dicom_decoding._RUN.replace("main()", run))
    monkeypatch.setattr(_dicom_decoding.subprocess, "Popen", Told)
    return told


def test_a_slice_that_takes_long_to_decode_silences_nobody(
    running: Running, tmp_path: Path, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dicom_decoding, "FRAME_LIMIT_S", 1)
    path = zipped(tmp_path / "slow.zip", series_files("CT", compressed=True))
    with running.client as client, ThreadPoolExecutor(1) as sender:
        answer = sender.submit(upload, client, path)
        assert slow.begun.wait(60)
        assert [client.get(to).status_code for to in ("/health", "/ready")] == [200, 200]
        refused = answer.result(timeout=120)
    assert refused.status_code == 422
    assert "pixels must be decoded within 1 s" in refused.json()["detail"]
    assert slow.ended()


def test_who_hangs_up_while_a_slice_is_decoded_ends_its_decoder(
    running: Running, tmp_path: Path, slow: Slow
) -> None:
    path = zipped(tmp_path / "slow.zip", series_files("CT", compressed=True))
    with running.connect(multipart(path)):
        assert slow.begun.wait(60)
    wait_until(lambda: running.service.gate.taken == 0, seconds=30)
    assert slow.ended()


def test_a_service_that_gives_up_its_scans_ends_their_decoders(
    predictor: Any, tmp_path: Path, slow: Slow
) -> None:
    path = zipped(tmp_path / "slow.zip", series_files("CT", compressed=True))
    with run_service(predictor) as running, running.connect(multipart(path)) as connection:
        assert slow.begun.wait(60)
        running.server.stop()
        running.server.stop()
        connection.settimeout(30)
        status, _, told = read_answer(connection)
    assert (status, told) == (503, {"detail": "the service is shutting down and takes no more scans"})
    assert slow.ended()


def test_a_series_cut_short_is_told_without_a_path(running: Running, tmp_path: Path) -> None:
    files = series_files("CT")
    del files["CT/2.dcm"]
    with running.client as client:
        answer = upload(client, zipped(tmp_path / "gap.zip", files))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("gap.zip")
    assert "lts-service" not in answer.json()["detail"]
