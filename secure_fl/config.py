"""The configuration of one run, in two parts.

`mechanism` holds everything that can move the privacy guarantee, the trust model or the result;
its digest is in every signed message, so that all parties run the same thing or nothing.
`runtime` holds what only moves speed and place. Unit of privacy, delta and adversary have no
default: somebody has to have meant them.
"""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from crypto.digests import canonical_json, sha256
from crypto.errors import ConfigError
from crypto.homomorphic_plan import Scheme
from crypto.masked_sum_graph import (
    LARGEST_COHORT,
    LARGEST_COMPLETE,
    CohortRisk,
    default_threshold,
)
from crypto.masked_sum_session import Adversary, CipherSuite
from crypto.ring import WidthBits
from domains.own_files import NAME as OWN
from secure_fl.config_canaries import CanarySection
from secure_fl.config_data import DataSection, OwnDataSection
from secure_fl.config_privacy import (
    MODES,
    AccountedRelation,
    DistributedPrivacy,
    Guaranteed,
    NoPrivacy,
    Privacy,
    RecordPrivacy,
    SampledPrivacy,
    SharedNoisePrivacy,
    SitePrivacy,
)
from secure_fl.config_prompt import PromptSection
from secure_fl.config_sections import (
    Count,
    Hex32,
    Positive,
    Probability,
    Rate,
    Section,
)
from secure_fl.config_training import AdapterSection, TrainingSection
from secure_fl.views import Protection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic_core import ErrorDetails

__all__ = [
    "AccountedRelation",
    "AdapterSection",
    "Count",
    "DataSection",
    "DistributedPrivacy",
    "Guaranteed",
    "Hex32",
    "Mechanism",
    "ModelSection",
    "NoPrivacy",
    "Positive",
    "Probability",
    "PromptSection",
    "Rate",
    "RecordPrivacy",
    "RunConfig",
    "Runtime",
    "SampledPrivacy",
    "Section",
    "SharedNoisePrivacy",
    "SitePrivacy",
    "TrainingSection",
    "explain",
    "load_config",
    "parse_mechanism",
]

SCHEMA = "secure-fl.run.v1"


class ModelSection(Section):
    """The pretrained base model, pinned by the digest of its weights."""

    name: str
    weights_sha256: Hex32
    revision: str | None = None
    max_length: Count = 128
    """Tokens per record; the rest of a longer record is cut."""


class EncodingSection(Section):
    """How float updates become ring elements."""

    bits: WidthBits = 32
    """Bits of one coordinate in the sum, and under masks on the wire: 24 are three quarters of the
    bytes. A homomorphic sum takes the same largest integer per site, (2^(bits - 1) - 1) over the
    number of sites, so that both protections give one sum; its ciphertexts hold either range at
    the same size, and 24 only makes the grid coarser."""
    clip_range: Positive | None = None
    """Largest absolute value of one coordinate of an update; larger ones are clamped. It is 4 when
    absent, and without a meaning where noise is shared: the grid then follows from the clip."""


class CohortSection(Section):
    """What a cohort of more than 100 sites has to bear; neighbours and threshold follow from it."""

    drop_out_rate: Annotated[float, Field(ge=0, le=1 / 3, strict=True)]
    """The share of the sites that may drop out of a round."""
    corrupted_share: Annotated[float, Field(ge=0, le=1 / 3, strict=True)]
    """The share of the sites that may collude with the coordinator."""


