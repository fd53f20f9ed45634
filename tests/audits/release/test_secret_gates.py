"""What a run's secrets say of its release: every verdict of both gates, and false alarms."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from audits.findings import Basis, Finding, SeriesKind, Verdict, Window
from audits.release import secret_gates as gates
from audits.release.exposure import Exposure, exposure_tests
from audits.release.secret_figures import exposure_series
from audits.release.secret_gates import MembershipScores, SecretEvidence, secret_findings
from audits.server.distinguish import Claimed
from audits.statistics import guesses
from crypto.errors import ConfigError

DELTA = 1e-5
CANDIDATES = 256
SMALL = Claimed(1.0, DELTA)
UNLUCKY = 1e-4


@dataclass(frozen=True)
class Synthetic:
    """Ranks of secrets: a member's is the first with the chance that is given, else uniform."""

    each: int = 80
    repetitions: tuple[int, ...] = (1,)
    found: tuple[float, ...] = (0.0,)
    controls_found: float = 0.0
    known: float = 0.9
    number: int = 0

    def draw(self) -> SecretEvidence:
        rng = np.random.default_rng([11, self.number])
        counts = np.repeat(np.array(self.repetitions, np.int64), self.each)
        members = np.arange(counts.size) % 2 == 0
        chance = np.repeat(np.array(self.found), self.each)
        chance = np.where(members, chance, self.controls_found)
        size = counts.size
        uniform = rng.integers(1, CANDIDATES + 1, size)
        known = np.where(rng.random(size) < self.known, 1, uniform)[members]
        ranks = np.where(rng.random(size) < chance, 1, rng.integers(1, CANDIDATES + 1, size))
        return SecretEvidence(
            ranks=ranks,
            known=known,
            candidates=CANDIDATES,
            members=members,
            repetitions=counts,
            recited=np.where(ranks == 1, 1.0, 0.25),
            scores=(MembershipScores("the loss", -ranks.astype(np.float64)),),
            attack="the loss",
        )


def measured(finding: Finding, words: str) -> float:
    (value,) = [each.value for each in finding.details if words in each.name]
    assert value is not None
    return value


# -- the verdicts ----------------------------------------------------------------------------------


def test_secrets_that_nobody_finds_do_not_refute_a_small_epsilon() -> None:
    drawn = Synthetic().draw()
    once, repeated = secret_findings(drawn, SMALL)
    assert once.verdict is Verdict.NOT_REFUTED
    assert (once.gate, once.window, once.basis) == (gates.ONCE, Window.RELEASE, Basis.RUN)
    assert once.samples == 40
    right = int((drawn.ranks[drawn.members] == 1).sum())
    assert f"{right} of 40 secrets that were trained on once" in once.reason
    assert "and 1 is claimed" in once.reason
    assert once.statistic is not None
    assert once.statistic.value == right / 40
    assert once.ceiling == guesses.ceiling(40, CANDIDATES, delta=DELTA, significance=1e-4)
    assert once.ceiling > 1
    assert repeated.verdict is Verdict.NOT_RUN
    assert "no secret that was trained on more than once" in repeated.reason


def test_secrets_that_the_adapter_names_violate_it() -> None:
    drawn = Synthetic(found=(0.6,)).draw()
    once, _ = secret_findings(drawn, SMALL)
    right = int((drawn.ranks[drawn.members] == 1).sum())
    assert once.verdict is Verdict.VIOLATED
    p_value = guesses.p_value_of_records(right, 40, CANDIDATES, 1.0, DELTA)
    assert p_value < 1e-4
    assert measured(once, "p-value at what is claimed") == p_value
    bound = measured(once, "epsilon at least, by guesses")
    assert 1 < bound < math.log(CANDIDATES)
    assert guesses.p_value_of_records(right, 40, CANDIDATES, bound, DELTA) == pytest.approx(
        1e-4, rel=1e-3
    )


