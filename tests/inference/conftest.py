"""What tests of prediction have in common."""

import pytest

from lts.inference import precision


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are those of float32 on every machine, but where a test asks for others."""
    monkeypatch.setattr(precision, "computes_bf16", lambda _: False)
