"""What `secure-fl doctor` looks at for one run: model, scrubbing, data, policy and budget."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from privacy.scrubbing import KNOWN_ENTITIES, Scrubber, ScrubMode, ScrubProfile
from secure_fl.findings import bad, note, ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from privacy.scrubbing import Recognizer
    from privacy.scrubbing.own_models.description import Own
    from secure_fl.config import Mechanism, ModelSection, RunConfig, Runtime
    from secure_fl.findings import Finding

_SPECIMEN: Final = "Please write to anna.berg@example.org about GB29 NWBK 6016 1331 9268 19."
"""Invented; the IBAN is the one of the standard's own example."""
_FOUND_IN_SPECIMEN: Final = ("EMAIL_ADDRESS", "IBAN_CODE")


def base_model(model: ModelSection, runtime: Runtime) -> Iterator[Finding]:
    """Yield whether the base model is here with the pinned weights; nothing is downloaded.

    Raises:
        ConfigError: it is not, and may not be downloaded either.
    """
    from crypto.errors import ConfigError  # noqa: PLC0415 - with its one use
    from secure_fl.sites.workbench import resolve_model  # noqa: PLC0415 - imports transformers

    offline = runtime.model_copy(update={"allow_hub": False})
    try:
        found = resolve_model(model, offline)
    except ConfigError as error:
        # What is here and wrong stays wrong; only what is nowhere would be downloaded.
        if not runtime.allow_hub or "is not on this machine" not in str(error):
            raise
        yield note("base model", f"{model.name} is not here; the run may download it.")
        return
    yield ok(
        "base model",
        f"{found.name}, weights {found.weights_sha256[:16]}... as pinned ({found.source.value})",
    )


def scrubbing(
    required: tuple[str, ...],
    mode: ScrubMode = ScrubMode.PLACEHOLDERS,
    own: tuple[Own, ...] = (),
) -> Iterator[Finding]:
    """Yield which PII entities can be looked for, which of `required` cannot, and what `mode` asks.

    Args:
        required: what a run takes out of every record.
        mode: what it writes instead.
        own: a site's own recognisers, which are loaded.

    Raises:
        ConfigError: an entity that must be scrubbed has no provider, or one of the site's own
            recognisers cannot be loaded.
        IntegrityError: the folder of a model of the site's own was changed.
    """
    from secure_fl.own_models import OwnRecognizers  # noqa: PLC0415 - with its one use

    with OwnRecognizers(own) as loaded:
        yield from _providers(required, mode, loaded.recognizers)
        for recognizer in loaded.recognizers:
            entities = ", ".join(recognizer.entities)
            yield ok("scrubbing", f"The site's own {recognizer.name} answers; finds {entities}")


def _providers(
    required: tuple[str, ...], mode: ScrubMode, own: tuple[Recognizer, ...]
) -> Iterator[Finding]:
    extra = {entity for recognizer in own for entity in recognizer.entities}
    every = ScrubProfile(required=(), optional=tuple({*KNOWN_ENTITIES, *extra}))
    able = Scrubber(every, own)
    found = {span.entity for span in able.scrub(_SPECIMEN).spans}
    missed = sorted(set(_FOUND_IN_SPECIMEN) - found)
    if missed:
        yield bad(
            "scrubbing",
            f"An invented text with {' and '.join(missed)} in it passed as clean: the providers "
            "do not work. Install presidio-analyzer again.",
        )
        return
    if required:
        Scrubber(ScrubProfile(required=required), own)
        yield ok("scrubbing", f"A provider is loaded for each of {', '.join(sorted(required))}")
        yield from _of_mode(mode)
    coverage = able.coverage
    yield ok("scrubbing", f"Can be looked for: {', '.join(coverage.looked_for)}")
    if coverage.not_looked_for:
        yield note("scrubbing", f"Cannot be looked for: {', '.join(coverage.not_looked_for)}")


def _of_mode(mode: ScrubMode) -> Iterator[Finding]:
    match mode:
        case ScrubMode.PLACEHOLDERS:
            return
        case ScrubMode.SAFE_HARBOR:
            yield note(
                "scrubbing",
                "Every identifier of Safe Harbor that text can hold is looked for; that the site "
                "knows of nothing else that could identify somebody, only the site can state",
            )
        case ScrubMode.EXPERT_DETERMINATION:
            yield note(
                "scrubbing",
                "Keyed surrogates and shifted dates need an expert's determination: the site's "
                "policy names its digest (`expert_statement`)",
            )


def method(mechanism: Mechanism) -> Iterator[Finding]:
    """Yield whether the method can run under the protection.

    Raises:
        ConfigError: it needs more than is revealed.
    """
    from secure_fl.methods import method_of  # noqa: PLC0415 - imports numpy

    found = method_of(mechanism)
    yield ok(
        "method",
        f"{found.name} needs the {found.needs.name.lower()}, which the protection "
        f"`{mechanism.protection.value}` reveals",
    )