@pytest.mark.usefixtures("quick")
def test_the_verdict_turns_at_the_p_value_and_nowhere_else() -> None:
    """Whatever the count, what is said is what the p-value of guesses says."""
    said = set()
    for right in range(21):
        ranks = Synthetic().draw().ranks.copy()
        ranks[::2] = np.where(np.arange(40) < right, 1, 9)
        once, _ = secret_findings(replace(Synthetic().draw(), ranks=ranks), SMALL)
        refuted = guesses.p_value_of_records(right, 40, CANDIDATES, 1.0, DELTA) <= 1e-4
        assert (once.verdict is Verdict.VIOLATED) is refuted
        said.add(once.verdict)
    assert said == {Verdict.VIOLATED, Verdict.NOT_REFUTED}


def test_each_gate_speaks_of_its_own_repetitions_and_the_most_decides() -> None:
    drawn = Synthetic(repetitions=(1, 2, 8), found=(0.0, 0.0, 0.9)).draw()
    once, repeated = secret_findings(drawn, Claimed(0.2, 1e-9))
    assert once.verdict is Verdict.NOT_REFUTED
    assert repeated.verdict is Verdict.VIOLATED
    assert (repeated.gate, repeated.samples) == (gates.REPEATED, 40)
    assert "trained on 8 times" in repeated.reason
    assert "and 1.6 is claimed" in repeated.reason
    right = int((drawn.ranks[drawn.of(8)] == 1).sum())
    delta = 8 * math.exp(7 * 0.2) * 1e-9
    expected = guesses.p_value_of_records(right, 40, CANDIDATES, 1.6, delta)
    assert measured(repeated, "p-value at what is claimed") == pytest.approx(expected)
    names = [series.name for series in repeated.series]
    assert names == ["trained on 2 times", "trained on 8 times", "never trained on"]
    assert [series.name for series in once.series] == ["trained on once", "never trained on"]
    assert repeated.series[-1].kind is SeriesKind.EXPOSURE_NULL


def test_secrets_that_are_all_repeated_say_nothing_of_one_repetition() -> None:
    once, repeated = secret_findings(Synthetic(repetitions=(4,)).draw(), SMALL)
    assert once.verdict is Verdict.NOT_RUN
    assert "no secret that was trained on once" in once.reason
    assert repeated.verdict is not Verdict.NOT_RUN


def test_where_group_privacy_says_nothing_there_is_nothing_to_refute() -> None:
    drawn = Synthetic(repetitions=(1, 8), found=(0.0, 0.9)).draw()
    _, repeated = secret_findings(drawn, Claimed(8.0, DELTA))
    assert repeated.verdict is Verdict.INCONCLUSIVE
    assert "At 8 repetitions epsilon 8 claims nothing any more" in repeated.reason
    assert repeated.ceiling is None


def test_a_run_that_claims_nothing_cannot_be_refuted_and_shows_what_leaks() -> None:
    drawn = Synthetic(repetitions=(1, 4), found=(0.5, 1.0)).draw()
    for finding in secret_findings(drawn, None):
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert "The run claims nothing that could be refuted" in finding.reason
        assert "were named first among 256" in finding.reason
        assert finding.statistic is not None
        assert finding.statistic.value is not None
        assert finding.statistic.value > 0.3


def test_a_claim_above_the_ceiling_could_not_have_been_refuted() -> None:
    once, _ = secret_findings(Synthetic(found=(1.0,)).draw(), Claimed(8.0, DELTA))
    assert once.verdict is Verdict.INCONCLUSIVE
    assert "40 secrets among 256 cannot refute an epsilon above" in once.reason
    assert once.ceiling is not None
    assert once.ceiling < 8


def test_a_delta_as_large_as_the_significance_lets_anything_happen() -> None:
    """Eight repetitions make 3e-4 of 1e-5: so often may every secret be given away."""
    drawn = Synthetic(repetitions=(1, 8), found=(0.0, 1.0)).draw()
    _, repeated = secret_findings(drawn, Claimed(0.2, DELTA))
    assert repeated.verdict is Verdict.INCONCLUSIVE
    assert repeated.ceiling == 0
    assert "an epsilon above 0 at a delta of 0.000324, and 1.6 is claimed" in repeated.reason


# -- the checks beside it --------------------------------------------------------------------------


