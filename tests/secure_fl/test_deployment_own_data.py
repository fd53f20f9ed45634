"""A deployment on own files: each party has a folder, each site its file in it, no other record."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import tomli_w
from tiny_model import TinyModel
from tiny_run import RECORD, tiny_config, write_policy

from crypto.errors import ConfigError, PeerError
from crypto.keyfiles import read_public
from secure_fl import deployment
from secure_fl.consortium import open_consortium, site_names
from secure_fl.deployment import coordinate, open_site
from secure_fl.rounds.site import Site
from secure_fl.runfolder import RunFolder
from secure_fl.sites.scrubbing import RecordFacts
from secure_fl.transport.in_process import InProcessTransport
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LABELS = ["bad", "good"]
PATIENT: dict[str, Any] = RECORD | {"unit": "patient"}
NONE: dict[str, Any] = {"mode": "none"}
CANARY = "Zorbina Quuxdottir"
"""Stands in every text of every site, and in no text of the evaluation set."""


@dataclass(frozen=True)
class Parties:
    """The folders of a coordinator and three sites, each filled as its operator would."""

    state: Path
    names: tuple[str, ...] = site_names(3)

    @property
    def coordinator(self) -> Path:
        return self.state / "coordinator"

    def site(self, name: str) -> Path:
        return self.state / "sites" / name

    def transport(self) -> InProcessTransport:
        return InProcessTransport({name: self._handler(name) for name in self.names}, workers=1)

    def coordinate(self) -> Path:
        coordinate(self.transport(), self.coordinator)
        return self.coordinator / "run"

    def alter(self, file: Path, change: Callable[[dict[str, Any]], None]) -> None:
        table = tomllib.loads(file.read_text("utf-8"))
        change(table)
        file.write_text(tomli_w.dumps(table), "utf-8")

    def _handler(self, name: str) -> Callable[[bytes], bytes]:
        """Open the folder anew for every message, as a SuperNode's process does."""

        def handle(request: bytes) -> bytes:
            handler = open_site(self.site(name))
            site = handler.__self__  # type: ignore[attr-defined]
            assert isinstance(site, Site)
            try:
                return handler(request)
            finally:
                site._parts.ledger.close()

        return handle


def write_rows(path: Path, count: int, *, secret: str = "") -> None:
    rows = [f"{path.stem} {secret} wrote {n};{LABELS[n % 2]};p{n // 2}" for n in range(count)]
    path.write_text("\n".join(("report;grade;patient", *rows, "")), "utf-8")


@pytest.fixture
def parties(tiny: TinyModel, tmp_path: Path) -> Parties:
    return made(tiny, tmp_path, NONE)


def made(tiny: TinyModel, folder: Path, privacy: dict[str, Any]) -> Parties:
    policy = write_policy(folder / "policy.toml", tiny, dataset="own")
    table = tomllib.loads(policy.read_text("utf-8"))
    if privacy is PATIENT:
        table["datasets"][0] |= {"unit": "patient", "unit_column": "patient"}
    policy.write_text(tomli_w.dumps(table), "utf-8")
    parties = Parties(folder / "state")
    open_consortium(parties.state, len(parties.names), policy).close()
    columns = {"text": "report", "label": "grade", "unit": "patient", "delimiter": ";"}
    runtime = {"base_model": str(tiny.folder)}
    for number, name in enumerate(parties.names, start=1):
        file = parties.site(name) / f"ward-{number}.csv"
        write_rows(file, 20 * number, secret=CANARY)
        # Relative: the tests are started in another folder, as a SuperNode is.
        data = {"dataset": "own", "path": file.name, "labels": LABELS, **columns}
        site = {"schema": "secure-fl.site.v1", "data": data, "runtime": runtime}
        (parties.site(name) / "site.toml").write_text(tomli_w.dumps(site), "utf-8")
    common = parties.coordinator / "common.csv"
    write_rows(common, 12)
    config = tiny_config(tiny, privacy, sites=len(parties.names))
    run = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    run["mechanism"]["data"] |= {"dataset": "own", "labels": LABELS}
    run["data"] = {"path": common.name, **columns}
    (parties.coordinator / "run.toml").write_text(tomli_w.dumps(run), "utf-8")
    empty = 'schema = "secure-fl.coordinator.v1"\n'
    (parties.coordinator / "coordinator.toml").write_text(empty, "utf-8")
    return parties


