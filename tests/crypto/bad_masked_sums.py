"""Messages of masked sums that have to be refused, with the words that the refusal says.

Each is an edited message of a round in `make_vectors.py`; nothing here imports `crypto`. The
steps, and what has happened before each, are described in `vectors/README.md`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import reference_masked_sum as twin
from reference_masked_run import MASK_KEY, SELF_MASK, Round, packed
from reference_masked_sum import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Case = dict[str, Any]

A, B, C, D = "site-a", "site-b", "site-c", "site-d"
ZERO = bytes(32)
KEYS = (
    *("schema", "session", "site", "round", "channel", "channel_kem"),
    *("mask", "mask_kem", "commitment"),
)
DEALT = ("schema", "mask_key", "self_mask", "sealed", "channel_ciphertext", "pair_half")
CONFIRMATION = ("schema", "session", "round", "site", "binding", "survivors", "threshold")
RELEASE = ("schema", "session", "round", "site", "survivors", "shares")
SESSION = (
    *("schema", "run_id", "attempt", "roster", "config", "suite", "adversary", "width_bits"),
    *("sites", "threshold", "degree", "risk"),
)
ORDER_8 = 0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F


def changed(names: tuple[str, ...], fields: list[Any], **changes: object) -> bytes:
    """A message with some of its fields replaced."""
    return encoded(*(changes.get(name, field) for name, field in zip(names, fields, strict=True)))


def flipped(data: bytes, at: int) -> bytes:
    place = at % len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def u_coordinate(value: int) -> bytes:
    return value.to_bytes(32, "little")


def bad_cases(runs: Mapping[str, Round]) -> list[Case]:
    """All of them, in the order of a round."""
    run, narrow, hybrid = runs["classical"], runs["narrow"], runs["hybrid"]
    return [
        *_sessions(run),
        *_encodings(run),
        *_announcements(run),
        *_hybrid(hybrid),
        *_lists(run),
        *_deals(run),
        *_inboxes(run),
        *_cohorts(run),
        *_uploads(run, narrow),
        *_survivors(),
        *_confirmations(narrow),
        *_words(narrow),
        *_releases(run),
        *_openings(run),
        *_states(run),
    ]


def case(step: str, name: str, says: str, run: str = "classical", **parts: Any) -> Case:  # noqa: ANN401 - the rest of a case
    error = parts.pop("error", "PeerError")
    return {"name": name, "run": run, "step": step, **parts, "error": error, "says": says}


def _sessions(run: Round) -> Iterator[Case]:
    def of(name: str, says: str, error: str = "ConfigError", **changes: object) -> Case:
        message = changed(SESSION, run.settings.fields(), **changes)
        return case("session", name, says, message=message, error=error)

    many = [f"site-{at:03d}" for at in range(101)]
    yield of("a threshold of one", "at 1 each site could read", sites=[A, B], threshold=1, degree=1)
    yield of("a threshold of half the sites", "two disjoint groups", threshold=2)
    yield of("a threshold above the sites", "threshold of 5 over 4 sites", threshold=5)
    yield of("one site alone", "at least 2", sites=[A], threshold=1, degree=0)
    yield of("sites out of order", "sorted and distinct", sites=[B, A, C, D])
    yield of("a site twice", "sorted and distinct", sites=[A, A, C, D])
    yield of("too many for all to deal to all", "at most 100", sites=many, threshold=68, degree=100)
    yield of("a degree among few sites", "a degree was given", degree=2)
    yield of("a risk in the complete graph", "no risk is assumed", risk=[1, 1])
    yield of(
        "a degree that does not bear its risk",
        "do not bear 6 drop-outs and 12 corrupted",
        sites=[*many, *(f"site-{at}" for at in range(101, 120))],
        threshold=12,
        degree=18,
        risk=[6, 12],
    )
    yield of("16 bits", "not a SessionRecord", "PeerError", width_bits=16)
    yield of("an unknown suite", "not a SessionRecord", "PeerError", suite="none")
    yield of("a short run id", "not a SessionRecord", "PeerError", run_id=bytes(15))
    yield of("a negative attempt", "not a SessionRecord", "PeerError", attempt=-1)


def _encodings(run: Round) -> Iterator[Case]:
    """One value has one encoding: shown on an announcement, true of every message."""
    good = run.announcement(B)
    name = b"\xa6site-b"

    def of(what: str, message: bytes, says: str = "not a SiteKeys") -> Case:
        return case("announce", what, says, sender=B, message=message)

    longer = "not its canonical one"
    yield of("nothing", b"")
    yield of("truncated", good[:-1])
    yield of("left-over bytes", good + b"\x00")
    yield of("a round in two bytes", good.replace(name + b"\x07", name + b"\xcc\x07"), longer)
    yield of("a name with a longer header", good.replace(name, b"\xd9\x06site-b"), longer)
    yield of("bytes with a longer header", good.replace(b"\xc4\x20", b"\xc5\x00\x20", 1), longer)
    yield of("an array with a longer header", b"\xdc\x00\x09" + good[1:], longer)
    yield of("text in place of bytes", good.replace(b"\xc4\x20", b"\xd9\x20", 1))
    yield of("oversize", good + bytes(4096), "exceeds the limit of 4096")
    yield of("another version", good.replace(b"site-keys.v2", b"site-keys.v1"))
    yield of("another kind of message", encoded(*run.release_fields(B)))
    yield of("a field missing", encoded(*run.key_fields(B)[:-1]))
    yield of("a field too many", encoded(*run.key_fields(B), None))


def _announcements(run: Round) -> Iterator[Case]:
    fields = run.key_fields(B)

    def of(what: str, says: str, before: tuple[bytes, ...] = (), **changes: object) -> Case:
        message = changed(KEYS, fields, **changes)
        return case("announce", what, says, sender=B, before=list(before), message=message)

    order = "low order"
    yield of("replayed from the round before", "keys for round 6, but rounds 7 and 8", round=6)
    yield of("two rounds ahead", "keys for round 9, but rounds 7 and 8", round=9)
    yield of("a negative round", "not a SiteKeys", round=-1)
    yield of("another session", "keys of another session", session=ZERO)
    yield of("a stranger's name", "not a site of this session", site="site-x")
    yield of("a name that none can have", "not a SiteKeys", site="Site-B")
    yield of("a key of 31 bytes", "not a SiteKeys", mask=bytes(31))
    yield of("a mask key of low order, zero", order, mask=ZERO)
    yield of("a channel key of low order, one", order, channel=u_coordinate(1))
    yield of("a mask key of order eight", order, mask=u_coordinate(ORDER_8))
    yield of("a mask key of order two", order, mask=u_coordinate(twin.CURVE_PRIME - 1))
    nine = u_coordinate(twin.CURVE_PRIME + 9)
    yield of("the base point, not reduced", "another than its one encoding", mask=nine)
    high = fields[6][:-1] + bytes([fields[6][-1] | 0x80])
    yield of("a key with its ignored bit set", "another than its one encoding", mask=high)
    yield of("a post-quantum key in a suite without", "whose cipher suite has none", mask_kem=b"x")
    good = run.announcement(B)
    yield of("a second key set", "two different key sets", (good,), mask=u_coordinate(9))
    copied = run.key_fields(C)[6]
    yield of("another site's mask key", "announced too", (run.announcement(C),), mask=copied)
    as_channel = run.key_fields(C)[6]
    yield of(
        "another's mask key as channel", "announced too", (run.announcement(C),), channel=as_channel
    )
    yield of("one key in both roles", "announced too", channel=fields[6])


def _hybrid(run: Round) -> Iterator[Case]:
    fields = run.key_fields(B)

    def of(what: str, says: str, **changes: object) -> Case:
        message = changed(KEYS, fields, **changes)
        return case("announce", what, says, "hybrid", sender=B, before=[], message=message)

    yield of("no post-quantum key in the hybrid suite", "public key of 0 bytes", mask_kem=b"")
    yield of("a post-quantum key cut short", "public key of 1183", channel_kem=fields[5][:-1])
    unreduced = b"\xff" * 1184
    yield of(
        "coefficients that are not reduced", "coefficient is not below 3329", mask_kem=unreduced
    )
    dealt = run.dealt_fields(A, B)
    for what, half, says in (
        ("a half that was altered", flipped(dealt[5], -1), "does not open"),
        ("a half for another site", run.dealt_fields(A, C)[5], "does not open"),
        ("no half at all", b"", "wrapped secret of 0 bytes"),
    ):
        message = changed(DEALT, dealt, pair_half=half)
        yield case("inbox", what, says, "hybrid", receiver=B, messages={A: message})
    swapped = changed(DEALT, dealt, channel_ciphertext=run.dealt_fields(C, B)[4])
    yield _unusable("a bundle under another's encapsulation", {A: swapped}, "hybrid", B)


def _lists(run: Round) -> Iterator[Case]:
    """What the coordinator says that all announced, to site A."""
    good = {site: run.announcement(site) for site in run.settings.sites}

    def of(what: str, says: str, **messages: bytes) -> Case:
        named = {site.replace("_", "-"): message for site, message in messages.items()}
        listed = {site: message for site, message in (good | named).items() if message}
        return case("list", what, says, receiver=A, messages=listed)

    own = changed(KEYS, run.key_fields(A), mask=u_coordinate(9))
    yield of("the receiver's own keys altered", "altered or dropped", site_a=own)
    yield of("the receiver's own keys dropped", "altered or dropped", site_a=b"")
    yield of(
        "two announcements under each other's names", "came under", site_b=good[C], site_c=good[B]
    )
    earlier = changed(KEYS, run.key_fields(B), round=6)
    yield of("keys of another round", "keys for round 6 where round 7", site_b=earlier)
    other = run.elsewhere(settings=replace(run.settings, attempt=1)).announcement(B)
    yield of("keys of an earlier attempt", "keys of another session", site_b=other)
    low = changed(KEYS, run.key_fields(B), channel=ZERO)
    yield of("a key of low order", "site-b announced keys that cannot be used", site_b=low)
    copied = changed(KEYS, run.key_fields(B), mask=run.key_fields(C)[6])
    yield of("a copied key", "announced too", site_b=copied)
    yield of("fewer sites than the quorum", "2 sites announced keys", site_c=b"", site_d=b"")


def _deals(run: Round) -> Iterator[Case]:
    """What B deals, at the coordinator: one message per holder."""
    good = {holder: run.dealt(B, holder) for holder in run.settings.sites}

    def of(what: str, says: str, messages: dict[str, bytes], before: tuple[str, ...] = ()) -> Case:
        return case("deal", what, says, sender=B, before=list(before), messages=messages)

    yield of("no message", "not a DealtShares", good | {A: b""})
    yield of("truncated shares", "not a DealtShares", good | {A: good[A][:-1]})
    yield of("oversize shares", "exceeds the limit of 4096", good | {A: good[A] + bytes(4096)})
    short = changed(DEALT, run.dealt_fields(B, A), mask_key=bytes(31))
    yield of("a commitment of 31 bytes", "not a DealtShares", good | {A: short})
    fat = changed(DEALT, run.dealt_fields(B, A), sealed=bytes(513))
    yield of("a bundle of 513 bytes", "not a DealtShares", good | {A: fat})
    fewer = {holder: data for holder, data in good.items() if holder != D}
    yield of("a holder left out", "other holders", fewer)
    yield of("a stranger as holder", "other holders", fewer | {"site-x": good[D]})
    alone = {holder: data for holder, data in good.items() if holder != B}
    yield of("nothing for itself", "other holders", alone)
    yield of("shares dealt twice", "twice, or without announcing", good, (B,))


def _unusable(
    what: str, messages: dict[str, bytes], run: str = "classical", receiver: str = A
) -> Case:
    return {
        "name": what,
        "run": run,
        "step": "inbox",
        "receiver": receiver,
        "messages": messages,
        "unusable": sorted(messages),
    }


def _inboxes(run: Round) -> Iterator[Case]:
    """What others dealt to A: a bundle that does not open is left out and its dealer returned."""
    fields, good = run.dealt_fields(B, A), run.dealt(B, A)
    sealed = fields[3]
    yield _unusable("a bundle with its last bit flipped", {B: good[:-4] + flipped(good[-4:], 0)})
    for at, part in ((0, "nonce"), (20, "ciphertext"), (-1, "tag")):
        message = changed(DEALT, fields, sealed=flipped(sealed, at))
        yield _unusable(f"a bit of the {part} flipped", {B: message})
    yield _unusable("no bundle", {B: changed(DEALT, fields, sealed=b"")})
    yield _unusable("a bundle with left-over bytes", {B: good + b"\x00"})
    yield _unusable("a bundle that was cut", {B: changed(DEALT, fields, sealed=sealed[:-1])})
    yield _unusable("re-addressed: dealt to another", {B: run.dealt(B, C)})
    yield _unusable("reflected: what the receiver dealt", {B: run.dealt(A, B)})
    yield _unusable("under another dealer's name", {B: run.dealt(C, A)})
    yield _unusable("replayed from another round", {B: run.elsewhere(number=6).dealt(B, A)})
    attempt = run.elsewhere(settings=replace(run.settings, attempt=1))
    yield _unusable("replayed from another session", {B: attempt.dealt(B, A)})
    for kind in ("mask_key", "self_mask"):
        yield _unusable(f"another {kind} commitment", {B: changed(DEALT, fields, **{kind: ZERO})})
        beyond = encoded(*run.dealt_fields(B, A, **{kind: twin.SHARE_PRIME.to_bytes(33)}))
        yield _unusable(f"a {kind} share beyond the field", {B: beyond})
    short = encoded(*run.dealt_fields(B, A, mask_key=bytes(32)))
    yield _unusable("a share of 32 bytes", {B: short})
    seeded = encoded(*run.dealt_fields(B, A, graph_seed=ZERO))
    yield _unusable("a graph seed in a complete graph", {B: seeded})
    yield case(
        *(
            "inbox",
            "so few that open that no sum could be",
            "site-b, site-c for site-a do not open",
        ),
        receiver=A,
        messages={B: b"", C: b""},
    )


def _cohorts(run: Round) -> Iterator[Case]:
    def of(what: str, says: str, cohort: list[str], **binding: object) -> Case:
        return case("open", what, says, receiver=A, cohort=cohort, **binding)

    everybody = list(run.settings.sites)
    yield of("a cohort without the receiver", "is not in the cohort", [B, C, D])
    yield of("a cohort below the quorum", "below the threshold of 3", [A, B])
    yield of("a stranger in the cohort", "to whom no shares were dealt", [A, B, C, "site-x"])
    yield of("a cohort out of order", "sorted and distinct", [B, A, C, D])
    yield of("a site twice in the cohort", "sorted and distinct", [A, A, B, C])
    yield of("a round that was not dealt for", "round 8 is not under way", everybody, round=8)
    yield of("a parameter digest of 31 bytes", "have 32 bytes", everybody, parameters=bytes(31))


def _uploads(run: Round, narrow: Round) -> Iterator[Case]:
    good = run.upload(B)

    def of(
        what: str, says: str, message: bytes, sender: str = B, before: tuple[str, ...] = ()
    ) -> Case:
        return case("upload", what, says, sender=sender, before=list(before), message=message)

    yield of("an empty upload", "0 bytes are no vector", b"")
    yield of("an upload that ends within an element", "19 bytes are no vector", good[:-1])
    yield of("an element too many", "6 elements came where the round sums 5", good + bytes(4))
    yield of("an element too few", "4 elements came where the round sums 5", good[:-4])
    yield of("elements of 24 bits", "15 bytes are no vector", packed([0] * 5, 24))
    yield of("an upload of a stranger", "not in this round's cohort", good, "site-x")
    yield of("an upload again", "uploaded twice", good, B, (B,))
    wide = packed(list(narrow.vectors[B]), 32)
    yield case(
        *("upload", "elements of 32 bits", "28 bytes are no vector of 24-bit", "narrow"),
        sender=B,
        before=[],
        message=wide,
    )


def _survivors() -> Iterator[Case]:
    def of(what: str, says: str, survivors: list[str]) -> Case:
        return case("survivors", what, says, receiver=A, survivors=survivors)

    yield of("survivors below the quorum", "fewer than the threshold of 3", [A, B])
    yield of("survivors without the receiver", "leave out site-a", [B, C, D])
    yield of("a survivor from outside the cohort", "cannot have survived", [A, B, C, "site-x"])
    yield of("survivors out of order", "sorted and distinct", [B, A, C])
    yield of("a survivor twice", "sorted and distinct", [A, B, B, C])


CROOKED_WORDS: dict[str, dict[str, object]] = {
    "of another session": {"session": ZERO},
    "of another round": {"round": 1},
    "of another header, cohort or parameters": {"binding": ZERO},
    "of another list": {"survivors": [A, B, C]},
    "of a list out of order": {"survivors": [C, B]},
    "of another threshold": {"threshold": 1},
    "of a drop-out": {"site": A},
}


def _confirmations(run: Round) -> Iterator[Case]:
    fields = run.confirmation_fields(C)
    for what, changes in CROOKED_WORDS.items():
        message = changed(CONFIRMATION, fields, **changes)
        says = "confirmed other survivors, or another round"
        yield case("confirm", f"a confirmation {what}", says, "narrow", message=message)
    cut = encoded(*fields)[:-1]
    yield case("confirm", "a truncated confirmation", "not a Confirmation", "narrow", message=cut)


def _words(run: Round) -> Iterator[Case]:
    """What the coordinator shows B of what the survivors confirmed."""
    own, fields = encoded(*run.confirmation_fields(B)), run.confirmation_fields(C)

    def of(what: str, says: str, words: list[bytes], survivors: tuple[str, ...] = (B, C)) -> Case:
        return case(
            *("words", what, says, "narrow"), receiver=B, survivors=survivors, messages=words
        )

    for what, changes in CROOKED_WORDS.items():
        lie = changed(CONFIRMATION, fields, **changes)
        yield of(f"shown a word {what}", "tells two stories", [own, lie])
    yield of("no words", "0 survivors confirmed each other, and 2", [])
    yield of("one word twice", "1 survivors confirmed each other, and 2", [own, own])
    good = encoded(*fields)
    yield of("words for another list than asked", "tells two stories", [own, good], (A, B, C))


def _releases(run: Round) -> Iterator[Case]:
    fields = run.release_fields(B)
    shares = fields[5]
    swapped = [[A, MASK_KEY, run.share(A, B, MASK_KEY)], *shares[1:]]
    both = [shares[0], [A, MASK_KEY, run.share(A, B, MASK_KEY)], *shares[1:]]
    stranger = [*shares[:3], ["site-x", MASK_KEY, shares[3][2]]]
    late = [*shares[:3], [D, SELF_MASK, run.share(D, B, SELF_MASK)]]

    def of(what: str, says: str, error: str = "PeerError", **changes: object) -> Case:
        message = changed(RELEASE, fields, **changes)
        return case("release", what, says, message=message, error=error)

    def with_share(value: bytes) -> list[Any]:
        return [[A, SELF_MASK, value], *shares[1:]]

    kinds = "at most one share of the right kind per site"
    yield of("a release of another session", "another session or round", session=ZERO)
    yield of("a release replayed from another round", "another session or round", round=6)
    yield of("a release for other survivors", "for other survivors", survivors=[A, B, D])
    yield of("a release of a drop-out", "for other survivors", site=D)
    yield of("a survivor's mask key", kinds, shares=swapped)
    yield of("a drop-out's self mask", kinds, shares=late)
    yield of("both kinds of share of one site", kinds, shares=both)
    yield of("shares out of order", kinds, shares=shares[::-1])
    yield of("a share twice", kinds, shares=[shares[0], *shares])
    yield of("a share of a stranger", kinds, shares=stranger)
    beyond = with_share(twin.SHARE_PRIME.to_bytes(33))
    yield of("a released share beyond the field", "not an element", shares=beyond)
    yield of("a released share of 32 bytes", "not a Release", shares=with_share(bytes(32)))
    yield of("an unknown kind of share", "not a Release", shares=[[A, "both", shares[0][2]]])
    culprit = "site-b released another share of site-a's self-mask"
    wrong = with_share(run.share(A, C, SELF_MASK))
    yield of("another holder's share", culprit, "CulpritError", shares=wrong)
    yield of("a share of zero", culprit, "CulpritError", shares=with_share(bytes(33)))


def _openings(run: Round) -> Iterator[Case]:
    good = {site: encoded(*run.release_fields(site)) for site in run.survivors}
    yield case(
        *("unmask", "a release under another's name", "came under site-b's name"),
        messages=good | {B: good[A]},
    )
    yield case(
        *("unmask", "fewer releases than the quorum", "2 sites released shares"),
        messages={A: good[A], B: good[B]},
    )
    fields = run.release_fields(C)
    fewer = changed(RELEASE, fields, shares=fields[5][:3])
    yield case(
        *("unmask", "too few shares of a drop-out", "2 shares of site-d's mask secret"),
        messages=good | {C: fewer},
    )


def _states(run: Round) -> Iterator[Case]:
    """A site's own disk: the state of A before its first round."""
    secret = run.secrets[A].channel
    good = ["secure-fl.masking-site.v2", run.settings.fields(), A, secret, -1, []]

    def of(what: str, state: bytes) -> Case:
        return case("state", what, "does not decode", message=state, error="IntegrityError")

    yield of("a state that was cut", encoded(*good)[:-1])
    yield of("a state with left-over bytes", encoded(*good) + b"\x00")
    yield of("a state of another version", encoded("secure-fl.masking-site.v1", *good[1:]))
    yield of("a state of a stranger", encoded(*good[:2], "site-x", *good[3:]))
    yield of("a state with a short secret", encoded(*good[:3], bytes(31), *good[4:]))
    weak = [*run.settings.fields()[:9], 1, *run.settings.fields()[10:]]
    yield of("a state of a session with threshold one", encoded(good[0], weak, *good[2:]))
