from __future__ import annotations

import struct

import pytest

from core.ml.audit import Audit
from core.reports.audit_charts import audit_chart
from tests.core.ml.test_audit import part, run, shifted


@pytest.mark.parametrize(
    "audit", [run(part(1)), run(shifted(1, "volume", -0.8)), run(part(2, rows=3)), run(part(3, rows=40, days=5))]
)
def test_an_audit_is_drawn_upright_for_a_phone_however_little_is_known(audit: Audit) -> None:
    png = audit_chart(audit)

    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (1080, 1350)


def test_the_same_audit_gives_the_same_bytes() -> None:
    assert audit_chart(run(part(4, rows=60))) == audit_chart(run(part(4, rows=60)))
