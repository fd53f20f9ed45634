"""What a party's folder remembers of rosters and roots, and the embedded consortium's own."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from crypto.errors import ConfigError, IntegrityError
from crypto.keyfiles import read_public, read_secret, write_public, write_secret
from crypto.root_rotation import sign_root
from crypto.roster import Member, Reason, Role, Roster, read_roster, sign_roster
from crypto.roster_succession import next_roster
from crypto.secrets import SecretBytes
from crypto.signatures import SigningKey
from secure_fl import consortium as consortium_module
from secure_fl.consortium import open_consortium
from secure_fl.deployment import coordinate
from secure_fl.initialise import initialise
from secure_fl.site_home import now, open_site_home, pinned_roster, stamp, trusted_root
from secure_fl.transport.in_process import InProcessTransport

if TYPE_CHECKING:
    from pathlib import Path

ROOT, NEXT_ROOT, LEAD, NORTH, SOUTH, NEW = [
    SigningKey.from_seed(SecretBytes(bytes([n]) * 32)) for n in range(1, 7)
]
DAY = timedelta(days=1)
TIMES = {"not_before": stamp(now() - DAY), "not_after": stamp(now() + 30 * DAY)}
MEMBERS = (
    Member("lead", Role.COORDINATOR, LEAD.public),
    Member("north", Role.SITE, NORTH.public),
    Member("south", Role.SITE, SOUTH.public),
)
FIRST = Roster("Hospitals", MEMBERS, **TIMES, serial=1)
REKEYED = (*MEMBERS[:2], dataclasses.replace(MEMBERS[2], verify_key=NEW.public))
SECOND = next_roster(FIRST, REKEYED, reasons={"south": Reason.COMPROMISED}, **TIMES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site's folder as the consortium fills it: root.pub and the first roster."""
    write_public(tmp_path / "root.pub", ROOT.public)
    put(tmp_path, FIRST)
    return tmp_path


def put(folder: Path, roster: Roster, root: SigningKey = ROOT) -> None:
    (folder / "roster.json").write_bytes(sign_roster(root, roster))


def test_the_first_roster_is_remembered_and_its_successor_takes_its_place(folder: Path) -> None:
    assert pinned_roster(folder) == FIRST
    assert pinned_roster(folder) == FIRST
    put(folder, SECOND)
    assert pinned_roster(folder) == SECOND
    assert (folder / "accepted-roster.json").read_bytes() == sign_roster(ROOT, SECOND)


def test_an_old_roster_is_refused_and_the_newer_one_stays_remembered(folder: Path) -> None:
    put(folder, SECOND)
    assert pinned_roster(folder) == SECOND
    put(folder, FIRST)
    for _ in range(2):
        with pytest.raises(IntegrityError, match="put an old file there"):
            pinned_roster(folder)
    put(folder, SECOND)
    assert pinned_roster(folder) == SECOND


def test_without_the_record_an_old_roster_and_its_stolen_key_are_good_again(folder: Path) -> None:
    put(folder, SECOND)
    pinned_roster(folder)
    put(folder, FIRST)
    (folder / "accepted-roster.json").unlink()
    assert pinned_roster(folder).member("south").verify_key == SOUTH.public


def test_a_roster_that_forgets_a_revocation_is_refused(folder: Path) -> None:
    put(folder, SECOND)
    pinned_roster(folder)
    put(folder, dataclasses.replace(FIRST, serial=3))
    with pytest.raises(ConfigError, match="drops or alters the revocation of south's key"):
        pinned_roster(folder)


def test_a_roster_that_was_refused_is_not_remembered(folder: Path) -> None:
    pinned_roster(folder)
    before = (folder / "accepted-roster.json").read_bytes()
    put(folder, SECOND, root=NEXT_ROOT)
    with pytest.raises(IntegrityError, match="carries 0 signatures"):
        pinned_roster(folder)
    late = dataclasses.replace(SECOND, not_after=stamp(now() - DAY / 2))
    put(folder, late)
    with pytest.raises(ConfigError, match="expired"):
        pinned_roster(folder)
    assert (folder / "accepted-roster.json").read_bytes() == before


def test_a_site_that_was_off_while_its_roster_expired_takes_the_next(folder: Path) -> None:
    old = dataclasses.replace(FIRST, not_after=stamp(now() - DAY / 2))
    (folder / "accepted-roster.json").write_bytes(sign_roster(ROOT, old))
    put(folder, SECOND)
    assert pinned_roster(folder) == SECOND


def test_a_damaged_record_stops_the_party(folder: Path) -> None:
    pinned_roster(folder)
    (folder / "accepted-roster.json").write_bytes(b"{}")
    with pytest.raises(IntegrityError, match=r"accepted-roster\.json.* cannot be trusted now"):
        pinned_roster(folder)


def test_the_root_is_followed_from_the_pinned_one(folder: Path) -> None:
    pinned_roster(folder)
    (folder / "root-2.json").write_bytes(sign_root(ROOT, NEXT_ROOT, 2))
    assert trusted_root(folder).key == NEXT_ROOT.public
    with pytest.raises(IntegrityError, match="carries 0 signatures"):
        pinned_roster(folder)
    put(folder, SECOND, root=NEXT_ROOT)
    assert pinned_roster(folder) == SECOND
    assert pinned_roster(folder) == SECOND


