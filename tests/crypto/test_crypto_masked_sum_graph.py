"""Who deals to whom above 100 sites: the tails against exact fractions, the draw against a twin."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_masked_run import drawn_neighbours

from crypto import masked_sum_graph as graph
from crypto.errors import ConfigError, PeerError
from crypto.masked_sum import (
    LARGEST_COHORT,
    LARGEST_COMPLETE,
    CohortRisk,
    Neighbourhood,
    choose_neighbourhood,
    default_threshold,
)
from crypto.masked_sum_checks import check_neighbourhoods
from crypto.masked_sum_graph import Tails, draw_neighbours, tails_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

# -- the naive twin: the three bounds of the module's head, in exact fractions -----------------


def at_least(population: int, marked: int, drawn: int, least: int) -> Fraction:
    """P[H(population, marked, drawn) >= least], by counting draws."""
    ways = sum(
        math.comb(marked, hit) * math.comb(population - marked, drawn - hit)
        for hit in range(least, min(marked, drawn) + 1)
        if drawn - hit <= population - marked
    )
    return Fraction(ways, math.comb(population, drawn))


def exact_tails(n: int, k: int, t: int, risk: CohortRisk) -> tuple[Fraction, Fraction, Fraction]:
    """Secrecy, separation and failure: bounds on probabilities, possibly above one."""
    c, u = risk.corrupted, risk.drop_outs
    separation = Fraction(0)
    for size in range(1, (n - c) // 2 + 1):
        separation += math.comb(n - c, size) * at_least(n - 1, size - 1 + c, k, t) ** size
    failure = n * (1 - at_least(n - 1, n - 1 - u, k, t))
    return n * at_least(n - 1, c, k, t), separation, failure


def bits(probability: Fraction) -> float:
    """Minus log2, of numbers that no float holds; a bound above one says nothing."""
    if probability == 0:
        return math.inf
    return max(0.0, math.log2(probability.denominator) - math.log2(probability.numerator))


def exact_bits(n: int, k: int, t: int, risk: CohortRisk) -> tuple[float, float, float]:
    secrecy, separation, failure = exact_tails(n, k, t, risk)
    return bits(secrecy), bits(separation), bits(failure)


def all_of(tails: Tails) -> tuple[float, float, float]:
    return tails.secrecy_bits, tails.separation_bits, tails.failure_bits


# -- tails -----------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_tails_are_the_exact_ones(data: st.DataObject) -> None:
    n = data.draw(st.integers(3, 40))
    k = data.draw(st.integers(1, n - 1))
    t = data.draw(st.integers(1, k))
    risk = CohortRisk(data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1)))
    got = all_of(tails_of(n, Neighbourhood(k, t), risk))
    assert got == pytest.approx(exact_bits(n, k, t, risk), abs=1e-6)


def test_the_failure_of_a_fixed_neighbourhood_is_every_second_round() -> None:
    """100 holders of which 67 rebuild, at 1000 sites and 20 % drop-outs: the bound is 0.38."""
    risk = CohortRisk.of(1000, 0.2, 0.0)
    found = tails_of(1000, Neighbourhood(100, 67), risk).failure_bits
    exact = 1000 * (1 - at_least(999, 799, 100, 67))
    assert found == pytest.approx(bits(exact), abs=1e-6)
    assert 0.3 < 2**-found < 0.5


def test_with_everybody_corrupted_nothing_is_secret() -> None:
    for corrupted in (119, 120, 5000):
        tails = tails_of(120, Neighbourhood(20, 14), CohortRisk(0, corrupted))
        assert tails.secrecy_bits == 0
        with pytest.raises(ConfigError, match="bears"):
            choose_neighbourhood(120, CohortRisk(0, corrupted))


def test_with_everybody_gone_every_round_fails() -> None:
    for drop_outs in (119, 120, 5000):
        tails = tails_of(120, Neighbourhood(20, 14), CohortRisk(drop_outs, 0))
        assert tails.failure_bits == 0


@pytest.mark.parametrize(
    ("tails", "enough"),
    [
        (Tails(40.0, 40.0, 20.0), True),
        (Tails(39.9, 40.0, 20.0), False),
        (Tails(40.0, 39.9, 20.0), False),
        (Tails(40.0, 40.0, 19.9), False),
        (Tails(math.inf, math.inf, math.inf), True),
    ],
)
def test_each_of_the_three_has_to_suffice(
    tails: Tails,
    enough: bool,  # noqa: FBT001 - a table's column
) -> None:
    assert tails.suffice() is enough


# -- the choice ------------------------------------------------------------------------------

CHOICES = [
    # sites, drop-out rate, corrupted share: degree, threshold, and the three tails in bits
    (120, 0.05, 0.10, Neighbourhood(19, 13), (math.inf, 47.3, math.inf)),
    (120, 0.20, 0.05, Neighbourhood(53, 31), (math.inf, 49.5, 20.7)),
    (200, 0.10, 0.10, Neighbourhood(40, 25), (math.inf, 47.6, 22.1)),
    (500, 0.20, 0.05, Neighbourhood(92, 52), (math.inf, 51.3, 20.4)),
    (1000, 0.20, 0.05, Neighbourhood(110, 62), (math.inf, 89.8, 21.3)),
    (1000, 0.20, 0.10, Neighbourhood(125, 73), (165.5, 52.0, 20.7)),
    (1000, 0.20, 1 / 3, Neighbourhood(311, 213), (170.8, 50.6, 20.2)),
    (4096, 0.20, 0.10, Neighbourhood(148, 86), (152.3, 58.8, 20.6)),
    (4096, 0.10, 0.33, Neighbourhood(117, 82), (41.2, 41.8, 20.1)),
]


@pytest.mark.parametrize(("n", "rate", "share", "chosen", "tails"), CHOICES)
def test_the_chosen_neighbourhoods_and_their_tails(
    n: int, rate: float, share: float, chosen: Neighbourhood, tails: tuple[float, ...]
) -> None:
    risk = CohortRisk.of(n, rate, share)
    assert choose_neighbourhood(n, risk) == chosen
    found = tails_of(n, chosen, risk)
    assert found.suffice()
    assert all_of(found) == pytest.approx(tails, abs=0.05)
    if n <= 200:  # larger fractions take a minute
        assert all_of(found) == pytest.approx(
            exact_bits(n, chosen.degree, chosen.threshold, risk), abs=1e-6
        )


@pytest.mark.parametrize(
    ("n", "risk"),
    [
        (101, CohortRisk(5, 5)),
        (120, CohortRisk(6, 12)),
        (120, CohortRisk(24, 6)),
        (150, CohortRisk(0, 0)),
        (200, CohortRisk(20, 20)),
    ],
)
def test_one_neighbour_fewer_does_not_bear_it_at_any_threshold(n: int, risk: CohortRisk) -> None:
    chosen = choose_neighbourhood(n, risk)
    for degree in range(max(2, chosen.degree - 3), chosen.degree):
        for threshold in range(degree // 2 + 1, degree + 1):
            secrecy, separation, failure = exact_bits(n, degree, threshold, risk)
            assert min(secrecy, separation) < 40 or failure < 20, (degree, threshold)
    above = exact_bits(n, chosen.degree, chosen.threshold + 1, risk)
    assert above[2] < 20 or chosen.threshold == chosen.degree, "the threshold is the largest"


@pytest.mark.parametrize(
    ("drop_outs", "corrupted", "lacking"),
    [(60, 30, "failure"), (10, 107, "separation"), (10, 112, "secrecy")],
)
def test_a_risk_that_nothing_bears_is_refused_with_the_closest_tails(
    drop_outs: int, corrupted: int, lacking: str
) -> None:
    risk, most = CohortRisk(drop_outs, corrupted), 118
    with pytest.raises(ConfigError, match=f"bears {drop_outs} drop-outs") as refused:
        choose_neighbourhood(120, risk)
    bearing = [t for t in range(1, most + 1) if exact_bits(120, most, t, risk)[2] >= 20]
    tails = exact_bits(120, most, max(*bearing, most // 2 + 1), risk)
    secrecy, separation, failure = tails
    for words in (
        f"2^-{secrecy:.1f} (secrecy) and 2^-{separation:.1f} (separation) where 2^-40 is required",
        f"2^-{failure:.1f} (failure) where 2^-20 is",
    ):
        assert words in str(refused.value)
    short = dict(zip(("secrecy", "separation", "failure"), tails, strict=True))[lacking]
    assert short < (20 if lacking == "failure" else 40), "that is why"


@pytest.mark.parametrize("sites", [LARGEST_COMPLETE, LARGEST_COHORT + 1])
def test_other_numbers_of_sites_have_no_drawn_neighbourhood(sites: int) -> None:
    with pytest.raises(ConfigError, match=f"among {sites} sites was refused"):
        choose_neighbourhood(sites, CohortRisk(0, 0))
    assert choose_neighbourhood(LARGEST_COMPLETE + 1, CohortRisk(0, 0)).degree < 100


def test_a_risk_is_counted_up_and_never_negative() -> None:
    assert CohortRisk.of(101, 0.1, 0.3) == CohortRisk(11, 31)
    assert CohortRisk.of(100, 0.0, 0.0) == CohortRisk(0, 0)
    for rate, share in [(1.0, 0.0), (0.0, 1.0), (-0.1, 0.0), (0.0, -0.1), (math.nan, 0.0)]:
        with pytest.raises(ConfigError, match="at least 0 and below 1"):
            CohortRisk.of(100, rate, share)
    for counts in [(-1, 0), (0, -1)]:
        with pytest.raises(ConfigError, match="counted from zero"):
            CohortRisk(*counts)


def test_two_disjoint_groups_never_both_reach_the_default_threshold() -> None:
    for n in range(2, 200):
        t = default_threshold(n)
        assert t <= n
        assert 3 * (2 * t - n) > n, "two lists that both open share more than a third of the sites"
        assert 3 * (2 * (t - 1) - n) <= n, "and it is the smallest such"


# -- the draw --------------------------------------------------------------------------------

NAMES = [f"site-{index:03d}" for index in range(120)]


def seed_of(number: int) -> bytes:
    return number.to_bytes(32)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.binary(min_size=32, max_size=32),
    count=st.integers(3, 30),
    data=st.data(),
)
def test_the_draw_is_the_twins(seed: bytes, count: int, data: st.DataObject) -> None:
    names = NAMES[:count]
    site = data.draw(st.sampled_from(names))
    degree = data.draw(st.integers(1, count - 2))
    drawn = draw_neighbours(seed, site, names, degree)
    assert list(drawn) == drawn_neighbours(seed, site, names, degree)
    assert len(set(drawn)) == degree
    assert site not in drawn
    assert drawn == draw_neighbours(seed, site, names[::-1], degree), "the names' order is no input"


def test_the_draw_changes_with_seed_site_and_names() -> None:
    base = draw_neighbours(seed_of(1), NAMES[0], NAMES, 20)
    assert base != draw_neighbours(seed_of(2), NAMES[0], NAMES, 20)
    assert base != draw_neighbours(seed_of(1), NAMES[1], NAMES, 20)
    assert base != draw_neighbours(seed_of(1), NAMES[0], NAMES[:100], 20)
    assert draw_neighbours(seed_of(1), NAMES[0], NAMES[:4], 3) == tuple(NAMES[1:4])


@pytest.mark.parametrize(
    ("seed", "degree"), [(bytes(31), 2), (bytes(33), 2), (bytes(32), 0), (bytes(32), 4)]
)
def test_a_draw_that_cannot_be_is_refused(seed: bytes, degree: int) -> None:
    with pytest.raises(ValueError, match=f"{degree} of 3 others cannot be drawn"):
        draw_neighbours(seed, NAMES[0], NAMES[:4], degree)


class Scripted:
    """A stream whose words a test chooses."""

    def __init__(self, words: Iterator[int]) -> None:
        self.words = words

    def read(self, n_bytes: int) -> bytes:
        return next(self.words).to_bytes(n_bytes, "little")


def test_a_word_that_would_favour_the_first_names_is_drawn_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of three others, 2^32 - 1 words split evenly; the last one would go to the first again."""
    left = iter([2**32 - 1, 2**32 - 1, 2**32 - 2, 7])
    monkeypatch.setattr(graph, "KeyStream", lambda _key: Scripted(left))
    drawn = draw_neighbours(bytes(32), "a", ["a", "b", "c", "d"], 1)
    assert drawn == ("d",), "(2^32 - 2) % 3 is the last of b, c, d"
    assert list(left) == [7]


