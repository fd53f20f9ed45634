"""Re-reads a stored transcript: every signature, the root, and the order of the rounds."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crypto.checkpoint import Checkpoint
from crypto.codec import Message, decode
from crypto.digests import canonical_json
from crypto.errors import ConfigError, IntegrityError, PeerError
from crypto.homomorphic_keys import ChannelKeys
from crypto.masked_sum import Adversary, Confirmation, RoundBinding, SiteKeys
from crypto.merkle import MerkleLog
from crypto.signatures import Signed, schema_of
from privacy.events import to_json as event_to_json
from secure_fl.canaries import check_opened
from secure_fl.config import SharedNoisePrivacy
from secure_fl.guarantee import planned_event, round_event
from secure_fl.rounds.journal import HEADED
from secure_fl.rounds.messages import (
    STATEMENT_LIMIT_BYTES,
    Applied,
    ExtractSent,
    Hello,
    Joined,
    KeyMade,
    Released,
    RoundClose,
    RoundHeader,
    SharesSent,
    Uploaded,
)
from secure_fl.rounds.reading import NO_DIGEST, read_statement, session_of, statement_digest
from secure_fl.rounds.site_checks import check_session
from secure_fl.views import Protection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crypto.roster import Roster
    from secure_fl.config import Mechanism
    from secure_fl.manifest import RunPredicate
    from secure_fl.rounds.journal import HeadedStatement
    from secure_fl.rounds.messages import Heads
    from secure_fl.runfolder import RunFolder

_COORDINATORS = (Hello, RoundHeader, RoundClose)
_SITES = (
    Joined,
    SiteKeys,
    ChannelKeys,
    SharesSent,
    KeyMade,
    Uploaded,
    Confirmation,
    Released,
    Applied,
    ExtractSent,
)
_KINDS: dict[str, type[Message]] = {schema_of(kind): kind for kind in (*_COORDINATORS, *_SITES)}


@dataclass
class CheckedTranscript:
    """What a transcript that checked out shows.

    Attributes:
        joined: how each site that took part last joined.
        extracts: each site's last signed ledger extract; a site that left before the end of the
            last round has none.
        uploads: per site, the (round, attempt) pairs in which it sent an update.
        heads: the head of its ledger that each site signed last.
        survivors: per round, from 0, the sites in the sum that counts.
        cohorts: per round, how many sites that sum's header named: among them noise was shared.
        began: per round, the digest of the parameters with which the sum that counts began.
        parameters: under homomorphic sums, per round, the digest of the parameters that the sites
            came to.
        openings: per round, how often it was begun.
        sessions: how often the run was begun or resumed.
    """

    joined: dict[str, Joined] = field(default_factory=dict)
    extracts: dict[str, ExtractSent] = field(default_factory=dict)
    uploads: dict[str, set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))
    heads: dict[str, bytes] = field(default_factory=dict)
    survivors: dict[int, tuple[str, ...]] = field(default_factory=dict)
    cohorts: dict[int, int] = field(default_factory=dict)
    began: dict[int, bytes] = field(default_factory=dict)
    parameters: dict[int, bytes] = field(default_factory=dict)
    openings: Counter[int] = field(default_factory=Counter)
    sessions: int = 0


@dataclass
class _Open:
    """One opened round while its statements are read."""

    header: RoundHeader
    header_digest: bytes
    uploaded: set[str] = field(default_factory=set)
    close: RoundClose | None = None
    confirmed: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)
    applied: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    """Per site, the digests of the sum that it decrypted and of what it came to."""

    def agreed(self) -> bytes | None:
        """Return the digest of the parameters that all sites came to which decrypted its sum."""
        stated = set(self.applied.values())
        summed = None if self.close is None else self.close.sum_digest
        if len(stated) != 1 or next(iter(stated))[0] != summed:
            return None
        return next(iter(stated))[1]

    def binding(self) -> bytes:
        """Return the digest of what the round's masks were bound to."""
        header = self.header
        return (
            RoundBinding(header.round, self.header_digest, header.cohort, header.parameter_digest)
            .record(header.session)
            .digest()
        )