class Mechanism(Section):
    """Everything that can move the guarantee, the trust model or the result."""

    method: str
    sites: Annotated[int, Field(ge=2, le=LARGEST_COHORT, strict=True)]
    seed: Annotated[int, Field(ge=0, lt=2**53, strict=True)] = 0
    """Initialisation and, in mode none, batches. Never the source of private randomness."""
    protection: Protection = Protection.MASKED
    adversary: Adversary
    """What the coordinator is assumed to do: `malicious` costs one more exchange per round, and
    cannot be had with homomorphic sums."""
    cipher_suite: CipherSuite = CipherSuite.X25519_HKDF_AES256CTR_Z32
    """The primitives of masked sums, and of how the key of homomorphic ones gets to the sites; the
    one with ML-KEM-768 also holds against whoever records today and has a quantum computer later.
    """
    homomorphic_scheme: Scheme | None = None
    """How homomorphic sums are encrypted: BFV when absent, CKKS for comparison. Only with them."""
    threshold: Count | None = None
    """Survivors needed to open a sum; floor(2n/3)+1 when absent."""
    cohort: CohortSection | None = None
    """Needed above 100 sites, and only there."""
    data: DataSection
    model: ModelSection
    prompt: PromptSection | None = None
    """How a causal language model is asked; absent, a classifier is put on an encoder."""
    adapter: AdapterSection
    training: TrainingSection
    privacy: Privacy
    encoding: EncodingSection = EncodingSection()
    canaries: Annotated[CanarySection | None, Field(exclude_if=lambda found: found is None)] = None
    """Records of the run's own, by which an audit attacks what it released; not part of what is
    signed where absent."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        self._check_batches()
        self._check_rounds()
        self._check_weighting()
        self._check_shared_noise()
        self._check_cohort()
        self._check_homomorphic()
        self._check_canaries()
        least = default_threshold(self.sites)
        if self.threshold is not None and not least <= self.threshold <= self.sites:
            raise ValueError(
                f"a threshold of {self.threshold} among {self.sites} sites lets a split cohort "
                f"open two sums or none: choose {least} to {self.sites}, or leave it out"
            )
        return self

    def _check_batches(self) -> None:
        sampled = isinstance(self.privacy, SampledPrivacy)
        if not sampled and self.training.batch_size is None:
            raise ValueError(
                f"mode {self.privacy.mode} draws batches of a fixed size: give "
                "`mechanism.training.batch_size`"
            )
        if sampled and self.training.batch_size is not None:
            raise ValueError(
                "`mechanism.training.batch_size` has no meaning under Poisson sampling: "
                "remove it; `sampling_rate` decides"
            )

    def _check_rounds(self) -> None:
        training = self.training
        if training.momentum and training.optimizer != "sgd":
            raise ValueError(
                "`mechanism.training.momentum` is SGD's, and Adam has moments of its own: remove it"
            )
        for key, rounds in (
            ("head_rounds", training.head_rounds),
            ("averaged_rounds", training.averaged_rounds or 0),
        ):
            if rounds > training.rounds:
                raise ValueError(
                    f"`mechanism.training.{key}` is {rounds} of a run of {training.rounds} rounds: "
                    "it cannot be more than all"
                )
        if training.averaged_rounds is not None and self.protection is Protection.HOMOMORPHIC:
            raise ValueError(
                "under homomorphic sums the sites state the parameters that the run ends with, and "
                "`mechanism.training.averaged_rounds` would have the coordinator end with others: "
                "remove it"
            )
        if self.prompt is not None and (training.head_rounds or training.head_learning_rate):
            raise ValueError(
                "a causal language model has no classifier: remove "
                "`mechanism.training.head_rounds` and `head_learning_rate`"
            )
        if isinstance(self.privacy, DistributedPrivacy) and training.local_steps != 1:
            raise ValueError(
                "mode record-distributed makes one step in every round, over the records of all "
                f"sites: `mechanism.training.local_steps` is 1, not {training.local_steps}"
            )

    def _check_weighting(self) -> None:
        if self.training.weighting is None or not isinstance(self.privacy, SampledPrivacy):
            return
        mode = self.privacy.mode
        instead = (
            "sums over all sites' records already, so that a site counts by them"
            if isinstance(self.privacy, DistributedPrivacy)
            else "promises a record that not even its presence shows, and a site's weight would "
            "change with it"
        )
        raise ValueError(
            f"mode {mode} {instead}: remove `mechanism.training.weighting`, which is for modes "
            "site and none"
        )

    def _check_shared_noise(self) -> None:
        if not isinstance(self.privacy, SharedNoisePrivacy):
            return
        mode = self.privacy.mode
        if self.protection is not Protection.MASKED:
            raise ValueError(
                f"in mode {mode} one site's update holds only its share of the noise, and the "
                f"protection `{self.protection.value}` shows it to the coordinator, or to one "
                "colluding site: use masked sums"
            )
        if self.encoding.clip_range is not None:
            raise ValueError(
                f"`mechanism.encoding.clip_range` has no meaning in mode {mode}, whose grid "
                "follows from the clip: remove it"
            )
        spare = self.sites - self.needed_survivors()
        if self.privacy.drop_outs is not None and self.privacy.drop_outs > spare:
            raise ValueError(
                f"`mechanism.privacy.drop_outs` is {self.privacy.drop_outs}, and the sum cannot be "
                f"opened after more than {spare}: shares of the noise would be paid for in vain"
            )
        self._check_colluders(self.privacy.colluders)

    def _check_colluders(self, colluders: int) -> None:
        # The smallest cohort is the threshold's, of which none may drop out.
        fewest = min(
            cohort - self.paid_drop_outs(cohort)
            for cohort in range(self.needed_survivors(), self.sites + 1)
        )
        if fewest <= colluders:
            raise ValueError(
                f"a sum of {fewest} sites may be opened, and {colluders} collude, which leaves "
                "nobody whose noise counts: lower `mechanism.privacy.colluders`, or raise "
                "`mechanism.threshold`"
            )
        # Two lists of survivors that a quorum each confirms have 2 t - n sites in common.
        common = 2 * self.needed_survivors() - self.sites
        if self.adversary is Adversary.MALICIOUS and common <= colluders:
            raise ValueError(
                f"{colluders} colluding sites of {self.sites} can confirm two lists of survivors "
                f"at a threshold of {self.needed_survivors()}, and with them two sums with too "
                "little noise: lower `mechanism.privacy.colluders`, or raise `mechanism.threshold`"
            )

    def _check_cohort(self) -> None:
        large = self.sites > LARGEST_COMPLETE
        if large and (self.protection is not Protection.MASKED or self.threshold is not None):
            raise ValueError(
                f"above {LARGEST_COMPLETE} sites updates travel masked, and the threshold follows "
                "from `mechanism.cohort`: use masked sums, and leave `mechanism.threshold` out"
            )
        if large is (self.cohort is None):
            raise ValueError(
                f"`mechanism.cohort` (drop_out_rate and corrupted_share) is needed above "
                f"{LARGEST_COMPLETE} sites, from which each site's neighbours follow, and has no "
                "meaning up to there"
            )

    def _check_homomorphic(self) -> None:
        if self.protection is not Protection.HOMOMORPHIC:
            if self.homomorphic_scheme is not None:
                raise ValueError(
                    "`mechanism.homomorphic_scheme` has no meaning under the protection "
                    f"`{self.protection.value}`: remove it, or ask for homomorphic sums"
                )
            return
        if self.adversary is Adversary.MALICIOUS:
            raise ValueError(
                "homomorphic sums do not hold against a malicious coordinator: it can hand one "
                "site's ciphertext to the sites as if it were the sum, and nothing in it shows "
                "that nobody else was added. Use masked sums, or assume a semi-honest one"
            )

    def _check_canaries(self) -> None:
        secrets = self.canaries is not None and self.canaries.answers == "secrets"
        if secrets and self.prompt is None:
            raise ValueError(
                '`mechanism.canaries.answers` is "secrets", and a classifier on an encoder writes '
                "nothing that could be one: ask a causal language model (`mechanism.prompt`), or "
                'choose "labels"'
            )

    @property
    def scheme(self) -> Scheme:
        """How homomorphic sums are encrypted; without a meaning under another protection."""
        return self.homomorphic_scheme or Scheme.BFV

    def needed_survivors(self) -> int:
        """Return how many survivors a sum needs."""
        return self.threshold if self.threshold is not None else default_threshold(self.sites)

    def paid_drop_outs(self, cohort: int) -> int:
        """Return how many of a round's `cohort` sites may drop out before noise gets too small.

        Zero where no noise is shared.
        """
        privacy = self.privacy
        if not isinstance(privacy, SharedNoisePrivacy):
            return 0
        spare = max(0, cohort - self.needed_survivors())
        return spare if privacy.drop_outs is None else min(privacy.drop_outs, spare)

    def risk(self) -> CohortRisk | None:
        """Return what a large cohort has to bear, or None in a complete graph."""
        if self.cohort is None:
            return None
        return CohortRisk.of(self.sites, self.cohort.drop_out_rate, self.cohort.corrupted_share)

    def to_json(self) -> bytes:
        """Return the canonical JSON (RFC 8785) that is signed and sent to every site."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> bytes:
        """Return the SHA-256 of the canonical JSON."""
        return sha256(self.to_json())


