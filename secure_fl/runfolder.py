"""The folder that a run leaves, and the only module that reads and writes one.

    RUN/
      config.toml         the resolved configuration
      adapter/            the adapter in PEFT's layout
      metrics.jsonl       one line per finished round
      transcript/         leaves.b64, checkpoint.json, roster.json
      ledger.json         per site, what its ledger holds of this run
      facts.json          what the report says, as data
      report.html
      manifest.json       digests of all of it, signed (DSSE, in-toto statement)

Until the manifest is there the run is unfinished, and `progress/` holds what a resume needs. For
the moment in which that goes, the manifest stands beside it as `manifest.pending`.
No private state is ever here: ledgers and keys live in the sites' own folders.
"""

from __future__ import annotations

import base64
import json
import shutil
import tomllib
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crypto.digests import canonical_json, digest_file
from crypto.errors import ConfigError, IntegrityError
from crypto.signatures import Signed
from secure_fl.config import RunConfig
from secure_fl.storage import append_durably, refused, rename_durably, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_PENDING = "manifest.pending"

READABLE = 0o644
"""A run folder holds nothing that may not be read; key files are elsewhere."""


class Line(BaseModel):
    """A frozen record of one of the folder's files."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RankingMetrics(Line):
    """How well the item that came next was ranked among a record's options; see `domains`."""

    hit_rate_10: float
    ndcg_10: float
    auc: float


class LayerRank(Line):
    """How many directions a round's change of one low-rank factor shows; see `opened_ranks`.

    `rank` is the highest that the factor's shape allows, `numerical_rank` what stands out of
    rounding, `stable_rank` the squared Frobenius norm over that of the largest singular value.
    """

    factor: str
    rank: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1)]
    numerical_rank: Annotated[int, Field(ge=0)]
    stable_rank: Annotated[float, Field(ge=0)]


class RoundMetrics(Line):
    """One finished round: scores on the common evaluation set, and what the plan had spent.

    `epsilon` is None in mode none; `round` counts from 1; `attempts` is more than 1 for a round
    that was begun again. The scores are all None after a round that was not scored; both F1 are
    None where records bring options of their own, too.
    """

    schema_: Literal["secure-fl.round-metrics.v1"] = Field(alias="schema")
    round: int
    attempts: int
    survivors: tuple[str, ...]
    accuracy: float | None
    macro_f1: float | None
    weighted_f1: float | None
    epsilon: float | None
    seconds: float
    ranking: Annotated[RankingMetrics | None, Field(exclude_if=lambda ranking: ranking is None)] = (
        None
    )
    opened: Annotated[tuple[LayerRank, ...], Field(exclude_if=lambda ranks: not ranks)] = ()
    """Of every low-rank factor that the round moved, what its opened sum shows."""

    @model_validator(mode="after")
    def _scored_or_not(self) -> Self:
        if (self.macro_f1 is None) is not (self.weighted_f1 is None):
            raise ValueError("a round has both F1 scores or neither")
        if self.accuracy is None and self.macro_f1 is not None:
            raise ValueError("a round that was not scored has no F1")
        if self.accuracy is None and self.ranking is not None:
            raise ValueError("a round that was not scored has no ranking")
        return self


class Progress(Line):
    """Where an unfinished run stands.

    `attempt` is the last one that was begun, `tries` how many of them began with the next round;
    `rounds_done` rounds are finished; their parameters are in `progress/round-N.f32`, and what the
    coordinator remembers beside them in `progress/round-N.kept`: the SHA-256 of both are here.
    `left_out` are sites that broke the protocol, by what they sent.
    """

    schema_: Literal["secure-fl.progress.v1"] = Field(alias="schema")
    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    started: str
    attempt: int
    tries: int
    rounds_done: int
    parameters_sha256: str | None
    kept_sha256: str | None
    before: RoundMetrics | None
    extracts: dict[str, str]
    budget_carried: bool
    left_out: tuple[str, ...] = ()

    def without(self, culprit: str) -> Progress:
        """Return the same with one more site left out of what follows."""
        return self.model_copy(update={"left_out": tuple(sorted({*self.left_out, culprit}))})

    def readmitting(self, sites: Iterable[str]) -> Progress:
        """Return the same with `sites` taken back.

        Raises:
            ConfigError: one of them was not left out.
        """
        back = set(sites)
        for site in sorted(back - set(self.left_out)):
            left = ", ".join(self.left_out) or "nobody"
            raise ConfigError(
                f"{site} was not left out of this run, so it cannot be readmitted: left out is "
                f"{left}. Nothing was changed; resume without --readmit {site}."
            )
        kept = tuple(site for site in self.left_out if site not in back)
        return self.model_copy(update={"left_out": kept})