def chi_square(counts: Mapping[object, int], cells: int) -> float:
    expected = sum(counts.values()) / cells
    seen = sum((count - expected) ** 2 / expected for count in counts.values())
    return seen + (cells - len(counts)) * expected


def test_every_set_of_others_is_equally_likely() -> None:
    names = NAMES[:6]
    counts: dict[object, int] = dict.fromkeys(combinations(names[1:], 2), 0)
    for number in range(4000):
        counts[draw_neighbours(seed_of(number), names[0], names, 2)] += 1
    assert chi_square(counts, 10) < 27.9, "the 99.9 % quantile at 9 degrees of freedom"
    lopsided = dict(counts)
    first, second = list(lopsided)[:2]
    lopsided[first] += 90
    lopsided[second] -= 90
    assert chi_square(lopsided, 10) > 27.9, "a set that comes 22 % more often would be seen"


def test_every_other_site_is_drawn_equally_often() -> None:
    counts: dict[object, int] = dict.fromkeys(NAMES[1:], 0)
    for number in range(600):
        for name in draw_neighbours(seed_of(number), NAMES[0], NAMES, 20):
            counts[name] += 1
    # Drawn without replacement, counts vary less than independent ones: by 1 - 20/119.
    assert chi_square(counts, 119) / (1 - 20 / 119) < 170.1, "99.9 % at 118 degrees of freedom"