def check_transcript(
    folder: RunFolder, roster: Roster, mechanism: Mechanism, predicate: RunPredicate
) -> CheckedTranscript:
    """Return what the transcript in `folder` shows.

    Raises:
        IntegrityError: a leaf is damaged or of unknown kind, the root is not the signed one, or
            the statements do not make up the run's rounds.
        PeerError: a statement is not by the party that it names.
    """
    leaves = folder.leaves()
    root = MerkleLog(leaves).root()
    coordinator = roster.coordinator().name
    checkpoint = read_statement(folder.checkpoint(), Checkpoint, coordinator, roster)
    if (
        checkpoint.root != root
        or checkpoint.size != len(leaves)
        or checkpoint.run_id.hex() != predicate.run_id
        or root.hex() != predicate.transcript_root
        or len(leaves) != predicate.transcript_size
    ):
        raise IntegrityError(
            "The transcript does not have the signed Merkle root: a statement was changed, "
            "removed, added or moved."
        )
    return read_transcript(leaves, roster, mechanism, checkpoint.run_id)


def read_transcript(
    leaves: Iterable[bytes], roster: Roster, mechanism: Mechanism, run_id: bytes
) -> CheckedTranscript:
    """Return what `leaves` show of the run `run_id` of `mechanism` under `roster`.

    Raises:
        IntegrityError: a leaf is damaged, by another party than it names, or out of order, or a
            round of the plan was not opened.
    """
    reader = _Reader(roster, mechanism, run_id)
    reader.read(leaves)
    return reader.checked


def check_statements(leaves: Iterable[bytes], roster: Roster) -> None:
    """Return if every leaf of an unfinished transcript is a statement of whom it names.

    Raises:
        IntegrityError: a leaf was changed; going on would sign a log that never verifies.
    """
    for index, leaf in enumerate(leaves):
        try:
            _opened(decode(Signed, leaf, limit_bytes=2 * STATEMENT_LIMIT_BYTES), roster)
        except PeerError as error:
            raise IntegrityError(
                f"The stored transcript was changed at statement {index}: the run cannot be gone "
                f"on with, since its record would never verify. Start a new run. ({error})"
            ) from error


def _opened(signed: Signed, roster: Roster) -> Message:
    """Return the statement in `signed`, by the party whose kind of statement it is."""
    kind = _KINDS.get(signed.label)
    if kind is None:
        raise PeerError(f"a statement of unknown kind {signed.label!r} stands in the log.")
    by = roster.coordinator().name if kind in _COORDINATORS else signed.signer
    return read_statement(signed, kind, by, roster)


