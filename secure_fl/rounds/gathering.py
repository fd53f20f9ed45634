"""How a coordinator gathers a round's cohort: who joined or came back, their keys, their shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.codec import encode
from crypto.errors import PeerError
from crypto.homomorphic_keys import ChannelKeys
from crypto.masked_sum import MaskingCoordinator, SiteKeys
from secure_fl.rounds.homomorphic_sum import HomomorphicSum
from secure_fl.rounds.messages import (
    Hello,
    HelloReply,
    HelloRequest,
    Joined,
    KeyMade,
    ShareReply,
    ShareRequest,
    SharesSent,
)
from secure_fl.rounds.own_log import canaries_committed, last_headed
from secure_fl.rounds.plain_sum import PlainSum
from secure_fl.rounds.reading import expect
from secure_fl.rounds.reply_checks import Plan, check_joined, check_shares

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from crypto.signatures import Signed
    from secure_fl.rounds.correspondence import Correspondence
    from secure_fl.rounds.steps import Proposal


class Gathering:
    """Takes the replies of the two exchanges before a round, at its start or beside the one before.

    Attributes:
        hello: the session's signed proposal.
        keys: the signed keys of the next round that came so far, by site.
        seen: per site, the size of the log that it has seen.
        canaries: per site that ever joined the run, the canaries that it is committed to.
    """

    def __init__(
        self,
        proposal: Proposal,
        hello: Hello,
        letters: Correspondence,
        sums: MaskingCoordinator | HomomorphicSum | PlainSum,
    ) -> None:
        """Begin without anybody."""
        self._proposal = proposal
        self._letters = letters
        self._sums = sums
        self._plan = Plan.of(proposal.mechanism)
        self.hello = letters.sign(hello)
        self.keys: dict[str, Signed] = {}
        self.seen: dict[str, int] = dict.fromkeys(hello.sites, 0)
        self.canaries = canaries_committed(letters.transcript.leaves)

    def invitation(self, round_: int) -> bytes:
        """Return the request to take part from `round_` on: the same for every site."""
        return encode(
            HelloRequest(
                hello=self.hello,
                mechanism=self._proposal.mechanism.to_json(),
                round=round_,
                heads=last_headed(self._letters.transcript.leaves),
            )
        )

    def take_joined(
        self, replies: Mapping[str, bytes], sites: Collection[str], round_: int
    ) -> dict[str, Joined]:
        """Return the statements of those of `sites` that take part from `round_` on."""
        joined: dict[str, Joined] = {}
        keyed = not isinstance(self._sums, PlainSum)
        for site, reply in self._letters.decoded(HelloReply, replies, sites).items():
            if site in self._proposal.left_out:
                continue
            statement = self._letters.accept(reply.joined, Joined, site)
            if statement is None:
                continue
            try:
                check_joined(statement, self._plan, self._letters.transcript.size)
                expect(
                    statement.canaries == self.canaries.get(site, statement.canaries),
                    "The site came back committed to other canaries than before.",
                )
            except PeerError:
                self._letters.refuse(site)
                continue
            if keyed and not self.take_keys(reply.keys, site, round_):
                continue
            self._letters.readmit(site)
            self._letters.log_of(site, reply.joined)
            if keyed and reply.keys is not None:
                self._letters.log_of(site, reply.keys)
            self.seen[site] = statement.checkpoint_size
            self.canaries[site] = statement.canaries
            joined[site] = statement
        return joined

    def take_keys(self, signed: Signed | None, site: str, round_: int) -> bool:
        """Return whether `signed` holds keys of `site` for round `round_`."""
        if signed is None:
            return self._letters.refuse(site)
        try:
            taken = self._keys_taken(signed, site, round_)
        except PeerError:
            return self._letters.refuse(site)
        if taken:
            self.keys[site] = signed
        return taken

    def _keys_taken(self, signed: Signed, site: str, round_: int) -> bool:
        """Return whether `signed` is of this session, after its keys were taken."""
        if isinstance(self._sums, HomomorphicSum):
            channel = self._letters.accept(signed, ChannelKeys, site)
            if channel is not None:
                self._sums.accept_keys(channel)
            return channel is not None
        keys = self._letters.accept(signed, SiteKeys, site)
        if keys is None or not isinstance(self._sums, MaskingCoordinator):
            return False
        expect(keys.round == round_, "The keys are for another round.")
        self._sums.accept_keys(keys)
        return True

    def share_request(self, round_: int) -> bytes:
        """Return the request for shares among everybody whose keys came."""
        keys = tuple(self.keys[site] for site in sorted(self.keys))
        return encode(ShareRequest(run_id=self._proposal.run_id, round=round_, keys=keys))

    def take_dealt(self, replies: Mapping[str, bytes], sites: Collection[str], round_: int) -> None:
        """Take what those of `sites` dealt that were asked for shares alone."""
        for site, reply in self._letters.decoded(ShareReply, replies, sites).items():
            self.take_shares(site, reply.sent, reply.shares, round_)

    def take_shares(
        self, site: str, signed: Signed | None, shares: Mapping[str, bytes], round_: int
    ) -> None:
        """Take what `site` dealt for `round_`, if it dealt anything; of one, the sum's key."""
        if signed is None or isinstance(self._sums, PlainSum):
            return
        if isinstance(self._sums, HomomorphicSum) and self._sums.makes_key(site):
            self._take_key(self._sums, site, signed, shares, round_)
            return
        sent = self._letters.accept(signed, SharesSent, site)
        if sent is None:
            return
        try:
            check_shares(sent, shares, round_)
            self._sums.accept_shares(site, round_, shares)
        except PeerError:
            self._letters.refuse(site)
            return
        self._letters.log_of(site, signed)

    def _take_key(
        self,
        sums: HomomorphicSum,
        site: str,
        signed: Signed,
        sealed: Mapping[str, bytes],
        round_: int,
    ) -> None:
        made = self._letters.accept(signed, KeyMade, site)
        if made is None:
            return
        try:
            check_shares(made, sealed, round_)
            sums.accept_key(made, sealed)
        except PeerError:
            self._letters.refuse(site)
            return
        self._letters.log_of(site, signed)

    def dealers(self, round_: int) -> tuple[str, ...]:
        """Return the sites whose shares arrived: the cohort of `round_`.

        Raises:
            PeerError: the site that was to make the key of a homomorphic sum did not.
        """
        return () if isinstance(self._sums, PlainSum) else self._sums.dealers(round_)