def test_a_root_that_was_followed_is_not_unfollowed(folder: Path) -> None:
    (folder / "root-2.json").write_bytes(sign_root(ROOT, NEXT_ROOT, 2))
    put(folder, FIRST, root=NEXT_ROOT)
    pinned_roster(folder)
    (folder / "root-2.json").unlink()
    put(folder, SECOND)
    with pytest.raises(IntegrityError, match="a root file was taken away"):
        pinned_roster(folder)


def test_a_chain_with_a_gap_or_from_another_root_is_refused(folder: Path) -> None:
    third = SigningKey.from_seed(SecretBytes(b"\x09" * 32))
    (folder / "root-3.json").write_bytes(sign_root(NEXT_ROOT, third, 3))
    with pytest.raises(IntegrityError, match="carries 0 signatures"):
        trusted_root(folder)
    (folder / "root-2.json").write_bytes(sign_root(ROOT, NEXT_ROOT, 2))
    assert trusted_root(folder).key == third.public
    (folder / "root-5.json").write_bytes(sign_root(third, ROOT, 5))
    with pytest.raises(ConfigError, match="what is between them is missing"):
        trusted_root(folder)


def test_files_of_other_names_are_no_roots(folder: Path) -> None:
    for name in ("root-02.json", "root-0.json", "root-x.json", "root-2.json.bak"):
        (folder / name).write_bytes(b"not a root")
    assert trusted_root(folder).key == ROOT.public


def test_a_site_with_a_revoked_key_is_told_so(folder: Path) -> None:
    write_secret(folder / "identity.key", SOUTH.seed())
    put(folder, SECOND)
    with pytest.raises(IntegrityError, match="was revoked with roster 2"):
        open_site_home(folder)


def test_no_run_is_begun_under_an_old_roster(folder: Path) -> None:
    transport = InProcessTransport({"north": lambda request: request}, workers=1)
    (folder / "coordinator.toml").write_text('schema = "secure-fl.coordinator.v1"\n')
    put(folder, SECOND)
    pinned_roster(folder)
    put(folder, FIRST)
    with pytest.raises(IntegrityError, match="put an old file there"):
        coordinate(transport, folder)
    assert not (folder / "run").exists()


# The embedded consortium.


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    initialise(tmp_path / "begin")
    return tmp_path / "begin" / "policy.toml"


def opened(state: Path, sites: int, policy: Path) -> Roster:
    consortium = open_consortium(state, sites, policy)
    consortium.close()
    return consortium.roster


def test_an_embedded_consortium_keeps_its_roster_while_it_fits(
    tmp_path: Path, policy: Path
) -> None:
    first = opened(tmp_path / "state", 3, policy)
    assert opened(tmp_path / "state", 3, policy) == first
    assert (first.serial, first.revoked) == (1, ())


def test_a_site_that_was_left_out_comes_back_under_a_new_key(tmp_path: Path, policy: Path) -> None:
    state = tmp_path / "state"
    first, second, third = (opened(state, sites, policy) for sites in (3, 2, 3))
    assert [each.serial for each in (first, second, third)] == [1, 2, 3]
    assert [(each.name, each.reason) for each in second.revoked] == [("site-3", Reason.LEFT)]
    assert third.revoked == second.revoked
    assert third.sites()[:2] == first.sites()[:2]
    old = SigningKey.from_seed(read_secret(state / "sites" / "site-3" / "revoked-2.key"))
    assert old.public == first.member("site-3").verify_key != third.member("site-3").verify_key


def test_a_site_whose_key_was_lost_gets_another_and_the_old_one_is_revoked(
    tmp_path: Path, policy: Path
) -> None:
    first = opened(tmp_path / "state", 2, policy)
    (tmp_path / "state" / "sites" / "site-2" / "identity.key").unlink()
    second = opened(tmp_path / "state", 2, policy)
    revoked = second.revocation(first.member("site-2").verify_key)
    assert revoked is not None
    assert (revoked.name, revoked.reason) == ("site-2", Reason.SUPERSEDED)


def test_an_embedded_roster_that_expired_is_followed_by_another(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(tmp_path / "state", 2, policy)
    later = now() + timedelta(days=400)
    monkeypatch.setattr(consortium_module, "now", lambda: later)
    monkeypatch.setattr("secure_fl.site_home.now", lambda: later)
    second = opened(tmp_path / "state", 2, policy)
    assert (second.serial, second.members) == (2, first.members)


def test_a_state_folder_put_back_from_a_backup_in_part_is_found(
    tmp_path: Path, policy: Path
) -> None:
    state = tmp_path / "state"
    opened(state, 3, policy)
    path = state / "consortium" / "roster.json"
    backup = path.read_bytes()
    opened(state, 2, policy)
    opened(state, 4, policy)
    path.write_bytes(backup)
    assert read_roster(backup, [read_public(state / "consortium" / "root.pub")]).serial == 1
    with pytest.raises(IntegrityError, match="accepted roster 3"):
        open_consortium(state, 3, policy)
