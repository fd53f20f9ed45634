"""All instruments that a compliance report is mapped to, in the order in which it lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audits.mappings.ai_act_annex_iv import AI_ACT_ANNEX_IV
from audits.mappings.edpb_opinion_28_2024 import EDPB_OPINION_28_2024
from audits.mappings.gdpr_article_35 import GDPR_ARTICLE_35
from audits.mappings.hipaa_164_514 import HIPAA_164_514
from audits.mappings.model_risk_sr_26_2 import MODEL_RISK_SR_26_2
from audits.mappings.nist_sp_800_226 import NIST_SP_800_226

if TYPE_CHECKING:
    from audits.mappings.instrument import Instrument

INSTRUMENTS: Final[tuple[Instrument, ...]] = (
    NIST_SP_800_226,
    EDPB_OPINION_28_2024,
    GDPR_ARTICLE_35,
    AI_ACT_ANNEX_IV,
    HIPAA_164_514,
    MODEL_RISK_SR_26_2,
)
"""Every mapping that there is."""
