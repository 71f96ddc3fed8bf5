"""A study goes from a real Orthanc to lts, and its result is found there: by DICOM and by DICOMweb."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import generate_uid
from service_kit import Running, run_service, wait_until

pytest.importorskip("pynetdicom", reason="the extra `pacs` is not installed")
from pacs_kit import (
    OPTIONS,
    Orthanc,
    free_port,
    labels_in,
    labels_of,
    make_series,
    orthanc_program,
    run_orthanc,
)

from lts.inference import Predictor
from lts.service.pacs import PacsOptions
from lts.service.pacs.delivery import delivery_to


@pytest.fixture(scope="module")
def beside(
    predictor: Predictor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, Orthanc]]:
    """A service and an Orthanc that know each other."""
    if orthanc_program() is None:
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    dicom_port = free_port()
    options = PacsOptions(**{**OPTIONS, "send_to": f"ORTHANC@127.0.0.1:{dicom_port}"})
    with (
        run_service(predictor, pacs=options) as running,
        run_orthanc(
            tmp_path_factory.mktemp("orthanc"),
            dicom_port=dicom_port,
            lts_port=running.exchange.port,
            lts_url=running.url,
        ) as orthanc,
    ):
        yield running, orthanc


def test_a_result_is_found_where_its_series_was_sent_from(
    beside: tuple[Running, Orthanc], predictor: Predictor, tmp_path: Path
) -> None:
    running, orthanc = beside
    folder = make_series(tmp_path)
    series = orthanc.take(folder)
    assert orthanc.client.post("/modalities/lts/echo").is_success
    orthanc.client.post("/modalities/lts/store", content=series).raise_for_status()
    wait_until(lambda: orthanc.results() != [], seconds=60)
    (seg,) = orthanc.results()
    np.testing.assert_array_equal(labels_in(seg, 6), labels_of(folder, predictor))
    wait_until(lambda: running.left_over() == set())
    orthanc.client.post("/modalities/lts/store", content=series).raise_for_status()
    wait_until(lambda: any("came again" in line for line in running.lines), seconds=60)
    assert len(orthanc.results()) == 1
    orthanc.client.delete(f"/studies/{orthanc.client.get(f'/series/{series}').json()['ParentStudy']}")


def test_orthanc_sends_and_takes_by_dicomweb(
    beside: tuple[Running, Orthanc], predictor: Predictor, tmp_path: Path
) -> None:
    _, orthanc = beside
    folder = make_series(tmp_path)
    series = orthanc.take(folder)
    orthanc.client.post("/dicom-web/servers/lts/stow", json={"Resources": [series]}).raise_for_status()
    wait_until(lambda: orthanc.results() != [], seconds=60)
    (seg,) = orthanc.results()
    np.testing.assert_array_equal(labels_in(seg, 6), labels_of(folder, predictor))
    # Orthanc takes the result by STOW-RS too: once more, under another name.
    first, second = seg.SOPInstanceUID, generate_uid()
    seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = second
    seg.save_as(tmp_path / "seg.dcm")
    url = str(orthanc.client.base_url.join("/dicom-web"))
    delivery_to(PacsOptions(**{**OPTIONS, "send_to": url})).send(tmp_path / "seg.dcm")
    assert {one.SOPInstanceUID for one in orthanc.results()} == {first, second}