@pytest.mark.parametrize("claimed", [SMALL, Claimed(8.0, DELTA), None])
def test_secrets_of_controls_that_are_found_leave_nothing_to_say(claimed: Claimed | None) -> None:
    """Not even that a claim is violated: who was a control was then chosen afterwards."""
    drawn = Synthetic(repetitions=(1, 2), found=(1.0, 1.0), controls_found=0.5).draw()
    for finding in secret_findings(drawn, claimed):
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert "Secrets that nobody trained on have an exposure of" in finding.reason
        assert measured(finding, "first among secrets that nobody trained on") > 0.3


def test_without_that_check_the_same_secrets_would_accuse_an_honest_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = Synthetic(found=(1.0,), controls_found=0.5).draw()
    monkeypatch.setattr(gates, "_LUCKY", -1.0)
    assert secret_findings(drawn, SMALL)[0].verdict is Verdict.VIOLATED


def test_an_attack_that_does_not_see_what_is_there_clears_nobody() -> None:
    once, _ = secret_findings(Synthetic(known=0.0).draw(), SMALL)
    assert once.verdict is Verdict.INCONCLUSIVE
    assert "A model that was taught the secrets names" in once.reason
    assert measured(once, "first by the positive control") < 0.2


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
def test_a_run_is_not_cleared_by_an_attack_that_would_clear_one_without_privacy(
    epsilon: float,
) -> None:
    """Half of the secrets are named first, by the release as by a model that was taught them."""
    ranks = np.where(np.arange(200) % 4 == 0, 1, 9)
    bare = replace(
        Synthetic(each=200).draw(),
        candidates=64,
        ranks=np.where(np.arange(200) % 2 == 0, ranks, Synthetic(each=200).draw().ranks % 64 + 1),
        known=ranks[::2],
    )
    once, _ = secret_findings(bare, Claimed(epsilon, DELTA))
    fewest = guesses.fewest_right(100, 64, epsilon, DELTA, 1e-4)
    assert measured(once, "fewest secrets named first") == fewest
    assert fewest is not None
    if fewest <= 50:
        assert once.verdict is Verdict.VIOLATED
        return
    assert once.verdict is Verdict.INCONCLUSIVE
    seen = measured(once, "the same bound of the positive control")
    assert f"this attack refutes no epsilon above {seen:.3g}" in once.reason
    # Beside a control that names all of them, the same ranks are what clears the run.
    bright, _ = secret_findings(
        replace(bare, known=np.ones(100, np.int64)), Claimed(epsilon, DELTA)
    )
    assert bright.verdict is Verdict.NOT_REFUTED


def test_what_a_positive_control_is_asked_is_of_the_gates_own_secrets() -> None:
    """Those of 2 repetitions are known, those of one are not: only the one gate is cleared."""
    drawn = Synthetic(repetitions=(1, 2), found=(0.0, 0.0)).draw()
    known = np.where(drawn.repetitions[drawn.members] == 1, 9, 1)
    once, repeated = secret_findings(replace(drawn, known=known), Claimed(0.1, 1e-9))
    assert once.verdict is Verdict.INCONCLUSIVE
    assert "refutes no epsilon above 0" in once.reason
    assert repeated.verdict is Verdict.NOT_REFUTED


def test_what_a_dark_control_does_not_see_may_be_there_all_the_same() -> None:
    once, _ = secret_findings(Synthetic(found=(0.9,), known=0.0).draw(), SMALL)
    assert once.verdict is Verdict.VIOLATED


# -- false alarms ----------------------------------------------------------------------------------


def alarms(chance: float, claimed: Claimed, runs: int) -> int:
    drawn = (Synthetic(each=60, found=(chance,), number=n).draw() for n in range(runs))
    return sum(secret_findings(each, claimed)[0].verdict is Verdict.VIOLATED for each in drawn)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exposures, which take most of the time and decide nothing here, are fair."""
    fair = exposure_tests(Synthetic().draw().exposures(np.arange(80) % 2 == 1))
    assert fair[0].p_value > gates._LUCKY
    monkeypatch.setattr(gates, "exposure_tests", lambda _: fair)


@pytest.fixture
def loose(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a significance that few draws can test."""
    monkeypatch.setattr(gates, "GATE_SIGNIFICANCE", 0.05)


