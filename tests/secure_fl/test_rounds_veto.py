"""The veto in a site's rounds: one contract over the modes, seeded faults, crashes, and without."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import round_simulator
import torch
from round_simulator import (
    RECORD_PRIVACY,
    StoreCrashError,
    code_of,
    mechanism_of,
    opened_as,
    policy_of,
)

from crypto.errors import IntegrityError
from crypto.secrets import system_entropy
from privacy.dp_step import noised_mean
from privacy.noise import InjectedNoise
from privacy.update import TensorSpec, UpdateSpec
from secure_fl.config import NoPrivacy, RecordPrivacy
from secure_fl.policy_veto import VetoSection
from secure_fl.rounds.encoding import Encoded, Noised, encoded_update, noised_update
from secure_fl.rounds.grids import noised_grid_of
from secure_fl.rounds.messages import OpenReply
from secure_fl.rounds.site_state import VetoMemory
from secure_fl.rounds.steps import Phase
from secure_fl.rounds.veto import RoundVeto

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from round_simulator import Consortium, Party, Run

    from privacy.noised_grid import NoisedGrid
    from secure_fl.config import Mechanism

    Make = Callable[..., Consortium]

SIZE, UNITS, COHORT = 600, 100, 4
SITE = "site-2"
WIDE = UpdateSpec((TensorSpec("head.weight", (30, 20)),))
SHARED: dict[str, Any] = {"delta": 1e-5, "sigma": 2.5, "clip": 1.0, "colluders": 1}
DISTRIBUTED: dict[str, Any] = {
    "mode": "record-distributed",
    "unit": "record",
    "sampling_rate": 0.1,
    "divisor": 4.0,
    **SHARED,
}
MECHANISMS: dict[str, Mechanism] = {
    "record": mechanism_of(privacy=dict(RECORD_PRIVACY), training__batch_size=None),
    "record-distributed": mechanism_of(
        privacy=DISTRIBUTED,
        training__batch_size=None,
        training__local_steps=1,
        training__optimizer="sgd",
    ),
    "record-distributed, 24 bits": mechanism_of(
        privacy=DISTRIBUTED,
        training__batch_size=None,
        training__local_steps=1,
        training__optimizer="sgd",
        encoding={"bits": 24},
    ),
    "site": mechanism_of(privacy={"mode": "site", **SHARED}),
}
ALL_OFF = VetoSection(noise=False, size=False, fresh=False)


@dataclass
class Fault:
    """What is wrong with a contribution; nothing by default."""

    factor: float = 1.0
    """Of the noise."""
    length: float = 0.5
    """Of the signal, over the clip."""
    same: bool = False
    """Whether every contribution has the same noise."""


class Maker:
    """Makes the contributions of one site, by the code of each mode, with a fault in them."""

    def __init__(self, mode: str, fault: Fault, seed: int = 1) -> None:
        self.mechanism = MECHANISMS[mode]
        self._fault = fault
        self._rng = np.random.default_rng(seed)
        self._first: NDArray[np.int64] | None = None

    def _signal(self) -> NDArray[np.float32]:
        drawn = self._rng.normal(size=SIZE)
        return (self._fault.length * drawn / np.linalg.norm(drawn)).astype(np.float32)

    def show(self, veto: RoundVeto) -> None:
        """Give one contribution to the veto."""
        privacy = self.mechanism.privacy
        if isinstance(privacy, RecordPrivacy):
            veto.step(self._mean(privacy))
        else:
            veto.contribution(self._share(), COHORT)

    def _mean(self, privacy: RecordPrivacy) -> dict[str, torch.Tensor]:
        assert privacy.sigma is not None
        source = np.random.default_rng(5) if self._fault.same else self._rng
        signal = torch.from_numpy(privacy.clip * self._signal())
        return noised_mean(
            {"a": signal[:100], "b": signal[100:].reshape(20, 25)},
            clip=privacy.clip,
            sigma=privacy.sigma * max(self._fault.factor, 1e-12),
            divisor=privacy.divisor,
            noise=InjectedNoise(source),
        )

    def _share(self) -> Noised:
        made = encoded_update(self.mechanism, self._signal(), COHORT, system_entropy)
        return noised_update(replace(made, noise=_Faulty(made, self._fault, self)))

    def drawn(self, encoded: Encoded, count: int) -> NDArray[np.int64]:
        assert encoded.noise is not None
        if self._first is None or not self._fault.same:
            self._first = encoded.noise.draw(count)
        return np.rint(self._fault.factor * self._first).astype(np.int64)


@dataclass
class _Faulty:
    encoded: Encoded
    fault: Fault
    maker: Maker

    def draw(self, count: int) -> NDArray[np.int64]:
        return self.maker.drawn(self.encoded, count)


def veto_of(
    mode: str, policy: VetoSection | None = None, memory: VetoMemory | None = None
) -> RoundVeto:
    return RoundVeto(policy or VetoSection(), MECHANISMS[mode], 1, UNITS, memory or VetoMemory())


# -- one contract over the modes -------------------------------------------------------------------

modes = pytest.mark.parametrize("mode", MECHANISMS)


@modes
def test_what_correct_code_makes_is_let_through_and_counted(mode: str) -> None:
    veto, maker = veto_of(mode), Maker(mode, Fault())
    for _ in range(20):
        maker.show(veto)
    memory = veto.memory
    assert (memory.vectors, memory.refused, len(memory.seen)) == (20, 0, 16)
    checked = {entry.kind: (entry.made, entry.smallest_margin) for entry in memory.checked}
    assert {kind: made for kind, (made, _) in checked.items()} == {
        "fresh": sum(min(before, 16) for before in range(20)),
        "noise": 20,
        "size": 20,
    }
    assert all(1 < margin < 8 for _, margin in checked.values())


@modes
def test_the_longest_signal_that_clipping_leaves_is_let_through(mode: str) -> None:
    """Of all units that a sample can have, where records are sampled; of a site, one clip."""
    most = 1.0 if mode == "site" else 10.0
    veto, maker = veto_of(mode), Maker(mode, Fault(length=most))
    for _ in range(5):
        maker.show(veto)
    assert not veto.memory.refused


FAULTS = {
    "no noise": (Fault(factor=0.0), "its noise is missing or too small"),
    "too little": (Fault(factor=0.6), "its noise is missing or too small"),
    "used before": (Fault(same=True), "its noise was used before"),
    "not clipped": (Fault(length=500.0), "something was not clipped"),
}


@modes
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_vetoed_and_passes_where_the_policy_says_so(mode: str, fault: str) -> None:
    seeded, words = FAULTS[fault]
    veto, maker = veto_of(mode), Maker(mode, seeded)
    if seeded.same:
        maker.show(veto)
    with pytest.raises(IntegrityError, match=words) as caught:
        maker.show(veto)
    message = str(caught.value)
    assert "vetoed its own sum in round 1" in message
    assert "Nothing was sent, and what was charged stays charged" in message
    assert veto.memory.refused == 1
    assert len(veto.memory.seen) == veto.memory.vectors - 1, "what was refused is not remembered"

    without, maker = veto_of(mode, ALL_OFF), Maker(mode, seeded)
    for _ in range(2):
        maker.show(without)
    assert (without.memory.vectors, without.memory.refused) == (2, 0)
    assert without.memory.checked == ()


@modes
@pytest.mark.parametrize(("switch", "fault"), [("noise", 0), ("fresh", 2), ("size", 3)])
def test_each_switch_turns_off_its_own_test(mode: str, switch: str, fault: int) -> None:
    seeded, _ = list(FAULTS.values())[fault]
    off = VetoSection(**{switch: False})
    veto, maker = veto_of(mode, off), Maker(mode, seeded)
    if switch == "noise":
        maker.show(veto)  # of two sums without noise the second has that of the first
    else:
        for _ in range(2):
            maker.show(veto)
    assert not veto.memory.refused


@modes
def test_what_was_seen_by_an_earlier_process_is_compared_with(mode: str) -> None:
    maker = Maker(mode, Fault(same=True))
    first = veto_of(mode)
    maker.show(first)
    again = veto_of(mode, memory=first.memory)
    with pytest.raises(IntegrityError, match="its noise was used before"):
        maker.show(again)
    forgotten = veto_of(mode)
    maker.show(forgotten)
    assert not forgotten.memory.refused


def test_a_step_with_a_value_that_is_no_number_is_vetoed() -> None:
    veto = veto_of("record")
    mean = {"a": torch.full((SIZE,), 0.1), "b": torch.tensor([torch.nan, torch.inf])}
    with pytest.raises(IntegrityError, match="holds 2 values that are no numbers"):
        veto.step(mean)


def test_steps_of_half_precision_are_given_the_benefit_of_their_rounding() -> None:
    veto, maker = veto_of("record"), Maker("record", Fault())
    privacy = maker.mechanism.privacy
    assert isinstance(privacy, RecordPrivacy)
    for _ in range(3):
        veto.step({name: part.bfloat16() for name, part in maker._mean(privacy).items()})
    assert veto.memory.vectors == 3


def test_without_a_guarantee_nothing_is_looked_at() -> None:
    mechanism = mechanism_of()
    assert isinstance(mechanism.privacy, NoPrivacy)
    veto = RoundVeto(VetoSection(), mechanism, 0, UNITS, VetoMemory())
    made = encoded_update(mechanism, np.zeros(SIZE, np.float32), COHORT, system_entropy)
    veto.contribution(noised_update(made), COHORT)
    assert veto.memory == VetoMemory()
    with pytest.raises(IntegrityError, match="a mode without noised steps"):
        veto.step({"a": torch.zeros(3)})


def test_the_noise_that_is_added_is_the_one_that_was_drawn_in_order() -> None:
    """In blocks, modulo 2^32: the same integers as all at once."""
    mechanism = MECHANISMS["site"]
    made = encoded_update(mechanism, np.zeros(SIZE, np.float32), COHORT, system_entropy)
    counted = np.arange(-SIZE // 2, SIZE // 2)

    @dataclass
    class Counting:
        at: int = 0

        def draw(self, count: int) -> NDArray[np.int64]:
            self.at += count
            return counted[self.at - count : self.at]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secure_fl.rounds.encoding._BLOCK", 7)
        noised = noised_update(replace(made, noise=Counting()))
    assert noised.share
    assert np.array_equal(noised.vector.view(np.int32), counted)


# -- in a site's machine ---------------------------------------------------------------------------


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch, make_consortium: Make) -> Make:
    """Consortia whose updates have 600 coordinates."""
    monkeypatch.setattr(round_simulator, "SPEC", WIDE)

    def clipped(site: str, round_: int, shared: NDArray[np.float32]) -> NDArray[np.float32]:
        del shared
        drawn = np.random.default_rng([len(site), ord(site[-1]), round_]).normal(size=SIZE)
        return (drawn / np.linalg.norm(drawn)).astype(np.float32)

    monkeypatch.setattr(round_simulator, "update_of", clipped)
    return make_consortium


def with_noise(party: Party, noise: object) -> None:
    """Let one site's machine add `noise` instead of its own: a fault in its software."""
    encode_rightly = party.site._train_and_encode

    def faulty(*args: Any) -> Encoded:  # noqa: ANN401 - passed on as they are
        return replace(encode_rightly(*args), noise=noise)

    party.site._train_and_encode = faulty  # type: ignore[method-assign]


