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
    ORTHANC_USER,
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
from lts.service.pacs.delivery import UndeliveredError, delivery_to


@pytest.fixture(scope="module")
def beside(
    predictor: Predictor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, Orthanc]]:
    """A service and an Orthanc that know each other."""
    if orthanc_program() is None:
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    dicom_port = free_port()
    changes = {"send_to": f"ORTHANC@127.0.0.1:{dicom_port}", "results": ("seg", "rtstruct", "sr")}
    options = PacsOptions(**{**OPTIONS, **changes})
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
    wait_until(lambda: orthanc.results("SR") != [], seconds=60)
    (seg,), (structures,), (report,) = (orthanc.results(one) for one in ("SEG", "RTSTRUCT", "SR"))
    np.testing.assert_array_equal(labels_in(seg, 6), labels_of(folder, predictor))
    assert {one.StudyInstanceUID for one in (structures, report)} == {seg.StudyInstanceUID}
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
    wait_until(lambda: orthanc.results("SR") != [], seconds=60)
    (seg,) = orthanc.results()
    np.testing.assert_array_equal(labels_in(seg, 6), labels_of(folder, predictor))
    # Orthanc takes results by STOW-RS too, of who is known to it: once more, under other names.
    url = str(orthanc.client.base_url.join("/dicom-web"))
    for modality, (result,) in ((one, orthanc.results(one)) for one in ("SEG", "RTSTRUCT", "SR")):
        file, secret = tmp_path / f"{modality}.dcm", tmp_path / "credentials"
        first, second = result.SOPInstanceUID, generate_uid()
        result.SOPInstanceUID = result.file_meta.MediaStorageSOPInstanceUID = second
        result.save_as(file)
        with pytest.raises(UndeliveredError, match="401: it asks for credentials, and pacs.credentials_file"):
            delivery_to(PacsOptions(**{**OPTIONS, "send_to": url})).send(file)
        delivery = delivery_to(PacsOptions(**{**OPTIONS, "send_to": url, "credentials_file": secret}))
        secret.write_text("lts:wrong")
        with pytest.raises(UndeliveredError, match="401: it does not accept the credentials of pacs.cred"):
            delivery.send(file)
        secret.write_text(":".join(ORTHANC_USER))
        delivery.send(file)
        assert {one.SOPInstanceUID for one in orthanc.results(modality)} == {first, second}
