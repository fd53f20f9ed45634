from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
from flwr.supercore.primitives.asymmetric import generate_key_pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import secagg_attacks, secagg_attacks_flower, secagg_attacks_ours
from benchmarks.secagg_attacks import attacks, carry_out, measure
from benchmarks.secagg_outcome import Outcome, recovered
from benchmarks.secagg_seed_search import (
    first_words,
    folded,
    number_of,
    pairs_giving,
    seeds_from,
    seeds_giving,
)
from benchmarks.secagg_site import (
    LyingCoordinator,
    SiteRefusalError,
    changed_hello,
    other_parameters,
)
from crypto import masked_sum_site
from crypto.errors import PeerError
from crypto.masking import MaskTerm, expand_mask, pairwise_term
from secure_fl.rounds.steps import Phase

D = 20
BITS = 8
EXPECTED = {
    "search the seed of a mask": ("succeeds", "fails"),
    "search two seeds at once": ("succeeds", "fails"),
    "propose a modulus of 2": ("succeeds", "refused protocol"),
    "one site alive and dead": ("succeeds", "refused PeerError"),
    "split lists of survivors": ("succeeds", "fails"),
    "propose a threshold of 1": ("succeeds", "refused protocol"),
    "release a wrong share": ("succeeds", "refused CulpritError"),
    "replay a round's shares": ("refused InvalidToken", "refused PeerError"),
    "substitute public keys": ("succeeds", "refused protocol"),
    "a cohort of one": ("succeeds", "refused protocol"),
    "made-up sites": ("succeeds", "refused protocol"),
    "ask for a round again": ("succeeds", "refused protocol"),
    "a model of its own each": ("succeeds", "refused PeerError"),
    "replace the rule": ("succeeds", "refused ConfigError"),
}


@pytest.mark.parametrize("pair", attacks(BITS), ids=lambda pair: pair.name)
def test_each_attack_ends_as_documented(pair: secagg_attacks.Pair) -> None:
    cells = measure([pair], D)
    ended = tuple(f"{cell.outcome} {cell.by}" if cell.by else cell.outcome for cell in cells)
    assert ended == EXPECTED[pair.name]
    assert [cell.against for cell in cells] == ["Flower", "ours"]


def test_every_attack_is_expected() -> None:
    assert [pair.name for pair in attacks(BITS)] == list(EXPECTED)


def test_an_outcome_is_what_the_code_did() -> None:
    def refusing(d: int) -> Outcome:
        raise PeerError(f"no {d}")

    def broken(d: int) -> Outcome:
        raise RuntimeError(d)

    won = carry_out("a", "x", lambda d: Outcome(succeeded=True, found=f"{d}"), 3)
    lost = carry_out("a", "x", lambda d: Outcome(succeeded=False, found=f"{d}"), 3)
    no = carry_out("a", "x", refusing, 3)
    assert (won.outcome, won.by, won.found) == ("succeeds", None, "3")
    assert (lost.outcome, lost.by) == ("fails", None)
    assert (no.outcome, no.by, no.error, no.found) == ("refused", "PeerError", "no 3", None)
    with pytest.raises(RuntimeError):
        carry_out("a", "x", broken, 3)


@pytest.mark.parametrize("phase", [Phase.HELLO, Phase.SHARE, Phase.OPEN])
def test_the_site_that_refuses_a_lie_answers_the_truth(phase: Phase) -> None:
    with LyingCoordinator(D) as honest:
        request = honest.until(phase)
        reply = honest.tell(request)
        assert honest.tell(request) == reply


def test_what_a_liar_signs_anew_is_valid() -> None:
    with LyingCoordinator(D) as lying:
        request = lying.until(Phase.HELLO)
        assert lying.tell(changed_hello(lying, request))
    with LyingCoordinator(D) as lying:
        assert lying.tell(other_parameters(lying, lying.until(Phase.OPEN)))


def test_a_site_that_refuses_says_why_in_its_own_log() -> None:
    with LyingCoordinator(D) as lying:
        request = lying.until(Phase.HELLO)
        with pytest.raises(SiteRefusalError, match=r"refused: .*digest") as caught:
            lying.tell(changed_hello(lying, request, config_digest=bytes(32)))
    assert caught.value.code == "protocol"


def test_recovered_counts_coordinates() -> None:
    truth = np.array([0.0, 1.0, 2.0])
    assert recovered(truth + 0.09, truth, 0.1).succeeded
    partly = recovered(truth + np.array([0.0, 0.0, 0.2]), truth, 0.1)
    assert not partly.succeeded
    assert partly.found == "2 of 3 coordinates recovered"