class Silent:
    def draw(self, count: int) -> NDArray[np.int64]:
        return np.zeros(count, np.int64)


class Repeating:
    """Draws once, and gives the same ever after: a generator whose state was copied."""

    def __init__(self, grid: NoisedGrid) -> None:
        self.drawn = grid.noise().draw(SIZE)

    def draw(self, count: int) -> NDArray[np.int64]:
        return self.drawn[:count]


def distributed(wide: Make, **policy: Any) -> Consortium:  # noqa: ANN401 - of a TOML file
    return wide(MECHANISMS["record-distributed"], policy=policy_of(**policy))


def test_a_site_without_noise_sends_nothing_stays_charged_and_leaves_the_others_alone(
    wide: Make,
) -> None:
    consortium = distributed(wide)
    run = consortium.run().until(Phase.OPEN)
    party = consortium.parties[SITE]
    with_noise(party, Silent())
    charged = len(party.parts.ledger.entries())
    replies = run.ask()

    assert code_of(replies[SITE]) == "record"
    assert len(party.parts.ledger.entries()) == charged + 1
    assert "this site vetoed its own sum in round 0" in party.notes[-1].lower()
    state = party.state()
    assert (state.round, state.stage.value, state.veto.refused) == (0, "ready", 1)
    run.advance(replies)
    run.exchange()
    assert run.sum.survivors == ("site-1", "site-3", "site-4")
    assert all(consortium.parties[name].state().veto.refused == 0 for name in run.sum.survivors)


