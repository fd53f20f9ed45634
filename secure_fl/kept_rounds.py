"""The parameters with which each round began, kept beside the run folder where a run asks for it.

The coordinator sends them to every site, and so may look at them; nobody signs or releases them. An
audit asks them what a site sees, and knows them by the digests in the signed headers of the rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from crypto.errors import ConfigError, IntegrityError
from secure_fl.parameters import parameter_digest, vector_from_bytes, vector_to_bytes
from secure_fl.storage import refused, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from privacy.update import UpdateSpec


@dataclass(frozen=True)
class KeptRounds:
    """The folder `RUN.rounds` of the run in `RUN`, which holds 4 d bytes for every round."""

    folder: Path

    @classmethod
    def beside(cls, run: Path) -> Self:
        """Return the folder beside that of the run in `run`, whether it is there or not."""
        path = run.resolve()
        return cls(path.with_name(f"{path.name}.rounds"))

    def begin(self) -> None:
        """Remove what another run of this name left.

        Raises:
            ConfigError: the disk refuses.
        """
        for old in self.folder.glob("round-*.f32"):
            try:
                old.unlink(missing_ok=True)
            except OSError as error:
                raise refused(old, error) from error

    def keep(self, round_: int, parameters: NDArray[np.float32]) -> None:
        """Keep the parameters, shape (d,), with which `round_` begins, counted from 0.

        Raises:
            ConfigError: the disk is full or refuses.
        """
        write_atomically(self._path(round_), vector_to_bytes(parameters))

    def required(self) -> None:
        """Return if any round was kept.

        Raises:
            ConfigError: none was.
        """
        if not self._path(0).is_file():
            raise ConfigError(
                f"The parameters with which each round began were not kept in {self.folder}, and a "
                "run folder holds the last ones alone: what a site saw was not tested. Set "
                "`runtime.keep_rounds = true` before the run."
            )

    def read(self, round_: int, spec: UpdateSpec, digest: bytes) -> NDArray[np.float32]:
        """Return the parameters with which `round_` began, counted from 0, shape (d,).

        Args:
            round_: which.
            spec: of the parameters.
            digest: of them, as the round's signed header has it.

        Raises:
            ConfigError: they are not there.
            IntegrityError: they are others than were sent to the sites.
        """
        path = self._path(round_)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{path} is missing or unreadable: what a site saw from round to round is not "
                "known. Restore it from a copy, or audit another run with `runtime.keep_rounds`."
            ) from error
        if parameter_digest(spec, raw) != digest:
            raise IntegrityError(
                f"{path} does not hold the parameters that the header of round {round_ + 1} names: "
                "it was changed, or is of another run. Restore it from a copy."
            )
        return vector_from_bytes(spec, raw)

    def _path(self, round_: int) -> Path:
        return self.folder / f"round-{round_ + 1:05d}.f32"
