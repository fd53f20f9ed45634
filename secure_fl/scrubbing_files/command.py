"""What `secure-fl scrub` does, from its options to its report."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crypto.errors import BudgetError, ConfigError, SecureFLError
from crypto.secrets import system_entropy
from privacy.scrubbing import KNOWN_ENTITIES, ScrubMode, ScrubProfile, entities_of
from secure_fl.scrubbing_files.crew import Crew
from secure_fl.scrubbing_files.job import scrub_files
from secure_fl.scrubbing_files.output import OutputFile
from secure_fl.scrubbing_files.plan import FileTask, plan
from secure_fl.scrubbing_files.recipe import ScrubberRecipe, Writing
from secure_fl.scrubbing_files.report import Looked, ScrubReport, report_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from privacy.scrubbing import DateOrder
    from privacy.scrubbing.own_models import OwnModel
    from privacy.scrubbing.own_models.description import Own
    from secure_fl.policy import SitePolicy
    from secure_fl.scrubbing_files.plan import Choices
    from secure_fl.scrubbing_files.progress import Watcher

BYTES_PER_WORKER: Final = 2**20
"""Below this for each, a further worker costs more to start than it saves."""
MOST_WORKERS: Final = 8
"""Each holds about half a gigabyte; --workers asks for more."""
DEADLINE_SECONDS: Final = 120.0
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which types of identifier to look for.

    Attributes:
        entities: these alone, and each of them has to be found by something; empty for every type
            that anything loaded can find.
        required: these have to be among them.
        policy: a site's policy, whose required types have to be among them too, and whose own
            recognisers look for them too.
        models: models of the site's own, beside those of the policy.
    """

    entities: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    policy: Path | None = None
    models: tuple[OwnModel, ...] = ()


@dataclass(frozen=True, slots=True)
class Mode:
    """What is written in the place of what is found.

    Attributes:
        mode: by which rule.
        site: a site's own folder: its key makes keyed surrogates, its policy is the policy.
        date_order: how the texts mean 03/04/2019.
    """

    mode: ScrubMode = ScrubMode.PLACEHOLDERS
    site: Path | None = None
    date_order: DateOrder | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A whole command line.

    Attributes:
        files: what to scrub.
        choices: what of it, and how it is read.
        wanted: what to look for.
        mode: what to write in its place.
        out: where outputs go.
        replace: whether outputs that exist may be replaced.
        report: where the report goes as JSON.
        labelled: labelled texts, to measure what scrubbing leaves.
        workers: how many processes scrub; None to choose by size.
        deadline_seconds: what a million characters may take.
    """

    files: tuple[Path, ...]
    choices: Choices
    wanted: Wanted
    mode: Mode = field(default_factory=Mode)
    out: Path | None = None
    replace: bool = False
    report: Path | None = None
    labelled: Path | None = None
    workers: int | None = None
    deadline_seconds: float = DEADLINE_SECONDS


def carry_out(order: Order, watch: Callable[[Sequence[FileTask]], Watcher]) -> ScrubReport:
    """Scrub the files, write the report where one was asked for, and return it.

    Args:
        order: what to do.
        watch: makes what shows how far it is.

    Raises:
        ConfigError: anything cannot be honoured, read, scrubbed or written; no message holds text
            of a file. Files that were finished before stay.
        BudgetError: the policy requires a type or a mode that was not asked for.
    """
    defect: str | None = None
    try:
        return _carried_out(order, watch)
    except SecureFLError:
        raise
    except Exception as error:  # noqa: BLE001 - a message or a chained one may quote a record
        defect = f"{type(error).__name__} at {_where(error)}"
    raise RuntimeError(defect)


def _carried_out(order: Order, watch: Callable[[Sequence[FileTask]], Watcher]) -> ScrubReport:
    policy = _policy(order)
    own = _own(order, policy)
    profile = profile_of(order.wanted, order.mode.mode, policy, own)
    writing = writing_of(order.mode)
    tasks = plan(order.files, order.choices, order.out, replace=order.replace)
    sample = _sample(order.labelled)
    _refuse_paths(order, tasks)
    workers = order.workers or workers_for(tasks)
    recipe = ScrubberRecipe(profile, writing, own)
    with (
        watch(tasks) as watcher,
        Crew(recipe, workers=workers, deadline_seconds=order.deadline_seconds) as crew,
    ):
        ready = crew.ready()
        residual = None if sample is None else crew.measure(*sample)
        done = scrub_files(tasks, crew, watcher)
    report = report_of(
        done,
        Looked(ready.coverage, ready.providers, profile.required, residual),
        order.mode.mode,
        expert_statement=None if policy is None else policy.expert_statement,
    )
    if order.report is not None:
        with OutputFile(order.report, replace=order.replace) as output:
            output.write(report.as_json().encode())
            output.commit()
    return report


def _policy(order: Order) -> SitePolicy | None:
    path = _policy_path(order)
    if path is None:
        return None
    from secure_fl.policy import load_policy  # noqa: PLC0415 - most scrubbing has none

    return load_policy(path)


def _policy_path(order: Order) -> Path | None:
    if order.wanted.policy is None and order.mode.site is not None:
        return order.mode.site / "policy.toml"
    return order.wanted.policy


def _own(order: Order, policy: SitePolicy | None) -> tuple[Own, ...]:
    """Return the recognisers of the site's own, of the command line and of the policy."""
    path = _policy_path(order)
    if path is None or policy is None:
        return order.wanted.models
    return (*order.wanted.models, *policy.own_recognizers(path.parent))