def test_a_search_beside_the_seed_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    right = secagg_attacks_flower._interval

    def beside(*arguments: Any) -> tuple[int, int]:  # noqa: ANN401 - as the function's
        start, count = right(*arguments)
        return (start + count) % 2**28, count

    monkeypatch.setattr(secagg_attacks_flower, "_interval", beside)
    one = secagg_attacks_flower.search_one_seed(D, BITS)
    two = secagg_attacks_flower.search_two_seeds(D, BITS)
    assert not one.succeeded
    assert not two.succeeded
    assert one.found.startswith("nothing among 256 seeds")


def test_a_key_of_ours_would_be_found_if_it_were_small(monkeypatch: pytest.MonkeyPatch) -> None:
    words = secagg_attacks_ours.words_of
    monkeypatch.setattr(secagg_attacks_ours, "_hidden_words", lambda _n, _d: words(77))
    assert secagg_attacks_ours.search_one_seed(D, BITS).succeeded
    monkeypatch.setattr(secagg_attacks_ours, "_hidden_words", lambda _n, _d: words(77) + words(200))
    assert secagg_attacks_ours.search_two_seeds(D, BITS).succeeded
    assert not secagg_attacks_ours.search_one_seed(D, BITS).succeeded


def test_what_is_searched_is_the_mask_of_the_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    terms: list[MaskTerm] = []

    def recorded(*arguments: Any) -> MaskTerm:  # noqa: ANN401 - as the function's
        terms.append(pairwise_term(*arguments))
        return terms[-1]

    monkeypatch.setattr(masked_sum_site, "pairwise_term", recorded)
    hidden = secagg_attacks_ours._hidden_words(2, D)
    assert not terms[0].negative
    np.testing.assert_array_equal(hidden, expand_mask(terms[0].key, hidden.size))


def test_a_quorum_of_one_kind_rebuilds_a_seed_of_ours() -> None:
    running = secagg_attacks_ours._round(4, D)
    running.prepare()
    running.upload()
    releases = list(running.release().values())
    keys = running.announced[running.session.sites[0]]
    assert secagg_attacks_ours._rebuilds_seed(running.session, releases[:3], keys)
    assert not secagg_attacks_ours._rebuilds_seed(running.session, releases[:2], keys)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_first_words_are_those_of_the_generator_that_flower_uses(seeds: list[int]) -> None:
    got = first_words(np.array(seeds, np.uint32))
    for seed, word in zip(seeds, got, strict=True):
        (twin,) = pseudo_rand_gen(seed.to_bytes(4, "little"), 2**32, [(1,)])
        # Flower leaves out the largest word, and the generator draws again there.
        assert int(word) in {int(twin[0]), 2**32 - 1}


@given(st.integers(0, 2**28 - 1))
def test_numbers_and_seeds_of_pairs_are_inverse(number: int) -> None:
    (seed,) = seeds_from(number, 1)
    assert number_of(int(seed)) == number


def test_seeds_are_numbered_without_gap_across_blocks() -> None:
    seeds = seeds_from(2**21 - 3, 10)
    assert [number_of(int(seed)) for seed in seeds] == list(range(2**21 - 3, 2**21 + 7))


def test_a_seed_with_a_top_bit_is_no_pairs() -> None:
    with pytest.raises(ValueError, match="seven bits per byte"):
        number_of(0x80)


def test_a_pairs_mask_of_flowers_has_28_bits() -> None:
    for _ in range(20):
        (secret, _), (_, public) = generate_key_pairs(), generate_key_pairs()
        key = generate_shared_key(secret, public)
        seed = folded(key)
        assert seed == int(seeds_from(number_of(seed), 1)[0])
        shapes = [(3,), (2, 2)]
        folded_masks = pseudo_rand_gen(seed.to_bytes(4, "little"), 2**32, shapes)
        for one, two in zip(pseudo_rand_gen(key, 2**32, shapes), folded_masks, strict=True):
            np.testing.assert_array_equal(one, two)


def test_searches_find_every_planted_seed() -> None:
    seeds = seeds_from(2**16 - 50, 100)  # over the end of a block
    words = first_words(seeds)
    for place in (0, 49, 50, 99):
        found = list(seeds_giving(int(words[place]), 2**16 - 50, 100))
        assert int(seeds[place]) in found
    total = (int(words[3]) + int(words[97])) % 2**32
    pairs = list(pairs_giving(total, (2**16 - 50, 50), (2**16, 50)))
    assert (int(seeds[3]), int(seeds[97])) in pairs
    by_hand = [
        (int(seeds[i]), int(seeds[j]))
        for i in range(50)
        for j in range(50, 100)
        if (int(words[i]) + int(words[j])) % 2**32 == total
    ]
    assert sorted(pairs) == sorted(by_hand)


def test_the_command_prints_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(secagg_attacks, "_SEARCH_BITS", 4)
    monkeypatch.setattr(secagg_attacks, "_D", 5)
    assert secagg_attacks.main(["--json"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert len(cells) == 2 * len(EXPECTED)
    assert {cell["outcome"] for cell in cells} == {"succeeds", "refused", "fails"}
