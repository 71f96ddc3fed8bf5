"""A PACS for tests: a node that sends series, a node that takes results, and a real Orthanc."""

import io
import json
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from dicom_kit import GAP_MM, ORIGIN_MM, SPACING_MM, Phantoms, find_dicom_series, read_dicom_ct
from pydicom import Dataset, dcmread
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    RTStructureSetStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
)
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import Verification
from service_kit import make_hu, wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
PIXEL_MM = 1.5
ORTHANC_USER = ("lts", "pass:word")
"""Its name and password."""
OPTIONS: dict[str, Any] = {
    "send_to": "ARCHIVE@127.0.0.1:1",
    "credentials_file": None,
    "host": "127.0.0.1",
    "port": 0,
    "ae_title": "LTS",
    "calling": (),
    "description": None,
    "results": ("seg",),
    "answered_file": None,
    "quiet_s": 0.1,
    "idle_s": 5,
    "drop_s": 1,
    "max_associations": 3,
    "max_series": 4,
    "max_series_mib": 1,
    "retry_s": 0.1,
    "send_minutes": 1,
}


def make_series(folder: Path, *, name: str = "scan") -> Path:
    """The scan of `make_hu` as a CT series of 30 rows and 32 columns of square pixels, a file a slice."""
    stored = (make_hu()[0][::-1, 29::-1] + 1024).astype(np.int16)  # columns run to the left, rows to the back

    def square(dataset: Dataset, _: int) -> None:
        dataset.PixelSpacing = [PIXEL_MM, PIXEL_MM]

    return Phantoms(folder).series(np.ascontiguousarray(stored), name=name, change=square)


def labels_of(folder: Path, predictor: Any) -> npt.NDArray[np.uint8]:
    """What a model finds in a series, `(columns, rows, slices)` as its headers place them."""
    (series,) = find_dicom_series(folder)
    scan = read_dicom_ct(series)
    labels = predictor.mask(scan)
    assert {1, 2} <= set(np.unique(labels).tolist())
    stretched = PIXEL_MM / np.array([*SPACING_MM[::-1], PIXEL_MM])
    places = np.array(ORIGIN_MM) + (Phantoms.lps(scan.geometry.shape) - np.array(ORIGIN_MM)) * stretched
    return Phantoms.at(places, labels, scan.geometry.canonical_affine)