# -- separation, by looking at every group -----------------------------------------------------

TINY = NAMES[:9]
TINY_DEGREE, TINY_THRESHOLD = 3, 2
CORRUPTED = frozenset(TINY[:1])
HONEST = tuple(TINY[1:])


def graph_of(seed: int) -> dict[str, frozenset[str]]:
    """Whom each of nine sites drew."""
    return {
        name: frozenset(draw_neighbours(seed_of(1000 * seed + at), name, TINY, TINY_DEGREE))
        for at, name in enumerate(TINY)
    }


def cut_off(drawn: Mapping[str, frozenset[str]]) -> list[frozenset[str]]:
    """The honest groups whose members each drew a threshold among the group and the corrupted."""
    return [
        frozenset(group)
        for size in range(1, len(HONEST) // 2 + 1)
        for group in combinations(HONEST, size)
        if all(len(drawn[site] & (CORRUPTED | set(group))) >= TINY_THRESHOLD for site in group)
    ]


def parts_of(sites: Collection[str], drawn: Mapping[str, frozenset[str]]) -> list[frozenset[str]]:
    """The connected parts of `sites`: those that share masks with each other."""
    left, parts = set(sites), []
    while left:
        part, ahead = set(), [min(left)]
        while ahead:
            site = ahead.pop()
            part.add(site)
            joined = {other for other in left if other in drawn[site] or site in drawn[other]}
            ahead += sorted(joined - part)
        parts.append(frozenset(part))
        left -= part
    return parts


def is_released(survivors: Collection[str], drawn: Mapping[str, frozenset[str]]) -> bool:
    try:
        check_neighbourhoods(TINY_THRESHOLD, survivors, {site: drawn[site] for site in survivors})
    except PeerError:
        return False
    return True


def test_groups_that_can_be_cut_off_are_as_many_as_the_bound_says() -> None:
    rounds = 1500
    found = [len(cut_off(graph_of(seed))) for seed in range(rounds)]
    expected = exact_tails(9, TINY_DEGREE, TINY_THRESHOLD, CohortRisk(0, 1))[1]
    mean = sum(found) / rounds
    spread = math.sqrt(sum((count - mean) ** 2 for count in found) / rounds)
    assert expected > Fraction(1, 50), "often enough to be counted"
    assert abs(mean - expected) < 4 * spread / math.sqrt(rounds)


def test_no_survivor_list_that_is_accepted_splits_the_honest_without_such_a_group() -> None:
    """Every list a coordinator could name, over many small graphs: the lemma behind the bound."""
    lists = [set(s) for size in range(2, 10) for s in combinations(TINY, size)]
    split_without_a_check = split = 0
    for seed in range(300):
        drawn = graph_of(seed)
        groups = set(cut_off(drawn))
        for survivors in lists:
            parts = parts_of(survivors & set(HONEST), drawn)
            if len(parts) < 2:
                continue
            split_without_a_check += 1
            if is_released(survivors, drawn):
                split += 1
                assert min(parts, key=len) in groups
    assert split > 0, "at this size it happens"
    assert split_without_a_check > 50 * split, "the check refuses nearly all lists that split"
