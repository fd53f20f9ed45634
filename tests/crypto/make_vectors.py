"""Write the vectors of masked sums: whole rounds, and messages that have to be refused.

    python tests/crypto/make_vectors.py

Nothing here imports `crypto`: what comes out was computed by the naive twins beside this file, from
secrets that are hashes of their own names. The format stands in `vectors/README.md`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import reference_masked_sum as twin
from bad_masked_sums import bad_cases
from reference_masked_run import (
    CLASSICAL,
    HYBRID,
    MASK_KEY,
    SELF_MASK,
    Round,
    Secrets,
    Settings,
    drawn_neighbours,
    sha256,
)

FOLDER = Path(__file__).parent / "vectors"
FIRST_WORDS = 4


def from_name(name: str, length: int = 32) -> bytes:
    """Bytes that look random and are the same everywhere."""
    return hashlib.shake_256(f"secure-fl test vector: {name}".encode()).digest(length)


def element_from(name: str) -> int:
    return int.from_bytes(from_name(name, 48)) % twin.SHARE_PRIME


def secrets_of(run: str, site: str, settings: Settings) -> Secrets:
    def of(what: str, length: int = 32) -> bytes:
        return from_name(f"{run}/{site}/{what}", length)

    def polynomial(what: str) -> tuple[int, ...]:
        powers = range(1, settings.threshold)
        return tuple(element_from(f"{run}/{site}/{what}/{power}") for power in powers)

    holders = [name for name in settings.sites if name != site]
    seeds = holders if settings.is_hybrid else []
    return Secrets(
        of("channel"),
        of("mask"),
        of("seed"),
        polynomial("mask"),
        polynomial("seed"),
        {holder: of(f"nonce/{holder}", 12) for holder in holders},
        {holder: of(f"channel/{holder}") for holder in seeds},
        {holder: of(f"half/{holder}") for holder in seeds},
    )


def round_of(run: str, settings: Settings, number: int, size: int, dropped: str) -> Round:
    width_bytes = settings.width_bits // 8
    vectors = {
        site: tuple(
            int.from_bytes(from_name(f"{run}/{site}/element/{at}", width_bytes), "little")
            for at in range(size)
        )
        for site in settings.sites
    }
    return Round(
        settings,
        number,
        from_name(f"{run}/header"),
        from_name(f"{run}/parameters"),
        {site: secrets_of(run, site, settings) for site in settings.sites},
        vectors,
        tuple(site for site in settings.sites if site != dropped),
    )


def settings_of(run: str, count: int, **changes: Any) -> Settings:  # noqa: ANN401 - fields
    names = ("site-a", "site-b", "site-c", "site-d")[:count]
    fields: dict[str, Any] = {
        "run_id": from_name(f"{run}/run", 16),
        "attempt": 0,
        "roster_digest": from_name(f"{run}/roster"),
        "config_digest": from_name(f"{run}/configuration"),
        "suite": CLASSICAL,
        "adversary": "semi-honest",
        "width_bits": 32,
        "sites": names,
        "threshold": 3,
    }
    return Settings(**(fields | changes))


def rounds() -> dict[str, Round]:
    """The three rounds that are published."""
    narrow = settings_of("narrow", 3, attempt=2, adversary="malicious", width_bits=24, threshold=2)
    hybrid = settings_of("hybrid", 3, suite=HYBRID, adversary="malicious", threshold=2)
    return {
        "classical": round_of("classical", settings_of("classical", 4), 7, 5, "site-d"),
        "narrow": round_of("narrow", narrow, 0, 7, "site-a"),
        "hybrid": round_of("hybrid", hybrid, 300, 4, "site-b"),
    }


def hexed(tree: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """The same tree with bytes as hexadecimal text."""
    if isinstance(tree, bytes):
        return tree.hex()
    if isinstance(tree, dict):
        return {key: hexed(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [hexed(value) for value in tree]
    return tree


def element(value: int) -> bytes:
    return value.to_bytes(33)


def inputs_of(run: Round) -> dict[str, Any]:
    settings = run.settings
    return {
        "session": {
            name: getattr(settings, name)
            for name in ("run_id", "attempt", "roster_digest", "config_digest", "suite")
        }
        | {
            name: getattr(settings, name)
            for name in ("adversary", "width_bits", "sites", "threshold")
        },
        "round": run.number,
        "header_digest": run.header_digest,
        "parameter_digest": run.parameter_digest,
        "survivors": run.survivors,
        "sites": {
            site: {
                "channel_secret": secrets.channel,
                "mask_secret": secrets.mask,
                "self_mask_seed": secrets.seed,
                "mask_polynomial": [element(value) for value in secrets.mask_polynomial],
                "seed_polynomial": [element(value) for value in secrets.seed_polynomial],
                "nonces": secrets.nonces,
                "channel_encapsulations": secrets.channel_seeds,
                "half_encapsulations": secrets.mask_seeds,
                "vector": run.vectors[site],
            }
            for site, secrets in run.secrets.items()
        },
    }


def outputs_of(run: Round) -> dict[str, Any]:
    sites, survivors = run.settings.sites, run.survivors
    pairs = [(site, peer) for site in sites for peer in sites if site != peer]
    malicious = run.settings.adversary == "malicious"
    return {
        "session_record": run.settings.record(),
        "session_digest": run.settings.digest,
        "announcements": {site: run.announcement(site) for site in sites},
        "announcement_digests": {site: sha256(run.announcement(site)) for site in sites},
        "announced_digest": run.announced(),
        "shares": {
            dealer: {
                holder: {kind: run.share(dealer, holder, kind) for kind in (MASK_KEY, SELF_MASK)}
                for holder in sites
            }
            for dealer in sites
        },
        "pair_halves": {
            f"{site} to {peer}": run.pair_half(site, peer)
            for site, peer in pairs
            if run.settings.is_hybrid
        },
        "dealt": {
            dealer: {holder: run.dealt(dealer, holder) for holder in sites} for dealer in sites
        },
        "binding_record": run.binding(),
        "binding_digest": sha256(run.binding()),
        "self_mask_keys": {site: run.self_mask_key(site) for site in sites},
        "self_mask_words": {
            site: twin.mask_words(run.self_mask_key(site), FIRST_WORDS) for site in sites
        },
        "pair_keys": {
            f"{low} and {high}": run.pair_key(low, high) for low, high in pairs if low < high
        },
        "pair_words": {
            f"{low} and {high}": twin.mask_words(run.pair_key(low, high), FIRST_WORDS)
            for low, high in pairs
            if low < high
        },
        "uploads": {site: run.upload(site) for site in survivors},
        "confirmations": {
            site: twin.encoded(*run.confirmation_fields(site)) for site in survivors if malicious
        },
        "releases": {site: twin.encoded(*run.release_fields(site)) for site in survivors},
        "sum": run.total(),
    }


def neighbours() -> dict[str, Any]:
    """Draws above a hundred sites, and the session that they belong to."""
    sites = tuple(f"site-{at:03d}" for at in range(120))
    settings = settings_of("neighbours", 0, sites=sites, threshold=13, degree=19, risk=(6, 12))
    draws = []
    for site, degree in [("site-000", 1), ("site-000", 19), ("site-077", 19), ("site-119", 117)]:
        seed = from_name(f"neighbours/{site}/{degree}")
        drawn = drawn_neighbours(seed, site, sites, degree)
        draws.append({"site": site, "degree": degree, "seed": seed, "drawn": drawn})
    return {
        "session": {
            "run_id": settings.run_id,
            "roster_digest": settings.roster_digest,
            "config_digest": settings.config_digest,
            "sites": sites,
            "threshold": settings.threshold,
            "degree": settings.degree,
            "drop_outs": 6,
            "corrupted": 12,
        },
        "session_record": settings.record(),
        "session_digest": settings.digest,
        "draws": draws,
    }


def vectors() -> dict[str, str]:
    """The text of every file, by its name."""
    runs = rounds()
    trees: dict[str, Any] = {
        f"masked_sum_{name}.json": {
            "schema": "secure-fl.vectors.masked-sum.v1",
            "inputs": inputs_of(run),
            "outputs": outputs_of(run),
        }
        for name, run in runs.items()
    }
    trees["masked_sum_neighbours.json"] = {
        "schema": "secure-fl.vectors.neighbours.v1",
        **neighbours(),
    }
    trees["masked_sum_bad.json"] = {
        "schema": "secure-fl.vectors.refused.v1",
        "cases": bad_cases(runs),
    }
    return {name: json.dumps(hexed(tree), indent=1) + "\n" for name, tree in trees.items()}


def main() -> int:
    for name, text in vectors().items():
        (FOLDER / name).write_text(text, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