def labels_in(seg: Dataset, depth: int) -> npt.NDArray[np.uint8]:
    """The labels of a DICOM SEG, `(columns, rows, slices)`, by pydicom alone: its segments are nested."""
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    frames = bits[: int(seg.NumberOfFrames) * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
    labels = np.zeros((seg.Columns, seg.Rows, depth), np.uint8)
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        height = float(group.PlanePositionSequence[0].ImagePositionPatient[2])
        labels[..., round((height - ORIGIN_MM[2]) / GAP_MM)] += frame.T
    return labels


class Archive:
    """A node that takes results of some classes, and answers with the given statuses, the last for ever."""

    def __init__(
        self,
        *,
        port: int = 0,
        classes: Sequence[str] = (SegmentationStorage, RTStructureSetStorage, ComprehensiveSRStorage),
    ) -> None:
        self.results: list[Dataset] = []
        self.callers: list[str] = []
        self.statuses: list[int] = [0x0000]
        self._ae = AE("ARCHIVE")
        for one in classes:
            self._ae.add_supported_context(one)
        self._server = self._ae.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    @property
    def node(self) -> str:
        return f"ARCHIVE@127.0.0.1:{self._server.socket.getsockname()[1]}"

    def close(self) -> None:
        self._ae.shutdown()

    def _store(self, event: Any) -> int:
        status = self.statuses.pop(0) if self.statuses[1:] else self.statuses[0]
        if status == 0x0000:
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            self.callers.append(event.assoc.requestor.ae_title)
            self.results.append(dataset)
        return status


@contextmanager
def associated(port: int, *, calling: str = "SCANNER", called: str = "LTS") -> Iterator[Any]:
    """An association with a service, which the caller ends."""
    ae = AE(calling)
    contexts = [build_context(one) for one in (CTImageStorage, UltrasoundImageStorage, Verification)]
    association = ae.associate("127.0.0.1", port, contexts=contexts, ae_title=called)
    try:
        yield association
    finally:
        ae.shutdown()


def store(association: Any, files: Iterable[Path | Dataset]) -> list[int]:
    """Send instances; the statuses of their answers."""
    datasets = (file if isinstance(file, Dataset) else dcmread(file) for file in files)
    return [int(association.send_c_store(dataset).Status) for dataset in datasets]


def send(port: int, files: Iterable[Path | Dataset]) -> list[int]:
    """Send instances in an association of their own, and end it well."""
    with associated(port) as association:
        assert association.is_established
        statuses = store(association, files)
        association.release()
    return statuses


def stow_body(parts: Sequence[bytes], *, kind: str = "application/dicom") -> tuple[bytes, dict[str, str]]:
    """The body of a STOW-RS request, and its headers."""
    head = f"--edge\r\nContent-Type: {kind}\r\n\r\n".encode()
    body = b"".join(head + part + b"\r\n" for part in parts) + b"--edge--\r\n"
    return body, {"Content-Type": 'multipart/related; type="application/dicom"; boundary=edge'}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


class Orthanc:
    """A running Orthanc.

    Args:
        client: Speaks to its REST API.
    """

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def take(self, folder: Path) -> str:
        """Give it a series; its name for it."""
        answers = [
            self.client.post("/instances", content=file.read_bytes()).raise_for_status()
            for file in folder.iterdir()
        ]
        (series,) = {answer.json()["ParentSeries"] for answer in answers}
        return str(series)

    def results(self, modality: str = "SEG") -> list[Dataset]:
        """All objects of a modality that it holds, read over WADO-RS."""
        asked = {"Accept": 'multipart/related; type="application/dicom"'}
        found = self.client.get("/dicom-web/instances", params={"Modality": modality}).raise_for_status()
        results = []
        for one in found.json():
            study, series, instance = (one[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
            url = f"/dicom-web/studies/{study}/series/{series}/instances/{instance}"
            results.append(_read_part(self.client.get(url, headers=asked).raise_for_status()))
        return results


def orthanc_program() -> str | None:
    """Where Orthanc is, None where it is not installed."""
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/bin")


@contextmanager
def run_orthanc(folder: Path, *, dicom_port: int, lts_port: int, lts_url: str) -> Iterator[Orthanc]:
    """Orthanc as `deploy/orthanc.json` sets it up, with other ports, a folder of its own and one user."""
    program = orthanc_program()
    assert program is not None
    http_port = free_port()
    shipped = (DEPLOY / "orthanc.json").read_text()
    for before, after in (
        ('"DicomPort": 4242', f'"DicomPort": {dicom_port}'),
        ("11112]", f"{lts_port}]"),
        ("http://127.0.0.1:8000", lts_url),
    ):
        assert before in shipped
        shipped = shipped.replace(before, after)
    (folder / "shipped.json").write_text(shipped)
    own = {
        "StorageDirectory": str(folder / "storage"),
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": dict([ORTHANC_USER]),
        "Plugins": [str(path) for path in Path("/usr").glob("*/orthanc/plugins/libOrthancDicomWeb.so")],
    }
    (folder / "own.json").write_text(json.dumps(own))
    log = (folder / "log").open("w")
    process = subprocess.Popen([program, str(folder)], stdout=log, stderr=log, cwd=folder)
    with httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=20, auth=ORTHANC_USER) as client:

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return client.get("/system").is_success
            except httpx.TransportError:
                return False

        try:
            wait_until(answers, seconds=30)
            yield Orthanc(client)
        finally:
            process.kill()  # nothing of it is to be kept, and it takes seconds to stop
            process.wait(20)
            log.close()


def _read_part(answer: httpx.Response) -> Dataset:
    """The one file of a multipart answer."""
    boundary = answer.headers["content-type"].partition("boundary=")[2].partition(";")[0].strip('"')
    (part,) = answer.content.split(f"--{boundary}".encode())[1:-1]
    return dcmread(io.BytesIO(part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")))
