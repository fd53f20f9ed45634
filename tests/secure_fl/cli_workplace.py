"""A folder with a configuration, a policy and a tiny base model, and the command line over it.

Run as a program, it is that command line in a process of its own, on the same few records.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import secure_fl
from domains.catalogue import DEFAULT_OPTIONS, DatasetOptions, load_dataset
from secure_fl.cli import main

if TYPE_CHECKING:
    import pytest
    from tiny_model import TinyModel

    from domains.records import Dataset

TEMPLATES = Path(secure_fl.__file__).parent / "templates"
MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
NO_PRIVACY = """[mechanism.privacy]
mode = "none"
"""


@dataclass(frozen=True)
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str

    def refused(self, code: int) -> str:
        """Return the one line on stderr of a command that failed with `code`."""
        assert self.code == code, self.err
        assert "Traceback" not in self.err
        (line,) = self.err.splitlines()
        return line


def few_records(
    name: str,
    *,
    data: Path | None,
    seed: int,
    options: DatasetOptions = DEFAULT_OPTIONS,
    allow_hub: bool = False,
) -> Dataset:
    """Return a small data set where the catalogue would generate a large one."""
    few = replace(options, train=120, evaluation=40)
    return load_dataset(name, data=data, seed=seed, options=few, allow_hub=allow_hub)


@dataclass
class Workplace:
    """A folder to run in; its `run.toml` and `policy.toml` are the templates, made small."""

    root: Path
    model: TinyModel
    capsys: pytest.CaptureFixture[str]
    config: Path = field(init=False)

    def __post_init__(self) -> None:
        self.config = self.root / "run.toml"
        for name in ("run.toml", "policy.toml"):
            text = (TEMPLATES / name).read_text()
            (self.root / name).write_text(text.replace(MINILM, self.model.weights_sha256))
        self.edit(r"scrub = \[.*?\]", 'scrub = ["EMAIL_ADDRESS", "IBAN_CODE"]')
        self.edit("sentence-transformers/all-MiniLM-L6-v2", "tests/tiny-bert")
        self.edit('# base_model = "[^"]*"', f'base_model = "{self.model.folder}"')
        small = {"sites": 3, "rounds": 2, "local_steps": 2, "rank": 4, "seed": 0}
        private = {"sampling_rate": 0.1, "divisor": 4.0, "clip": 0.5, "epsilon": 8.0}
        rates = {"optimizer": '"adam"', "learning_rate": 0.002, "head_learning_rate": 0.01}
        for name, value in {**small, **private, **rates}.items():
            self.edit(rf"^{name} = [^ \n]*", f"{name} = {value}")
        for name, value in {"largest_clip": 1.0, "largest_rank": 16, "epsilon": 8.01}.items():
            self.edit(rf"^{name} = [^ \n]*", f"{name} = {value}", "policy.toml")
        self.edit(r"required_scrubbing = \[.*?\]", "required_scrubbing = []", "policy.toml")

    def edit(self, old: str, new: str, name: str = "run.toml") -> None:
        """Replace what matches the pattern `old`, once, in one of the two files."""
        path = self.root / name
        text, count = re.subn(old, new, path.read_text(), count=1, flags=re.MULTILINE | re.DOTALL)
        assert count == 1, f"{old!r} is not in {name}"
        path.write_text(text)

    def without_privacy(self) -> None:
        """Make it a run in mode none, which the policy allows."""
        self.edit(r"^\[mechanism\.privacy\].*?(?=^\[runtime\])", NO_PRIVACY)
        self.edit(r'^schedule = "linear"', 'schedule = "linear"\nbatch_size = 8')
        self.edit("allow_no_privacy = false", "allow_no_privacy = true", "policy.toml")

    def call(self, *words: str | Path) -> Outcome:
        """Run `secure-fl` with these words in this process."""
        self.capsys.readouterr()
        code = main([str(word) for word in words])
        captured = self.capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    def run(self, *options: str | Path, out: str = "out") -> Outcome:
        """Run the configuration into `out`, with keys and ledgers in `state`."""
        words = ("run", self.config, "--out", self.root / out)
        state = () if "--fresh-state" in options else ("--state", self.root / "state")
        return self.call(*words, *state, *options)

    def resume(self, *options: str | Path, out: str = "out") -> Outcome:
        """Go on with the run in `out`."""
        return self.call(
            "run", "--resume", self.root / out, "--state", self.root / "state", *options
        )

    def events(self, outcome: Outcome) -> list[dict[str, Any]]:
        """Return the JSON lines of stdout."""
        return [json.loads(line) for line in outcome.out.splitlines()]

    @property
    def trust(self) -> Path:
        """The root key's public half."""
        return self.root / "state" / "consortium" / "root.pub"


if __name__ == "__main__":
    import secure_fl.embedded

    secure_fl.embedded.load_dataset = few_records
    sys.exit(main())