class RunFolder:
    """One run on disk.

    Formal guarantees: every file but the two logs is replaced atomically; the logs only grow,
    line by line; a run whose manifest is there is never written to again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Return a new, empty run folder at `path`.

        Raises:
            ConfigError: something is there already, or the disk refuses.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ConfigError(
                f"{path} is not empty: a run never overwrites another. Choose another --out, or "
                f"go on with it by `secure-fl run --resume {path}`."
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refused(path, error) from error
        return cls(path)

    # -- configuration and progress --------------------------------------------------------------

    def write_config(self, config: RunConfig) -> None:
        """Write the resolved configuration."""
        table = config.model_dump(mode="json", by_alias=True, exclude_none=True)
        self._write("config.toml", tomli_w.dumps(table).encode())

    def config(self) -> RunConfig:
        """Return the resolved configuration.

        Raises:
            IntegrityError: it is missing or damaged.
        """
        path = self.path / "config.toml"
        try:
            return RunConfig.model_validate(tomllib.loads(path.read_text("utf-8")))
        except (OSError, ValueError, RecursionError) as error:  # bad UTF-8, TOML and values
            raise IntegrityError(
                f"{path} is missing or damaged: this is no run folder that can be gone on with. "
                "Restore it from a copy, or start a new run."
            ) from error

    def write_progress(
        self, progress: Progress, parameters: NDArray[np.float32] | None, kept: bytes = b""
    ) -> None:
        """Keep where the run stands, and the shared parameters with it, shape (d,).

        `kept` is what the coordinator remembers beside them.
        """
        if parameters is not None:
            raw = parameters.astype("<f4", copy=False).tobytes()
            self._write(f"progress/round-{progress.rounds_done}.kept", kept)
            self._write(f"progress/round-{progress.rounds_done}.f32", raw)
        self._write("progress/progress.json", progress.model_dump_json(by_alias=True).encode())
        for old in (self.path / "progress").glob("round-*.*"):
            if old.stem != f"round-{progress.rounds_done}":
                old.unlink(missing_ok=True)

    def progress(self) -> Progress:
        """Return where the run stands.

        Raises:
            ConfigError: the run is finished, or nothing was begun here.
            IntegrityError: the record is damaged.
        """
        path = self.path / "progress" / "progress.json"
        if (self.path / _PENDING).exists():
            self._seal()
        if (self.path / "manifest.json").exists():
            raise ConfigError(
                f"The run in {self.path} is finished: there is nothing to go on with. "
                "Verify it with `secure-fl verify`, or start a new run."
            )
        try:
            return Progress.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ConfigError(
                f"{self.path} holds no run that could be gone on with: start one with "
                "`secure-fl run CONFIG`."
            ) from None
        except ValidationError as error:
            raise IntegrityError(
                f"{path} is damaged, so the last finished round is not known: start a new run. "
                "What the ledgers charged stays charged."
            ) from error

    def parameters(self, progress: Progress) -> NDArray[np.float32] | None:
        """Return the shared parameters after the last finished round, shape (d,), if any.

        Raises:
            IntegrityError: they are missing or were changed.
        """
        if progress.parameters_sha256 is None:
            return None
        raw = self._of_last_round(progress, "f32", progress.parameters_sha256)
        return np.frombuffer(raw, "<f4").astype(np.float32)

    def kept(self, progress: Progress) -> bytes | None:
        """Return what the coordinator remembers after the last finished round, if there is one.

        Raises:
            IntegrityError: it is missing or was changed.
        """
        if progress.kept_sha256 is None:
            return None
        return self._of_last_round(progress, "kept", progress.kept_sha256)

    def _of_last_round(self, progress: Progress, suffix: str, digest: str) -> bytes:
        path = self.path / "progress" / f"round-{progress.rounds_done}.{suffix}"
        if not path.exists() or digest_file(path).hex() != digest:
            raise IntegrityError(
                f"{path} is missing or was changed: going on would train from parameters that "
                "nobody computed. Restore it from a copy, or start a new run."
            )
        return path.read_bytes()

    # -- logs ------------------------------------------------------------------------------------

    def append_metrics(self, metrics: RoundMetrics) -> None:
        """Append one finished round."""
        append_durably(
            self.path / "metrics.jsonl",
            metrics.model_dump_json(by_alias=True).encode() + b"\n",
            mode=READABLE,
        )

    def metrics(self) -> tuple[RoundMetrics, ...]:
        """Return the finished rounds in order.

        Raises:
            IntegrityError: a line is damaged.
        """
        path = self.path / "metrics.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(RoundMetrics.model_validate_json(line))
            except ValidationError as error:
                raise IntegrityError(
                    f"{path}, line {number} is damaged: the scores of that round are lost. "
                    "Restore the file from a copy."
                ) from error
        return tuple(rows)

    def keep_metrics(self, rounds: int) -> None:
        """Drop lines beyond the first `rounds`, which a crash left before progress was kept."""
        kept = [row for row in self.metrics() if row.round <= rounds]
        data = b"".join(row.model_dump_json(by_alias=True).encode() + b"\n" for row in kept)
        self._write("metrics.jsonl", data)

    def append_leaves(self, leaves: Sequence[bytes]) -> None:
        """Append leaves of the transcript."""
        if leaves:
            lines = b"".join(base64.b64encode(leaf) + b"\n" for leaf in leaves)
            append_durably(self.path / "transcript" / "leaves.b64", lines, mode=READABLE)

    def leaves(self) -> tuple[bytes, ...]:
        """Return the transcript's leaves in order.

        Raises:
            IntegrityError: a line is damaged. A last line without an end is what a crash left,
                and is not counted.
        """
        path = self.path / "transcript" / "leaves.b64"
        raw = path.read_bytes() if path.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        try:
            return tuple(base64.b64decode(line, validate=True) for line in whole.splitlines())
        except ValueError as error:
            raise IntegrityError(
                f"{path} holds a line that is not base64: the transcript was changed."
            ) from error

    def trim_leaves(self) -> None:
        """Drop a half line that a crash left at the end of the transcript."""
        lines = b"".join(base64.b64encode(leaf) + b"\n" for leaf in self.leaves())
        self._write("transcript/leaves.b64", lines)

    # -- what a finished run adds ------------------------------------------------------------------

    def write_roster(self, roster: bytes) -> None:
        """Keep the signed roster beside the transcript."""
        self._write("transcript/roster.json", roster)

    def write_checkpoint(self, checkpoint: Signed) -> None:
        """Keep the last signed checkpoint."""
        self._write(
            "transcript/checkpoint.json",
            canonical_json(
                {
                    "schema": "secure-fl.signed-checkpoint.v1",
                    "label": checkpoint.label,
                    "body": base64.b64encode(checkpoint.body).decode(),
                    "signer": checkpoint.signer,
                    "signature": base64.b64encode(checkpoint.signature).decode(),
                }
            ),
        )

    def checkpoint(self) -> Signed:
        """Return the last signed checkpoint, unverified.

        Raises:
            IntegrityError: the file is missing or damaged.
        """
        path = self.path / "transcript" / "checkpoint.json"
        try:
            table = json.loads(path.read_bytes())
            return Signed(
                label=table["label"],
                body=base64.b64decode(table["body"], validate=True),
                signer=table["signer"],
                signature=base64.b64decode(table["signature"], validate=True),
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise IntegrityError(f"{path} is missing or is no signed checkpoint.") from error

    def write_ledger(self, extracts: Mapping[str, bytes]) -> None:
        """Write each site's ledger extract, in the canonical JSON that the site signed."""
        table = {site: json.loads(extract) for site, extract in sorted(extracts.items())}
        self._write(
            "ledger.json",
            canonical_json({"schema": "secure-fl.ledger-extracts.v1", "sites": table}),
        )

    def ledger(self) -> dict[str, bytes]:
        """Return each site's ledger extract in canonical JSON.

        Raises:
            IntegrityError: the file is missing or damaged.
        """
        path = self.path / "ledger.json"
        unreadable = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
        try:
            table = json.loads(path.read_bytes())["sites"]
            return {site: canonical_json(entries) for site, entries in table.items()}
        except (*unreadable, ConfigError) as error:
            raise IntegrityError(f"{path} is missing or damaged.") from error

    def write_report(self, facts: bytes, page: str) -> None:
        """Write the report and the facts it renders."""
        self._write("facts.json", facts)
        self._write("report.html", page.encode())

    def write_manifest(self, envelope: bytes) -> None:
        """Write the signed manifest, and remove what only a resume needs: the run is finished.

        A crash at any moment leaves a run that can be resumed, or one whose manifest is pending;
        `progress` then does the rest.
        """
        self._write(_PENDING, envelope)
        self._seal()

    def read(self, name: str) -> bytes:
        """Return the content of one of the folder's files.

        Raises:
            IntegrityError: it is missing.
        """
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise IntegrityError(
                f"{self.path / name} is missing or unreadable: the run folder is not whole."
            ) from error

    def files(self) -> Iterable[str]:
        """Yield every file but the manifest, as a path relative to the folder, in order."""
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if path.is_symlink():
                raise IntegrityError(
                    f"{path} is a link: what it shows can change after the run was signed."
                )
            if path.is_file() and name != "manifest.json":
                yield name

    def results(self) -> Iterable[str]:
        """Yield the files that a manifest covers, before there is one."""
        for name in self.files():
            if name != _PENDING and not name.startswith("progress/"):
                yield name

    def _seal(self) -> None:
        shutil.rmtree(self.path / "progress", ignore_errors=True)
        rename_durably(self.path / _PENDING, self.path / "manifest.json")

    def _write(self, name: str, data: bytes) -> None:
        write_atomically(self.path / name, data, mode=READABLE)