def sums(mechanism: Mechanism) -> Iterator[Finding]:
    """Yield what the sums of the run stand up to, if this machine can do them.

    Raises:
        ConfigError: it cannot, or no neighbourhood bears what is assumed of a large cohort.
    """
    from secure_fl.rounds.proposing import (  # noqa: PLC0415 - imports numpy
        check_machine,
        neighbourhood_of,
    )
    from secure_fl.views import Protection  # noqa: PLC0415 - with its one use

    check_machine(mechanism)
    if mechanism.protection is Protection.HOMOMORPHIC:
        yield note(
            "sums",
            f"The sites share one key ({mechanism.scheme.value.upper()}): any one of them, "
            "together with the coordinator, can read every update",
        )
    if mechanism.protection is not Protection.MASKED:
        return
    yield ok(
        "sums",
        f"{mechanism.needed_survivors()} of {mechanism.sites} sites open a masked sum, against a "
        f"{mechanism.adversary.value} coordinator, in {mechanism.cipher_suite.value}",
    )
    drawn = neighbourhood_of(mechanism)
    if drawn is not None:
        yield ok(
            "sums",
            f"Each site deals shares to {drawn.degree} others, of which {drawn.threshold} rebuild "
            "a secret",
        )


def data(mechanism: Mechanism) -> Iterator[Finding]:
    """Yield what the run needs of a data folder."""
    from domains.catalogue import ENTRIES  # noqa: PLC0415 - imports numpy
    from domains.own_files import NAME  # noqa: PLC0415 - likewise

    if mechanism.data.dataset == NAME:
        yield note("data", "Every site brings its own records: see [data].")
        return
    entry = ENTRIES.get(mechanism.data.dataset)
    if entry is None:
        known = ", ".join(sorted(ENTRIES))
        yield bad("data", f"No data set is called {mechanism.data.dataset!r}. Known: {known}.")
    elif entry.files:
        hub = "" if entry.hub is None else ", or the Hugging Face cache to have it"
        files = ", ".join(entry.files)
        yield note("data", f"{entry.name} needs --data with {files} in it{hub}.")
    else:
        yield ok("data", f"{entry.name} is generated and needs no files.")


def permission(
    config: RunConfig, config_path: Path, state: Path, now: datetime
) -> Iterator[Finding]:
    """Yield whether every site's policy and ledger allow the run.

    Raises:
        BudgetError: one does not; the message says on which points.
        ConfigError: a policy cannot be read, or sigma contradicts epsilon.
        IntegrityError: a ledger does not verify.
    """
    from privacy.ledger import Ledger  # noqa: PLC0415 - with the accountant, seconds
    from secure_fl.guarantee import planned_event, resolve_sigma  # noqa: PLC0415 - likewise
    from secure_fl.policy import load_policy  # noqa: PLC0415 - likewise

    mechanism = resolve_sigma(config.mechanism)
    paths = policy_paths(config_path, state, mechanism.sites)
    for path in paths:
        policy = load_policy(path)
        policy.check(mechanism)
        policy.budget_for(mechanism)
    yield ok("policy", f"Allowed by {' and '.join(_shortened(paths))}")
    homes = [path.parent for path in paths if path.parent != config_path.parent]
    for home in homes:
        ledger_path = home / "ledger.sqlite"
        if not ledger_path.is_file():
            continue
        name, budget = load_policy(home / "policy.toml").budget_for(mechanism)
        with Ledger.open(ledger_path, clock=lambda: now) as ledger:
            ledger.afford(name, planned_event(mechanism), budget)
    yield ok("budget", "Every site can still afford this run" if homes else "Nothing spent yet")


def policy_paths(config_path: Path, state: Path, sites: int) -> list[Path]:
    """Return the policies that count: of each site that has begun, and of those that would."""
    from secure_fl.consortium import site_names  # noqa: PLC0415 - with the accountant, seconds

    begun = [state / "sites" / name for name in site_names(sites)]
    paths = [home / "policy.toml" for home in begun if (home / "policy.toml").is_file()]
    if len(paths) < len(begun):
        paths.append(config_path.parent / "policy.toml")
    return paths


def own_recognizers(config_path: Path, state: Path, sites: int) -> tuple[tuple[Own, ...], ...]:
    """Return the recognisers of their own that sites have, each set of them once.

    A policy that cannot be read names none: `permission` says why it cannot.
    """
    from crypto.errors import ConfigError  # noqa: PLC0415 - with its one use
    from secure_fl.policy import load_policy  # noqa: PLC0415 - likewise

    found: list[tuple[Own, ...]] = []
    for path in policy_paths(config_path, state, sites):
        with contextlib.suppress(ConfigError):
            found.append(load_policy(path).own_recognizers(path.parent))
    own = tuple(dict.fromkeys(filter(None, found)))
    return own or ((),)


def _shortened(paths: list[Path]) -> list[str]:
    """Return the first and the last of more than two paths."""
    shown = [str(path) for path in paths]
    return shown if len(shown) <= 2 else [shown[0], f"{len(shown) - 1} more"]  # noqa: PLR2004 - as said
