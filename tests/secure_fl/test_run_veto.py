"""A whole run in which one site's noise is off: it stops, says why, and nothing of it was sent."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tomli_w
from tiny_run import BUDGET, RECORD, Setting, Watcher, tiny_config, write_policy

from audits.site_facts import SiteFacts
from crypto.codec import decode
from crypto.errors import PeerError
from privacy.ledger import Ledger
from privacy.noise import SystemNoise
from secure_fl.embedded import EmbeddedPlaces, start_run
from secure_fl.failures import ExitCode, Failure
from secure_fl.rounds.messages import REPLY_LIMIT_BYTES, OpenReply, Refusal
from secure_fl.rounds.own_log import uploads_taken
from secure_fl.rounds.site import Site
from secure_fl.runfolder import RunFolder
from secure_fl.site_home import LEDGER, now
from secure_fl.sites.workbench import SiteWorkbench

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from tiny_model import TinyModel

SITE = "site-2"
ROUNDS = 1


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bytes]]:
    """Everything that each site says, as it says it."""
    said: dict[str, list[bytes]] = defaultdict(list)
    handle = Site.handle

    def watched(site: Site, data: bytes) -> bytes:
        reply = handle(site, data)
        said[site._parts.name].append(reply)
        return reply

    monkeypatch.setattr(Site, "handle", watched)
    return said


@pytest.fixture
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch the noise off at one site."""
    faulty: list[object] = []
    begin = SiteWorkbench.__init__
    draw = SystemNoise.gaussian

    def noted(bench: SiteWorkbench, site: str, *rest: object, **named: object) -> None:
        begin(bench, site, *rest, **named)  # type: ignore[arg-type]
        if site == SITE:
            faulty.append(bench._noise)

    def gaussian(source: SystemNoise, count: int, deviation: float) -> NDArray[np.float64]:
        if any(source is one for one in faulty):
            return np.zeros(count)
        return draw(source, count, deviation)

    monkeypatch.setattr(SiteWorkbench, "__init__", noted)
    monkeypatch.setattr(SystemNoise, "gaussian", gaussian)


def opened(replies: list[bytes]) -> list[OpenReply]:
    """Those of a site's replies in which an update is."""
    found = []
    for data in replies:
        try:
            found.append(decode(OpenReply, data, limit_bytes=REPLY_LIMIT_BYTES))
        except PeerError:
            continue
    return found


@pytest.mark.usefixtures("_silent")
def test_a_site_whose_noise_is_off_stops_the_run_and_sends_nothing(
    tiny: TinyModel, tmp_path: Path, replies: dict[str, list[bytes]]
) -> None:
    setting = Setting(tmp_path, tiny)
    config = tiny_config(tiny, RECORD, rounds=ROUNDS)
    with pytest.raises(PeerError) as caught:
        start_run(config, setting.out, setting.places(), Watcher())

    message = str(caught.value)
    assert f"{SITE}: refused: This site vetoed its own sum in round 0" in message
    assert "times as long as the noise that the mechanism says" in message
    assert "its noise is missing or too small" in message
    assert Failure.of(caught.value).code is ExitCode.PEER

    assert not opened(replies[SITE])
    assert len(opened(replies["site-1"])) == len(opened(replies["site-3"])) == ROUNDS
    refusal = decode(Refusal, replies[SITE][-1], limit_bytes=REPLY_LIMIT_BYTES)
    assert refusal.code.value == "record", "a code, and nothing of the number that decided"
    assert SITE not in uploads_taken(RunFolder(setting.out).leaves())
    home = setting.state / "sites" / SITE
    assert "vetoed its own sum" in (home / "site.log").read_text("utf-8")
    for path in setting.out.rglob("*"):
        assert path.is_dir() or b"vetoed" not in path.read_bytes(), "the site's own words stay"
    ledger = Ledger.open(home / LEDGER, clock=now)
    try:
        assert ledger.entries()[-1].draw is not None, "what was charged stays charged"
        assert ledger.spent(BUDGET, 1e-5) > 0
    finally:
        ledger.close()


@pytest.mark.usefixtures("_silent")
def test_where_the_officer_switched_the_veto_off_the_raw_sum_leaves(
    tiny: TinyModel, tmp_path: Path, replies: dict[str, list[bytes]]
) -> None:
    """The defence removed; the site's own report then says that it was."""
    setting = Setting(tmp_path, tiny)
    policy = write_policy(tmp_path / "policy.toml", tiny)
    with policy.open("a", encoding="utf-8") as file:
        file.write(tomli_w.dumps({"veto": {"noise": False, "fresh": False}}))
    places = EmbeddedPlaces(
        state=setting.state, policy=policy, data=None, budget_carried=True, dataset=setting.dataset
    )
    start_run(tiny_config(tiny, RECORD, rounds=ROUNDS), setting.out, places, Watcher())
    assert len(opened(replies[SITE])) == ROUNDS
    data = (setting.state / "sites" / SITE / "facts.json").read_bytes()
    veto = SiteFacts.from_json(data).veto
    assert veto is not None
    assert (veto.sums, veto.refused) == (2, 0)
    shown = {row.kind: (row.on, row.checks) for row in veto.checks}
    assert shown == {"noise": (False, 0), "size": (True, 2), "fresh": (False, 0)}
    page = (setting.state / "sites" / SITE / "report.html").read_text("utf-8")
    assert "off by the site's policy" in page
