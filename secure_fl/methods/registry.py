"""The methods on offer, and the refusal of one that needs more than a run reveals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from secure_fl.methods.bitfit import BitFit
from secure_fl.methods.fedit import FedIT
from secure_fl.methods.fedit_median import FedITMedian
from secure_fl.methods.ffa_lora import FFALoRA
from secure_fl.methods.linear_head import LinearHead
from secure_fl.methods.norm_tuning import NormTuning
from secure_fl.views import View

if TYPE_CHECKING:
    from secure_fl.config import Mechanism
    from secure_fl.methods.method import Method
    from secure_fl.views import Protection

METHODS: tuple[Method, ...] = (
    FedIT(),
    FFALoRA(),
    BitFit(),
    NormTuning(),
    LinearHead(),
    FedITMedian(),
)


def method_of(mechanism: Mechanism) -> Method:
    """Return the method of a run, if it can run as the mechanism says.

    Raises:
        ConfigError: as `find_method`; or its rule compares single updates, which weights make
            longer or shorter than sites moved.
    """
    method = find_method(mechanism.method, mechanism.protection)
    if mechanism.training.weighting is not None and method.needs is not View.SUM:
        raise ConfigError(
            f"The method `{method.name}` compares single updates, and under "
            "`mechanism.training.weighting` a site with many records sends a longer one: it would "
            "be taken for an outlier. Remove the table, or choose a method that needs only the sum "
            f"({', '.join(_under_sum())})."
        )
    return method


def find_method(name: str, protection: Protection) -> Method:
    """Return the method called `name`, if it can run under `protection`.

    Raises:
        ConfigError: there is no such method, or its server rule has to read more than the
            protection reveals. A missing view is never simulated: a median of sums would
            silently be the mean.
    """
    for method in METHODS:
        if method.name != name:
            continue
        if method.needs > protection.reveals:
            raise ConfigError(
                f"The method `{name}` has to read {_said(method.needs.name)} and the protection "
                f"`{protection.value}` reveals only {_said(protection.reveals.name)}: run "
                "anyway, it would silently compute something else. Choose a method that needs "
                f"only the sum ({', '.join(_under_sum())}), or give up sums with "
                '`protection = "plain"`, under which the coordinator reads every update.'
            )
        return method
    known = ", ".join(method.name for method in METHODS)
    raise ConfigError(f"There is no method `{name}`. Choose one of: {known}.")


def _under_sum() -> list[str]:
    return [method.name for method in METHODS if method.needs.name == "SUM"]


def _said(view: str) -> str:
    return {"SUM": "their sum", "GROUPS": "sums over groups", "EACH": "every single update"}[view]