def test_without_the_veto_the_same_site_sends_its_clipped_sum_as_it_is(wide: Make) -> None:
    """The defence removed: what the coordinator takes then holds no noise of this site."""
    consortium = distributed(wide, veto={"noise": False})
    run = consortium.run().until(Phase.OPEN)
    party = consortium.parties[SITE]
    with_noise(party, Silent())
    replies = run.ask()
    assert opened_as(OpenReply, replies[SITE]).vector
    run.advance(replies)
    run.exchange()
    assert run.sum.survivors == consortium.names
    assert party.state().veto.refused == 0


def test_noise_that_comes_back_after_a_restart_is_vetoed(wide: Make) -> None:
    consortium = distributed(wide)
    noise = Repeating(noised_grid_of(consortium.mechanism, COHORT, SIZE))
    party = consortium.parties[SITE]
    with_noise(party, noise)
    run = consortium.run().until(Phase.OPEN, 1)
    assert party.state().veto.refused == 0
    party.restart()
    with_noise(party, noise)
    replies = run.ask()
    assert code_of(replies[SITE]) == "record"
    assert "its noise was used before" in party.notes[-1]


@pytest.mark.parametrize("crash", ["before", "after"])
def test_what_is_sent_again_after_a_crash_is_not_vetoed(wide: Make, crash: str) -> None:
    """After the state was stored the same bytes leave; before that, another attempt draws anew."""
    consortium = distributed(wide)
    run = consortium.run().until(Phase.OPEN)
    party = consortium.parties[SITE]
    request = run.step.exchange.requests[SITE] if run.step.exchange else b""
    party.store.crash = crash
    with pytest.raises(StoreCrashError):
        party.site.handle(request)
    party.restart()
    if crash == "after":
        assert opened_as(OpenReply, party.site.handle(request)).vector
        assert party.state().veto.vectors == 1
        run.exchange()
    else:
        assert code_of(party.site.handle(request)) == "policy", "this attempt was drawn already"
        run = consortium.run(attempt=2).finish()
        assert party.state().veto.vectors == 3
    assert party.state().veto.refused == 0
    assert not any("veto" in note for note in party.notes)


