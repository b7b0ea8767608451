"""Tests for which a kernel may lack something, in an emulated machine whose kernel lacks nothing.

``make test-qemu`` gets what this takes. Some minutes.
"""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from emulated import run_tests, unavailable

pytestmark = [pytest.mark.live, pytest.mark.qemu]
NFT, SERVICE = "tests/live/test_nft_live.py", "tests/live/test_booted.py"
SOME = "confined or attack or answers or killed_daemon"
"""Of the service's tests; all of them would take long."""


@pytest.mark.parametrize("tests", [(NFT,), (SERVICE, "-k", SOME)], ids=["rules", "service"])
def test_behind_the_rules_of_nft(tmp_path: Path, tests: tuple[str, ...]) -> None:
    reason = unavailable()
    if reason:
        pytest.skip(f"an emulated machine: {reason}")
    cases = list(ElementTree.fromstring(run_tests(tmp_path, *tests)).iter("testcase"))
    told = {
        f"{case.get('classname')}::{case.get('name')}": "\n".join(part.text or part.tag for part in case)
        for case in cases
    }
    assert {test: why for test, why in told.items() if why} == {}, "none fails, none is skipped"
    assert len(told) >= 4