@pytest.mark.usefixtures("quick", "loose")
@pytest.mark.parametrize("epsilon", [0.0, 3.0])
def test_a_true_claim_is_called_violated_no_more_often_than_is_said(epsilon: float) -> None:
    """Guesses that are right as often as epsilon lets any be: e^epsilon in R."""
    share = math.exp(epsilon) / CANDIDATES
    chance = (share - 1 / CANDIDATES) / (1 - 1 / CANDIDATES)
    count = alarms(chance, Claimed(epsilon, DELTA), 120)
    assert stats.binomtest(count, 120, 0.05, alternative="greater").pvalue > UNLUCKY


@pytest.mark.usefixtures("quick", "loose")
def test_the_same_test_notices_a_false_claim() -> None:
    assert alarms(0.4, Claimed(1.0, DELTA), 20) > 15


# -- figures that decide nothing -------------------------------------------------------------------


def test_what_decides_nothing_says_so_and_is_what_it_is_called() -> None:
    drawn = Synthetic(repetitions=(1, 3), found=(0.4, 0.9)).draw()
    _, repeated = secret_findings(drawn, SMALL)
    mine = drawn.of(3)
    bits = np.log2(CANDIDATES / drawn.ranks[mine])
    assert measured(repeated, "mean exposure of secrets trained on 3") == pytest.approx(bits.mean())
    assert measured(repeated, "mean exposure by chance") == pytest.approx(1.4, abs=0.1)
    recited = measured(repeated, "recited to the end from the question alone, of these")
    assert recited == (drawn.ranks[mine] == 1).mean()
    # Every pair of a member and a control, once more.
    pairs = np.subtract.outer(drawn.ranks[~drawn.members], drawn.ranks[mine])
    area = (pairs > 0).mean() + (pairs == 0).mean() / 2
    assert measured(repeated, "area under the ROC curve by the loss") == pytest.approx(area)
    decided = {
        "p-value at what is claimed",
        "epsilon at least, by guesses",
        "the same bound of the positive control, a model without privacy",
        "fewest secrets named first that would refute the claim",
        "share named first among secrets that nobody trained on",
        "share named first by the positive control",
    }
    beside = {each.name for each in repeated.details} - decided
    assert all(name.endswith("decides nothing") for name in beside)


@given(st.lists(st.integers(1, 64), min_size=1, max_size=30))
def test_a_plot_of_exposures_is_the_share_at_or_above_each(ranks: list[int]) -> None:
    exposures = [Exposure(rank, 64) for rank in ranks]
    points = exposure_series(exposures, "of these").points
    assert [point.x for point in points] == sorted({point.x for point in points})
    assert (points[0].x, points[0].y) == (0, 1)
    for point in points:
        assert point.y == sum(each.bits >= point.x for each in exposures) / len(exposures)
    assert {each.bits for each in exposures} <= {point.x for point in points}


# -- evidence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ranks", "known", "members", "repetitions", "recited"])
def test_evidence_that_does_not_fit_together_is_refused(name: str) -> None:
    drawn = Synthetic().draw()
    with pytest.raises(ConfigError, match="differ in number"):
        replace(drawn, **{name: getattr(drawn, name)[:-1]})


def test_other_attacks_score_all_secrets_or_none_counts() -> None:
    with pytest.raises(ConfigError, match="differ in number"):
        replace(Synthetic().draw(), scores=(MembershipScores("the loss", np.zeros(3)),))
    with pytest.raises(ConfigError, match="stands alone"):
        replace(Synthetic().draw(), candidates=1)


@pytest.mark.parametrize("side", [True, False])
def test_seven_of_a_side_show_nothing_and_eight_are_taken(*, side: bool) -> None:
    def few(count: int) -> SecretEvidence:
        drawn = Synthetic().draw()
        coins = np.array([side] * count + [not side] * (80 - count))
        return replace(drawn, members=coins, known=np.ones(int(coins.sum()), np.int64))

    few(8)
    with pytest.raises(ConfigError, match="8 of each are needed at least"):
        few(7)


def test_evidence_that_is_printed_shows_no_ranks() -> None:
    assert repr(Synthetic().draw()) == "SecretEvidence(candidates=256, attack='the loss')"