@pytest.mark.parametrize("privacy", [NONE, RECORD, PATIENT], ids=["none", "record", "patient"])
def test_every_site_trains_on_its_file_and_no_text_of_it_leaves(
    tiny: TinyModel, tmp_path: Path, privacy: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    parties = made(tiny, tmp_path, privacy)
    run = parties.coordinate()
    verify_run(run, read_public(parties.coordinator / "root.pub"))
    facts = json.loads((run / "facts.json").read_bytes())
    assert facts["data"]["source"] == "sites-own"
    assert facts["data"]["evaluation_records"] == 12
    assert facts["data"]["labels"] == LABELS
    assert [row["sites_in_sum"] for row in facts["rounds"]] == [3, 3]
    assert RunFolder(run).metrics()[-1].accuracy is not None
    held = [path for path in parties.coordinator.rglob("*") if path.is_file()]
    assert len(held) > 10
    for secret in (CANARY.encode(), b"ward-1 ", b"ward-1.csv"):
        assert not [path.name for path in held if secret in path.read_bytes()]
    assert CANARY not in caplog.text
    for name in parties.names:
        assert not (parties.site(name) / "site.log").exists(), "nothing was refused"


def test_a_rehearsals_folder_begins_where_the_file_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path | None] = []

    def load(_: str, *, data: Path | None, **__: object) -> None:
        asked.append(data)
        raise InterruptedError

    monkeypatch.setattr(deployment, "load_dataset", load)
    name = "finance.phrasebank"
    config = tiny_config(TinyModel(tmp_path, "0" * 64), NONE, dataset=name)
    for folder in ("phrasebank", str(tmp_path / "absolute")):
        site = deployment.SiteData(dataset=name, folder=folder)
        with pytest.raises(InterruptedError):
            deployment._site_records(site, tmp_path / "site-1", RecordFacts(), allow_hub=False)
        file = deployment.CoordinatorFile(schema="secure-fl.coordinator.v1", folder=folder)
        with pytest.raises(InterruptedError):
            deployment._evaluation_set(config, file, tmp_path / "coordinator")
    absolute = tmp_path / "absolute"
    here = (tmp_path / "site-1" / "phrasebank", tmp_path / "coordinator" / "phrasebank")
    assert asked == [*here, absolute, absolute]


def test_a_site_under_other_labels_is_refused_before_it_trains(
    parties: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    def turn(table: dict[str, Any]) -> None:
        table["data"]["labels"] = LABELS[::-1]

    parties.alter(parties.site("site-2") / "site.toml", turn)
    with pytest.raises(PeerError):
        parties.coordinate()
    said = caplog.text + (parties.site("site-2") / "site.log").read_text("utf-8")
    assert "this site's good, bad, in this order" in said
    assert CANARY not in said
    assert not (parties.coordinator / "run" / "manifest.json").exists()


def unknown_label(site: Path, _: dict[str, Any]) -> str:
    path = site / "ward-2.csv"
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{CANARY};{CANARY};p1\n")
    return f"Row 41 of {path} has an unknown label"


def no_text(site: Path, _: dict[str, Any]) -> str:
    path = site / "ward-2.csv"
    path.write_text(f"report;grade;patient\n{CANARY};good;p1\n ;bad;p2\n", "utf-8")
    return f"Row 2 of {path} has an empty text"


def no_unit(site: Path, _: dict[str, Any]) -> str:
    path = site / "ward-2.csv"
    path.write_text(f"report;grade;patient\n{CANARY};good;\n", "utf-8")
    return f"Row 1 of {path} has no unit"


def absent(site: Path, _: dict[str, Any]) -> str:
    (site / "ward-2.csv").unlink()
    return f"There is no file {site / 'ward-2.csv'}"


def other_column(site: Path, table: dict[str, Any]) -> str:
    table["data"]["label"] = "verdict"
    return f"{site / 'ward-2.csv'} has no column 'verdict'"


def only_labels_of_another(site: Path, table: dict[str, Any]) -> str:
    table["data"]["labels"] = ["benign", "malign"]
    return f"Row 1 of {site / 'ward-2.csv'} has an unknown label"


@pytest.mark.parametrize(
    "spoil", [unknown_label, no_text, no_unit, absent, other_column, only_labels_of_another]
)
def test_a_file_that_cannot_be_used_is_named_by_row_and_never_shown(
    parties: Parties, spoil: Callable[[Path, dict[str, Any]], str]
) -> None:
    site, named = parties.site("site-2"), []
    parties.alter(site / "site.toml", lambda table: named.append(spoil(site, table)))
    with pytest.raises(ConfigError) as refusal:
        open_site(site)
    assert named[0] in str(refusal.value)
    assert CANARY not in str(refusal.value)


def test_the_run_goes_on_when_the_file_was_mended(
    parties: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    file = parties.site("site-3") / "ward-3.csv"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(PeerError):
        parties.coordinate()
    assert f"Line 61 of {file} has no end" in caplog.text
    assert CANARY not in caplog.text
    file.write_bytes(whole)
    run = parties.coordinate()
    verify_run(run, read_public(parties.coordinator / "root.pub"))


def no_own_file(table: dict[str, Any]) -> None:
    del table["data"]


def absent_file(table: dict[str, Any]) -> None:
    table["data"]["path"] += ".gone.csv"


def other_labels(table: dict[str, Any]) -> None:
    table["mechanism"]["data"]["labels"] = ["benign", "malign"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_own_file, r"the table \[data\]"),
        (absent_file, "There is no file"),
        (other_labels, r"Row 1 of .*common\.csv has an unknown label"),
    ],
)
def test_a_coordinators_own_mistake_begins_no_run(
    parties: Parties, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    parties.alter(parties.coordinator / "run.toml", change)
    with pytest.raises(ConfigError, match=said):
        parties.coordinate()
    assert not (parties.coordinator / "run").exists()
