"""Whole runs of the tiny model: configuration, policy, places, and observers that interrupt."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import tiny_model
import tomli_w

from crypto.keyfiles import read_public
from domains.catalogue import DatasetOptions, load_dataset
from secure_fl.config import RunConfig
from secure_fl.embedded import EmbeddedPlaces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tiny_model import TinyModel

    from crypto.signatures import VerifyKey
    from domains.records import Dataset
    from secure_fl.observing import RoundScored, RunBegan, RunEnded
    from secure_fl.rounds.steps import Phase

DATASET = "finance.generated"
BUDGET = "tests-sentences"
SCRUBBED = ("EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER")
SIGMA = 1.5
"""With the rates below, a plan of 2 rounds costs epsilon 0.96 at delta 1e-5, two of them 1.2."""

NONE: dict[str, Any] = {"mode": "none"}
RECORD: dict[str, Any] = {
    "mode": "record",
    "unit": "record",
    "delta": 1e-5,
    "sigma": SIGMA,
    "sampling_rate": 0.1,
    "clip": 0.5,
    "divisor": 4.0,
}


def tiny_config(  # noqa: PLR0913 - what the tests vary, each by its name
    model: TinyModel,
    privacy: dict[str, Any] = NONE,
    *,
    method: str = "fedit",
    protection: str = "masked",
    sites: int = 3,
    rounds: int = 2,
    scrub: tuple[str, ...] = (),
    dataset: str = DATASET,
    workers: int = 2,
    training: dict[str, Any] | None = None,
    adapter: dict[str, Any] | None = None,
    canaries: dict[str, Any] | None = None,
) -> RunConfig:
    """Return a run of a few seconds."""
    trained = {"rounds": rounds, "local_steps": 2, "learning_rate": 0.02, **(training or {})}
    if privacy["mode"] == "none":
        trained.setdefault("batch_size", 8)
    return RunConfig.model_validate(
        {
            "schema": "secure-fl.run.v1",
            "name": "tiny",
            "mechanism": {
                "method": method,
                "sites": sites,
                "seed": 3,
                "protection": protection,
                "adversary": "semi-honest",
                "data": {"dataset": dataset, "scrub": scrub},
                "model": {
                    "name": tiny_model.NAME,
                    "weights_sha256": model.weights_sha256,
                    "max_length": tiny_model.LONGEST,
                },
                "adapter": {
                    "rank": 2,
                    "alpha": 4,
                    "target_modules": ["query", "value"],
                    **(adapter or {}),
                },
                "training": trained,
                "privacy": privacy,
                "canaries": canaries,
            },
            "runtime": {"base_model": str(model.folder), "workers": workers},
        }
    )


def write_config(path: Path, config: RunConfig) -> Path:
    """Write `config` as the file that a person would have written."""
    table = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def write_policy(  # noqa: PLR0913 - as above
    path: Path,
    model: TinyModel,
    *,
    epsilon: float = 20.0,
    required_scrubbing: tuple[str, ...] = (),
    dataset: str = DATASET,
    most_canaries: int = 0,
) -> Path:
    """Write a policy that allows the runs of `tiny_config`, up to `epsilon` at delta 1e-5."""
    table = {
        "schema": "secure-fl.site-policy.v1",
        "smallest_cohort": 2,
        "smallest_threshold": 2,
        "allowed_methods": ["fedit", "ffa-lora", "bitfit", "norm-tuning", "linear-head"],
        "allowed_protections": ["masked", "homomorphic", "plain"],
        "allow_no_privacy": True,
        "allowed_base_models": [model.weights_sha256],
        "largest_rank": 8,
        "largest_clip": 1.0,
        "required_scrubbing": list(required_scrubbing),
        "most_canaries": most_canaries,
        "datasets": [
            {
                "name": BUDGET,
                "dataset": dataset,
                "epsilon": epsilon,
                "delta": 1e-5,
                "unit": "record",
            }
        ],
    }
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


@cache
def small_dataset(train: int = 123, evaluation: int = 40) -> Dataset:
    """Return fewer generated sentences than the catalogue's usual number."""
    options = DatasetOptions(train=train, evaluation=evaluation)
    return load_dataset(DATASET, data=None, seed=3, options=options)


@dataclass(frozen=True)
class Setting:
    """Where the tests of one state folder read and write; `dataset` None: the catalogue's."""

    folder: Path
    model: TinyModel
    dataset: Dataset | None = field(default_factory=small_dataset, repr=False)
    epsilon: float = 20.0
    required_scrubbing: tuple[str, ...] = ()
    most_canaries: int = 0

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def out(self) -> Path:
        return self.folder / "run"

    @property
    def root(self) -> VerifyKey:
        return read_public(self.state / "consortium" / "root.pub")

    def places(self, data: Path | None = None) -> EmbeddedPlaces:
        policy = write_policy(
            self.folder / "policy.toml",
            self.model,
            epsilon=self.epsilon,
            required_scrubbing=self.required_scrubbing,
            dataset=DATASET if self.dataset is None else self.dataset.name,
            most_canaries=self.most_canaries,
        )
        return EmbeddedPlaces(
            state=self.state, policy=policy, data=data, budget_carried=True, dataset=self.dataset
        )


@dataclass
class Watcher:
    """Keeps what a run tells, and may stop it: `stop(event)` returning True is a Ctrl-C."""

    stop: Callable[[str], bool] = lambda _: False
    events: list[str] = field(default_factory=list)
    results: list[RoundScored] = field(default_factory=list)
    end: RunEnded | None = None

    def _tell(self, event: str) -> None:
        self.events.append(event)
        if self.stop(event):
            raise KeyboardInterrupt

    def preparing(self, what: str) -> None:
        self._tell(f"preparing {what}")

    def began(self, run: RunBegan) -> None:
        self._tell(f"began after {run.rounds_done}")

    def exchanging(self, phase: Phase, round_: int, sites: int) -> None:
        del sites
        self._tell(f"{phase.value} {round_}")

    def replied(self, site: str) -> None:
        self._tell(f"replied {site}")

    def scored(self, result: RoundScored) -> None:
        self.results.append(result)
        self._tell(f"scored {result.round}")

    def ended(self, run: RunEnded) -> None:
        self.end = run
        self._tell("ended")


def adapter_bytes(run: Path) -> dict[str, bytes]:
    """Return every file of a run's adapter."""
    return {path.name: path.read_bytes() for path in sorted((run / "adapter").iterdir())}