class Runtime(Section):
    """What provably cannot move the guarantee: speed and place."""

    micro_batch: Count = 8
    """Records in one forward pass."""
    threads: Count = 1
    """Arithmetic threads of one site."""
    workers: Count = 2
    """Sites that work at the same time in an embedded run."""
    cache_layers: bool = False
    """Whether what frozen layers below the first tuned one make of each record is kept in memory: 4
    bytes for each token and hidden feature."""
    evaluate_every: Count = 1
    """The common evaluation set is scored after every so many rounds, and after the last."""
    keep_rounds: bool = False
    """Whether the coordinator keeps the parameters that it sends out before every round, in the
    folder RUN.rounds beside the run's own, for `secure-fl audit`: 4 bytes for each shared parameter
    and round."""
    scrub_sample: str | None = None
    """A site's labelled texts (JSON lines of `text` and `spans`), of which its own report says how
    much scrubbing leaves. Nothing of them is trained on."""
    base_model: str | None = None
    """A local folder in Hugging Face layout; looked at before any other place."""
    allow_hub: bool = False
    """Whether base model and published data set may be downloaded; nothing else ever touches the
    network."""


class RunConfig(Section):
    """One run, as a person wrote it or as it was resolved."""

    schema_: Literal["secure-fl.run.v1"] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    mechanism: Mechanism
    data: OwnDataSection | None = None
    """Of sites' own records: where they are. Of a deployed coordinator: the evaluation set."""
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _says_where_records_are(self) -> Self:
        own = self.mechanism.data.dataset == OWN
        if own is (self.data is None):
            raise ValueError(
                f'the table [data] (path, text, label) is needed for `dataset = "{OWN}"`, and has '
                "no meaning for another: add or remove it"
            )
        return self


