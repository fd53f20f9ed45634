"""Whether this machine can run a configuration, in words that an operator can act on.

Nothing is downloaded, nobody is asked, nothing is charged, and no key or ledger is made.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from secure_fl import machine_checks, run_checks
from secure_fl.config import ModelSection, Runtime, load_config
from secure_fl.findings import Finding, bad, checked, ok
from secure_fl.launch import default_state
from secure_fl.site_home import now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from secure_fl.config import RunConfig

_EXAMPLES_MODEL: Final = "all-MiniLM-L6-v2"


def examine(config_path: Path | None, state: Path | None) -> tuple[Finding, ...]:
    """Return how this machine stands, for the run in `config_path` or for the examples.

    Args:
        config_path: a run's configuration file.
        state: the folder of keys and ledgers; this user's when absent.
    """
    moment = now()
    folder = state or default_state()
    findings = [
        *machine_checks.python(),
        *checked("libraries", machine_checks.libraries),
        *machine_checks.clock(moment),
        *machine_checks.disk((folder, Path("runs"))),
        *machine_checks.network(),
        *machine_checks.state(folder, moment),
    ]
    if any(finding.topic == "libraries" and finding.faulty for finding in findings):
        # What follows would only say the same again, once for each library.
        return tuple(findings)
    if config_path is None:
        findings += _for_examples()
    else:
        findings += _for_run(config_path, folder, moment)
    return tuple(findings)


def _for_examples() -> Iterator[Finding]:
    from domains.base_models import preset  # noqa: PLC0415 - only where no run names a model

    ref = preset(_EXAMPLES_MODEL).ref
    model = ModelSection(name=ref.name, weights_sha256=ref.weights_sha256)
    yield from checked("base model", lambda: run_checks.base_model(model, Runtime()))
    yield from checked("scrubbing", lambda: run_checks.scrubbing(()))


def _for_run(path: Path, state: Path, moment: datetime) -> Iterator[Finding]:
    try:
        config: RunConfig = load_config(path)
    except ConfigError as error:
        yield bad("run", str(error))
        return
    mechanism = config.mechanism
    yield ok("run", f"{config.name}: {mechanism.sites} sites, {mechanism.training.rounds} rounds")
    yield from checked("method", lambda: run_checks.method(mechanism))
    yield from checked("sums", lambda: run_checks.sums(mechanism))
    yield from checked("base model", lambda: run_checks.base_model(mechanism.model, config.runtime))
    data = mechanism.data
    for own in run_checks.own_recognizers(path, state, mechanism.sites):
        yield from checked(
            "scrubbing", partial(run_checks.scrubbing, data.scrub, data.scrub_mode, own)
        )
    yield from run_checks.data(mechanism)
    yield from checked("policy", lambda: run_checks.permission(config, path, state, moment))