class _Reader:
    """Follows the statements of a transcript in order."""

    def __init__(self, roster: Roster, mechanism: Mechanism, run_id: bytes) -> None:
        self.checked = CheckedTranscript()
        self._roster = roster
        self._mechanism = mechanism
        self._run_id = run_id
        self._attempts: dict[bytes, int] = {}
        self._open: dict[bytes, _Open] = {}
        self._bindings: dict[bytes, bytes] = {}
        self._keys: dict[bytes, bytes] = {}
        self._heads: dict[str, Heads] = {}
        self._homomorphic = mechanism.protection is Protection.HOMOMORPHIC
        self._plan = canonical_json(event_to_json(planned_event(mechanism)))
        self._per_round = canonical_json(event_to_json(round_event(mechanism)))

    def read(self, leaves: Iterable[bytes]) -> None:
        """Read every statement, then check that each planned round was opened."""
        for index, leaf in enumerate(leaves):
            try:
                self._take(decode(Signed, leaf, limit_bytes=2 * STATEMENT_LIMIT_BYTES))
            except PeerError as error:
                raise IntegrityError(f"Transcript, statement {index}: {error}") from error
        for opened in self._open.values():
            if opened.close is not None and self._is_complete(opened):
                self.checked.survivors[opened.header.round] = opened.close.survivors
                self.checked.cohorts[opened.header.round] = len(opened.header.cohort)
                self.checked.began[opened.header.round] = opened.header.parameter_digest
                agreed = opened.agreed()
                if agreed is not None:
                    self.checked.parameters[opened.header.round] = agreed
        missing = sorted(set(range(self._mechanism.training.rounds)) - set(self.checked.survivors))
        if missing:
            raise IntegrityError(
                f"The transcript does not show that round {missing[0] + 1} was opened by enough "
                "sites."
            )

    def _is_complete(self, opened: _Open) -> bool:
        close, needed = opened.close, self._mechanism.needed_survivors()
        return (
            close is not None
            and len(close.survivors) >= max(needed, self._noised(len(opened.header.cohort)))
            and set(close.survivors) <= opened.uploaded
            and len(opened.released & set(close.survivors)) >= needed
            and self._is_confirmed(opened, needed)
            and (not self._homomorphic or opened.agreed() is not None)
        )

    def _noised(self, cohort: int) -> int:
        """Return how many survivors of a cohort the claimed noise needs, where it is shared."""
        if not isinstance(self._mechanism.privacy, SharedNoisePrivacy):
            return 0
        return cohort - self._mechanism.paid_drop_outs(cohort)

    def _is_confirmed(self, opened: _Open, needed: int) -> bool:
        """Whether, against a malicious coordinator, enough survivors confirmed one list."""
        masked = self._mechanism.protection is Protection.MASKED
        if not masked or self._mechanism.adversary is not Adversary.MALICIOUS:
            return True
        return len(opened.confirmed) >= needed

    def _take(self, signed: Signed) -> None:
        statement = _opened(signed, self._roster)
        if isinstance(statement, Hello):
            self._hello(statement)
            return
        self._check_party(statement, signed.signer)
        if isinstance(statement, HEADED):
            self._check_heads(statement)
        if isinstance(statement, (Joined, Uploaded, Applied, ExtractSent)):
            self.checked.heads[statement.site] = statement.heads.ledger
        if isinstance(statement, RoundHeader):
            self._header(statement, statement_digest(signed))
        elif isinstance(statement, Joined):
            self._joined(statement)
        elif isinstance(statement, ExtractSent):
            self._extract(statement)
        elif isinstance(statement, Confirmation):
            self._confirmed(statement)
        elif isinstance(statement, KeyMade):
            _require(statement.session not in self._keys, "a second key of one session was made.")
            self._keys[statement.session] = statement.key
        elif isinstance(statement, (Uploaded, RoundClose, Released, Applied)):
            self._of_round(statement)

    def _joined(self, joined: Joined) -> None:
        _require(joined.event == self._plan, "a site reserved another plan.")
        _require(
            set(self._mechanism.data.scrub) <= set(joined.looked_for),
            "a site did not look for everything that the run takes out of records.",
        )
        _require(
            bool(joined.canaries) is (self._mechanism.canaries is not None),
            "a site is committed to canaries in a run without, or to none in a run with them.",
        )
        before = self.checked.joined.get(joined.site, joined)
        _require(
            before.canaries == joined.canaries,
            "a site that came back committed itself to other canaries than before.",
        )
        self.checked.joined[joined.site] = joined

    def _extract(self, sent: ExtractSent) -> None:
        joined = self.checked.joined.get(sent.site)
        if joined is None:
            raise PeerError("a site that never joined sent what its ledger holds.")
        check_opened(self._mechanism, sent.site, joined.canaries, sent.canaries)
        self.checked.extracts[sent.site] = sent

    def _header(self, header: RoundHeader, digest: bytes) -> None:
        _require(
            header.sum_key == self._keys.get(header.session),
            "a round names another key than the one that a site made for its session.",
        )
        before = [
            opened.agreed()
            for opened in self._open.values()
            if opened.header.round == header.round - 1 and self._is_complete(opened)
        ]
        _require(
            not self._homomorphic or not before or header.parameter_digest in before,
            "a round begins from other parameters than those the sites came to before.",
        )
        self._open[digest] = _Open(header, digest)
        self._bindings[self._open[digest].binding()] = digest
        self.checked.openings[header.round] += 1

    def _hello(self, hello: Hello) -> None:
        _require(
            hello.run_id == self._run_id
            and hello.config_digest == self._mechanism.digest()
            and hello.roster_digest == self._roster.digest(),
            "a session of another run, configuration or roster stands in the log.",
        )
        self.checked.sessions += 1
        # Only the session that closed the last round says what a ledger held at the end.
        self.checked.extracts.clear()
        try:
            session = session_of(hello)
        except ConfigError as error:
            raise PeerError(f"a session that nobody can join stands in the log: {error}") from error
        check_session(session, self._mechanism)
        _require(
            set(hello.sites) <= {member.name for member in self._roster.sites()},
            "a session with sites outside of the roster stands in the log.",
        )
        _require(
            all(hello.attempt > attempt for attempt in self._attempts.values()),
            f"attempt {hello.attempt} was begun after a later one, or a second time.",
        )
        self._attempts[session.digest()] = hello.attempt

    def _check_party(self, statement: Message, signer: str) -> None:
        session = getattr(statement, "session", b"")
        _require(session in self._attempts, "a statement of a session that was never opened.")
        site = getattr(statement, "site", signer)
        _require(site == signer, "a party spoke in the name of another.")

    def _check_heads(self, statement: HeadedStatement) -> None:
        """Return if the site did not answer from an older copy of its records.

        One that lost them begins again from nothing, and says so when it joins.
        """
        heads, site = statement.heads, statement.site
        last = self._heads.get(site, heads)
        began = isinstance(statement, Joined) and heads.entries == 0 and heads.journal == NO_DIGEST
        _require(
            began or heads.entries > last.entries or heads == last,
            f"{site} signed that it had answered {heads.entries} requests of this run, and before "
            f"that {last.entries}: it answered from an older copy of its records.",
        )
        self._heads[site] = heads

    def _confirmed(self, statement: Confirmation) -> None:
        opened = self._open.get(self._bindings.get(statement.binding, b""))
        if opened is None or opened.close is None:
            raise PeerError("survivors were confirmed of a round that was not closed.")
        _require(
            statement.session == opened.header.session
            and statement.survivors == opened.close.survivors
            and statement.threshold == opened.close.threshold
            and statement.round == opened.close.round
            and statement.site in statement.survivors,
            "a site confirmed other survivors than the round was closed for.",
        )
        opened.confirmed.add(statement.site)

    def _of_round(self, statement: Uploaded | RoundClose | Released | Applied) -> None:
        opened = self._open.get(statement.header_digest)
        if opened is None or (opened.header.session, opened.header.round) != (
            statement.session,
            statement.round,
        ):
            raise PeerError("a statement of a round whose header is not in the log.")
        if isinstance(statement, RoundClose):
            _require(opened.close is None, "a round was closed twice.")
            opened.close = statement
        elif isinstance(statement, Uploaded):
            _require(statement.site in opened.header.cohort, "an update from outside the cohort.")
            _require(statement.event == self._per_round, "a site charged another event.")
            opened.uploaded.add(statement.site)
            attempt = self._attempts[statement.session]
            self.checked.uploads[statement.site].add((statement.round, attempt))
        else:
            survivors = opened.close.survivors if opened.close is not None else ()
            _require(statement.survivors == survivors, "a sum was opened for other survivors.")
            self._opened(statement, opened)

    def _opened(self, statement: Released | Applied, opened: _Open) -> None:
        applied = isinstance(statement, Applied)
        _require(applied is self._homomorphic, "a site opened the sum as under another protection.")
        opened.released.add(statement.site)
        if isinstance(statement, Applied):
            stated = (statement.sum_digest, statement.parameter_digest)
            _require(
                opened.applied.setdefault(statement.site, stated) == stated,
                "a site came to two results of one round.",
            )


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not condition:
        raise PeerError(message)