def parse_mechanism(data: bytes) -> Mechanism:
    """Return the mechanism that a coordinator proposes.

    Raises:
        ConfigError: `data` is not the canonical JSON of a mechanism this version knows.
    """
    try:
        mechanism = Mechanism.model_validate_json(data)
    except ValidationError as error:
        raise ConfigError(explain(error, "the proposed mechanism", Mechanism)) from None
    if mechanism.to_json() != data:
        raise ConfigError(
            "The proposed mechanism is not in canonical form: its digest would not bind it. "
            "The coordinator runs another version."
        )
    return mechanism


def load_config(path: Path) -> RunConfig:
    """Return the run that the TOML file at `path` describes.

    A relative path in its `[data]` begins where the file stands, and is returned so that it leads
    there from the current folder.

    Raises:
        ConfigError: the file is missing, is not TOML, or has a key or value that no run can have.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration at {path}: nothing was started. "
            "`secure-fl init` writes one to begin with."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as UTF-8 text: {error}.") from None
    try:
        config = RunConfig.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ConfigError(explain(error, str(path))) from None
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond Python's own
        raise ConfigError(f"{path} is not TOML: {error}. Nothing was started.") from None
    if config.data is None:
        return config
    return config.model_copy(update={"data": config.data.beside(path.parent)})


def explain(error: ValidationError, where: str, kind: type[Section] = RunConfig) -> str:
    """Return one clear sentence per problem that pydantic found in `where`, a file of `kind`."""
    problems = [_sentence(detail, kind) for detail in error.errors()]
    return f"{where} cannot be used, nothing was started: " + "; ".join(problems) + "."


def _sentence(detail: ErrorDetails, kind: type[Section]) -> str:
    problem, path = detail["type"], [str(part) for part in detail["loc"]]
    # The discriminator's value stands in the path as if it were a key: leave it out. An unknown
    # key stands last, and is shown whatever it is.
    unknown = path[-1:] if problem == "extra_forbidden" else []
    path = [part for part in path[: len(path) - len(unknown)] if part not in MODES]
    path += unknown
    key = ".".join(path)
    if problem == "extra_forbidden":
        table = ".".join(part for part in path[:-1] if not part.isdigit())
        return f"`{key}` is not a key of this file{_hint(kind, table, path[-1])}"
    if problem == "missing":
        return f"`{key}` is missing and has no default: add it"
    if problem in {"union_tag_not_found", "union_tag_invalid"}:
        known = ", ".join(repr(mode) for mode in MODES[:-1])
        return f"`{key}.mode` must be one of {known} or 'none' (no privacy guarantee)"
    message = detail["msg"].removeprefix("Value error, ")
    return f"`{key}`: {message}" if key else message


def _hint(kind: type[Section], table: str, key: str) -> str:
    known = tuple(_keys(kind))
    if (table, key) in known:
        return " under this `mode`: remove it"
    elsewhere = list(dict.fromkeys(place for place, name in known if name == key))
    if elsewhere:
        places = [f"[{p}]" if p else "the first lines, before any table" for p in elsewhere]
        return f" at this place: it belongs into {' or '.join(places)}"
    own = [name for place, name in known if place == table]
    near = get_close_matches(key, own, n=1) or get_close_matches(key, [n for _, n in known], n=1)
    return f", did you mean `{near[0]}`?" if near else ", remove it"


def _keys(kind: type[Section], table: str = "") -> Iterator[tuple[str, str]]:
    """Yield every key of a file of `kind` with the table that it stands in."""
    for name, field in kind.model_fields.items():
        key = field.alias or name
        yield table, key
        for section in _sections_in(field.annotation):
            yield from _keys(section, f"{table}.{key}" if table else key)


def _sections_in(annotation: object) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
        return
    for part in get_args(annotation):
        yield from _sections_in(part)
