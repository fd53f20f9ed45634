"""What it is worth to share the noise under the secure sum instead of adding it at each site.

    python -m benchmarks.noise_sharing --data DIR          scored on the test split of FinGPT
    python -m benchmarks.noise_sharing --data DIR --tune   scored on a fifth of the training split

A linear head on frozen features of the Financial PhraseBank, by whole runs (masks, ledgers,
transcript, signed folder) with a fresh state each: for every number of sites and every epsilon

    local      mode record: every site adds the whole noise to its own steps
    shared     mode record-distributed: the sites' shares add up to the noise

With local noise the sum holds the noise of n sites over the records of all of them, so that its
share of the signal grows with the root of n; shared noise does not feel n, but for the sites whose
shares are paid for in advance (`colluders`, here 1: a factor of sqrt(n / (n - 1)) in its standard
deviation). Settings are those of examples/finance-fpb-dp-head.toml and
examples/finance-fpb-shared-head.toml, at other epsilons and numbers of sites.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Final

from benchmarks.cells import Cell, write_cells
from benchmarks.fpb import Study, final_scores, study_of
from crypto.errors import ConfigError, SecureFLError
from secure_fl.baselines.study import Watcher
from secure_fl.config import Guaranteed, RecordPrivacy, RunConfig, load_config
from secure_fl.embedded import EmbeddedPlaces, start_run
from secure_fl.failures import ExitCode, Failure
from secure_fl.launch import POLICY_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

FILES: Final = {"local": "finance-fpb-dp-head.toml", "shared": "finance-fpb-shared-head.toml"}
"""The modes and the file in `examples/` that holds the settings of each."""

_NO_DATA: Final = (
    "not measured: the published files are not part of this project; name their folder with "
    "--data DIR"
)


@dataclass(frozen=True)
class SharingCell(Cell):
    """One mode at one epsilon and number of sites: accuracies as means over runs.

    Attributes:
        sites: how many hold equal shares of the records.
        target_epsilon: what the noise was calibrated to, at delta 1e-5.
        split: `test`, or `validation` with --tune.
        runs: how many runs the means are over, one per seed.
        epsilon: the largest that a run claims.
        accuracy: mean.
        accuracy_sd: sample standard deviation; None for one run.
        macro_f1: mean.
        error: why there are no numbers.
    """

    sites: int
    target_epsilon: float
    split: str
    runs: int = 0
    epsilon: float | None = None
    accuracy: float | None = None
    accuracy_sd: float | None = None
    macro_f1: float | None = None
    error: str | None = None


def settings(study: Study, mode: str, sites: int, epsilon: float, seed: int) -> RunConfig:
    """Return the settings of one run: the mode's file at another epsilon and number of sites.

    A site's expected batch shrinks with the number of sites, and with it the divisor of its own
    noised sums; the divisor of the sum over all sites stays.
    """
    config = load_config(study.examples / FILES[mode])
    mechanism, privacy = config.mechanism, config.mechanism.privacy
    if not isinstance(privacy, Guaranteed):
        raise ConfigError(f"{FILES[mode]} has no differential privacy: nothing was measured.")
    changes: dict[str, float | None] = {"epsilon": epsilon, "sigma": None}
    if isinstance(privacy, RecordPrivacy):
        changes["divisor"] = privacy.divisor * mechanism.sites / sites
    table = mechanism.model_dump(mode="json")
    table |= {"sites": sites, "seed": seed, "privacy": {**table["privacy"], **changes}}
    whole = config.model_dump(mode="json", by_alias=True) | {"mechanism": table}
    return RunConfig.model_validate(whole)


def measure(
    study: Study, sites: Sequence[int], epsilons: Sequence[float], seeds: Sequence[int]
) -> tuple[SharingCell, ...]:
    """Return one cell per mode, epsilon and number of sites."""
    return tuple(
        _cell(study, mode, count, epsilon, seeds)
        for count in sites
        for epsilon in epsilons
        for mode in FILES
    )


def _cell(study: Study, mode: str, sites: int, epsilon: float, seeds: Sequence[int]) -> SharingCell:
    accuracy, macro, claimed = [], [], []
    try:
        for seed in seeds:
            config = settings(study, mode, sites, epsilon, seed)
            with tempfile.TemporaryDirectory(prefix="secure-fl-sharing-") as folder:
                places = EmbeddedPlaces(
                    state=Path(folder) / "state",
                    policy=study.examples / POLICY_NAME,
                    data=study.data,
                    budget_carried=False,
                    dataset=study.dataset(seed),
                )
                run = start_run(config, Path(folder) / "run", places, Watcher(mode, _quiet))
                scores = final_scores(run.metrics()[-1])
            accuracy.append(scores.accuracy)
            macro.append(scores.macro_f1)
            claimed.append(scores.epsilon or 0.0)
            study.note(
                f"{mode}, {sites} sites, epsilon {epsilon:g}, seed {seed}: {accuracy[-1]:.4f}"
            )
    except SecureFLError as error:
        study.note(f"{mode}, {sites} sites, epsilon {epsilon:g}: {error}")
        return SharingCell(mode, sites, epsilon, study.split, error=str(error))
    return SharingCell(
        name=mode,
        sites=sites,
        target_epsilon=epsilon,
        split=study.split,
        runs=len(accuracy),
        epsilon=max(claimed),
        accuracy=mean(accuracy),
        accuracy_sd=stdev(accuracy) if len(accuracy) > 1 else None,
        macro_f1=mean(macro),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the cells; return 0, or 1 if one could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.noise_sharing",
        description="A private linear head with local and with shared noise.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", type=Path, help="the folder of the published files")
    parser.add_argument("--sites", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[8.0, 3.0, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--tune", action="store_true", help="score on a fifth of the training split instead"
    )
    options = parser.parse_args(arguments)
    title, split = "Local and shared noise", "validation" if options.tune else "test"
    if options.data is None:
        # `make bench` runs every benchmark, also where the published files are not.
        cells = tuple(
            SharingCell(mode, count, epsilon, split, error=_NO_DATA)
            for count in options.sites
            for epsilon in options.epsilons
            for mode in FILES
        )
        write_cells(title, cells, as_json=options.json)
        return ExitCode.OK
    try:
        study = study_of(options.data, tune=options.tune, note=_note)
    except SecureFLError as error:
        failure = Failure.of(error)
        failure.tell(sys.stderr, as_json=options.json)
        return int(failure.code)
    cells = measure(study, options.sites, options.epsilons, options.seeds)
    write_cells(f"{title}, {split} split", cells, as_json=options.json)
    return ExitCode.INTERNAL if any(cell.error for cell in cells) else ExitCode.OK


def _quiet(line: str) -> None:
    del line  # of a round


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
