"""From a command line to a run: overrides, places, and what to do when it is stopped."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import platformdirs
from pydantic import ValidationError

from crypto.errors import ConfigError
from domains.model_presets import seen_before
from secure_fl.config import RunConfig, explain, load_config
from secure_fl.consortium import site_names
from secure_fl.policy import load_policy
from secure_fl.runfolder import RunFolder
from secure_fl.shown_warnings import shown_warnings
from secure_fl.site_home import now

if TYPE_CHECKING:
    from secure_fl.attempt import Attempt
    from secure_fl.embedded import EmbeddedPlaces
    from secure_fl.plain_display import Display

POLICY_NAME: Final = "policy.toml"


@dataclass(frozen=True)
class Overrides:
    """What a command line changes in a configuration file; None leaves it as it is."""

    rounds: int | None = None
    sites: int | None = None
    seed: int | None = None

    def given(self) -> str:
        """Return the options as they were written."""
        pairs = (("--rounds", self.rounds), ("--sites", self.sites), ("--seed", self.seed))
        return " ".join(f"{name} {value}" for name, value in pairs if value is not None)

    def apply(self, config: RunConfig, path: Path) -> RunConfig:
        """Return `config` with the overrides, checked as if the file at `path` had held them.

        Raises:
            ConfigError: an override breaks a rule.
        """
        if not self.given():
            return config
        table = config.model_dump(mode="json", by_alias=True)
        mechanism = table["mechanism"]
        if self.rounds is not None:
            mechanism["training"]["rounds"] = self.rounds
        if self.sites is not None:
            mechanism["sites"] = self.sites
        if self.seed is not None:
            mechanism["seed"] = self.seed
        try:
            return RunConfig.model_validate(table)
        except ValidationError as error:
            raise ConfigError(explain(error, f"{path} with {self.given()}")) from None


@dataclass(frozen=True)
class StartOptions:
    """Where a new run reads and writes; None stands for the default place."""

    config: Path
    overrides: Overrides
    out: Path | None
    state: Path | None
    fresh_state: bool
    data: Path | None
    policy: Path | None


@dataclass(frozen=True)
class ResumeOptions:
    """Where a run that goes on reads and writes; None stands for the default place."""

    run: Path
    state: Path | None
    data: Path | None
    readmit: tuple[str, ...] = ()
    """Sites that were left out for breaking the protocol, and take part again."""


def default_state() -> Path:
    """Return the folder of keys and ledgers that outlive runs."""
    return Path(platformdirs.user_state_dir("secure-fl", appauthor=False))


def own_state(out: Path) -> Path:
    """Return the state folder of a run that was started with `--fresh-state`: beside its own."""
    return out.with_name(f"{out.name}.state")


def start(options: StartOptions, attempt: Attempt, display: Display) -> None:
    """Start the run and see it through.

    Raises:
        SecureFLError: whatever stops it, by who must act.
    """
    config = options.overrides.apply(load_config(options.config), options.config)
    policy = options.policy or options.config.parent / POLICY_NAME
    load_policy(policy)
    out = options.out or Path("runs") / f"{config.name}-{now():%Y%m%d-%H%M%S}"
    if out.exists():
        RunFolder.create(out)  # refuses what is not empty, before anything takes time
    attempt.folder = out
    state = _state_for(options, out, attempt)
    attempt.resume_command = _resume_command(out, options.state, options.data)
    with display, shown_warnings(display.note):
        _say_which_policy(state, config.mechanism.sites, policy, options, display)
        seen = seen_before(config.mechanism.model.name, config.mechanism.data.dataset)
        if seen is not None:
            display.note(seen)
        # Imports torch and transformers: seconds, and what can be refused is refused by now.
        display.preparing("loading the libraries")
        from secure_fl.embedded import EmbeddedPlaces, start_run  # noqa: PLC0415 - as said

        places = EmbeddedPlaces(
            state=state,
            policy=policy,
            data=options.data,
            budget_carried=not options.fresh_state,
        )
        start_run(config, out, places, display)


def resume(options: ResumeOptions, attempt: Attempt, display: Display) -> None:
    """Go on with an unfinished run.

    Raises:
        SecureFLError: whatever stops it, by who must act.
    """
    progress = RunFolder(options.run).progress()
    progress.readmitting(options.readmit)  # refused before anything takes time
    attempt.folder = options.run
    attempt.resume_command = _resume_command(options.run, options.state, options.data)
    beside = own_state(options.run)
    state = options.state or (beside if beside.is_dir() else default_state())
    if not (state / "consortium" / "roster.json").is_file():
        raise ConfigError(
            f"There are no keys and ledgers in {state}, so {options.run} cannot have been begun "
            "with them: give the --state folder that it was begun with."
        )
    places = _places(state, options.data, carried=progress.budget_carried)
    with display, shown_warnings(display.note):
        display.preparing("loading the libraries")
        from secure_fl.embedded import resume_run  # noqa: PLC0415 - torch takes seconds

        resume_run(options.run, places, display, options.readmit)


def _places(state: Path, data: Path | None, *, carried: bool) -> EmbeddedPlaces:
    from secure_fl.embedded import EmbeddedPlaces  # noqa: PLC0415 - torch takes seconds

    # Every site of a run that was begun has a policy of its own, and only that one counts.
    policy = state / "sites" / POLICY_NAME
    return EmbeddedPlaces(state=state, policy=policy, data=data, budget_carried=carried)


def _state_for(options: StartOptions, out: Path, attempt: Attempt) -> Path:
    if not options.fresh_state:
        return options.state or default_state()
    state = own_state(out)
    if state.exists():
        raise ConfigError(
            f"{state} is there already, so the state would not be fresh: choose another --out, or "
            f"use it as it is with --state {state}."
        )
    if not out.exists():
        attempt.made_state = state
    return state


def _resume_command(out: Path, state: Path | None, data: Path | None) -> str:
    words = ["secure-fl", "run", "--resume", str(out)]
    words += [] if state is None else ["--state", str(state)]
    words += [] if data is None else ["--data", str(data)]
    return shlex.join(words)


def _say_which_policy(
    state: Path, sites: int, policy: Path, options: StartOptions, display: Display
) -> None:
    """Say so where sites keep a policy of their own that differs from the file at `policy`.

    Raises:
        ConfigError: that file was named on the command line, where it would have no effect.
    """
    wanted = policy.read_bytes()
    own = [state / "sites" / name / POLICY_NAME for name in site_names(sites)]
    differing = [path for path in own if path.is_file() and path.read_bytes() != wanted]
    if not differing:
        return
    if options.policy is not None:
        raise ConfigError(
            f"{differing[0]} is that site's policy and differs from {policy}: --policy is for "
            "sites that have none yet, so it would not be enforced. The compliance officer "
            "changes the site's own file; or leave --policy out."
        )
    display.note(
        f"{len(differing)} of {sites} sites keep a policy of their own, which differs from "
        f"{policy} and is the one enforced: {differing[0]}"
    )