def profile_of(
    wanted: Wanted, mode: ScrubMode, policy: SitePolicy | None, own: tuple[Own, ...] = ()
) -> ScrubProfile:
    """Return what to look for, and what has to be found by something.

    Raises:
        ConfigError: a name is no entity's.
        BudgetError: the policy requires an entity that is not among those asked for, or another
            mode.
    """
    required = {*wanted.required, *wanted.entities, *entities_of(mode, ())}
    if policy is not None:
        by_policy = set(policy.required_scrubbing)
        left_out = sorted(by_policy - required) if wanted.entities else []
        if left_out:
            raise BudgetError(
                f"The policy requires that {', '.join(left_out)} be scrubbed, and --entities "
                "leaves it out: nothing was scrubbed. Add it to --entities."
            )
        if policy.required_scrub_mode not in {None, mode}:
            raise BudgetError(
                f"The policy requires the mode {policy.required_scrub_mode}, and {mode} was asked "
                f"for: nothing was scrubbed. Give --mode {policy.required_scrub_mode}."
            )
        required |= by_policy
    findable = {*KNOWN_ENTITIES, *(entity for one in own for entity in one.entities_named)}
    optional = () if wanted.entities else findable - required
    return ScrubProfile(required=tuple(sorted(required)), optional=tuple(sorted(optional)))


def writing_of(mode: Mode) -> Writing:
    """Return what the workers write by: for Safe Harbor random bytes that nobody keeps.

    Raises:
        ConfigError: keyed surrogates are asked for and no site's key is there, or the other way
            round.
    """
    if mode.mode is not ScrubMode.EXPERT_DETERMINATION:
        if mode.date_order is not None:
            raise ConfigError(
                f"--date-order goes with --mode {ScrubMode.EXPERT_DETERMINATION}, which shifts "
                "dates: nothing was scrubbed. Leave it out."
            )
        drawn = mode.mode is ScrubMode.SAFE_HARBOR
        secret = system_entropy(_SECRET_BYTES) if drawn else b""
        return Writing(mode.mode, secret, datetime.now(UTC).year)
    if mode.site is None:
        raise ConfigError(
            f"--mode {mode.mode} makes surrogates by a site's key, and none is named: nothing was "
            "scrubbed. Give the site's own folder (--site STATE/sites/NAME)."
        )
    from crypto.keyfiles import read_secret  # noqa: PLC0415 - for this mode alone
    from crypto.signatures import SigningKey  # noqa: PLC0415 - likewise
    from secure_fl.sites.scrub_secrets import ScrubSecrets  # noqa: PLC0415 - likewise

    identity = SigningKey.from_seed(read_secret(mode.site / "identity.key"))
    secrets = ScrubSecrets(mode.site / "runs", identity, system_entropy, lambda: datetime.now(UTC))
    return Writing(mode.mode, secrets.expert_key().reveal(), 0, mode.date_order)


def workers_for(tasks: Sequence[FileTask]) -> int:
    """Return how many processes are worth their start: one for small files, else one per core."""
    total_bytes = sum(task.size_bytes for task in tasks)
    # A document that is a whole file is scrubbed by one process, however long it is.
    pieces = sum(1 if task.format.whole else task.size_bytes for task in tasks)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, MOST_WORKERS, total_bytes // BYTES_PER_WORKER, pieces))


def _refuse_paths(order: Order, tasks: Sequence[FileTask]) -> None:
    report = order.report
    for written in filter(None, (report, *(task.target for task in tasks))):
        if order.labelled and written.exists() and written.samefile(order.labelled):
            raise ConfigError(
                f"{written} would be replaced, and holds the labelled texts: choose another name. "
                "Nothing was scrubbed."
            )
    if report is None:
        return
    if not report.parent.is_dir():
        raise ConfigError(f"There is no folder {report.parent} to write the report into.")
    for task in tasks:
        source = report.exists() and report.samefile(task.source)
        output = (report.parent.resolve(), report.name) == (
            task.target.parent.resolve(),
            task.target.name,
        )
        if source or output:
            raise ConfigError(
                f"The report would replace {report}, which is scrubbed or an output: choose "
                "another name for it. Nothing was scrubbed."
            )
    if report.is_symlink() or (report.exists() and not report.is_file()):
        raise ConfigError(f"{report} is a link or no file: choose another --report.")
    if report.exists() and not order.replace:
        raise ConfigError(
            f"The report {report} exists: it stays as it is, and nothing was scrubbed. Choose "
            "another --report, or --force."
        )


def _sample(path: Path | None) -> tuple[Path, int] | None:
    """Return the labelled texts and their size in bytes."""
    if path is None:
        return None
    if not path.is_file():
        raise ConfigError(f"There is no file {path} with labelled texts. Nothing was scrubbed.")
    return path, path.stat().st_size


def _where(error: Exception) -> str:
    """Return the place in the source where an error was raised, which holds no record."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"