def test_a_new_attempt_compares_with_the_one_before_and_a_finished_run_forgets(wide: Make) -> None:
    consortium = distributed(wide)
    consortium.run().until(Phase.OPEN).exchange()
    run: Run = consortium.run(attempt=2).finish()
    assert len(run.opened) == 3
    for party in consortium.parties.values():
        veto = party.state().veto
        assert (veto.vectors, veto.refused, veto.seen) == (4, 0, ())
        made = {entry.kind: entry.made for entry in veto.checked}
        assert made == {"fresh": 0 + 1 + 2 + 3, "noise": 4, "size": 4}


def test_a_state_shows_no_sample(wide: Make) -> None:
    consortium = distributed(wide)
    consortium.run().until(Phase.OPEN).exchange()
    veto = consortium.parties[SITE].state().veto
    assert len(veto.seen) == 1
    assert repr(veto) == "<1 noised vectors, 0 refused>"


# -- the policy ------------------------------------------------------------------------------------


def test_a_policy_that_says_nothing_vetoes_everything() -> None:
    assert policy_of().veto == VetoSection(noise=True, size=True, fresh=True)


@pytest.mark.parametrize("value", ["off", 0, "false"])
def test_a_switch_is_true_or_false_and_nothing_else(value: object) -> None:
    with pytest.raises(ValueError, match=r"veto\.noise"):
        policy_of(veto={"noise": value})


def test_a_key_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match=r"veto\.nosie"):
        policy_of(veto={"nosie": False})
