"""Slots that hold a number or a code, and the shapes of those that no standard describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from domains.notes import identifiers
from domains.notes.identifiers import shaped

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


def _by_shape(*shapes: str) -> Callable[[np.random.Generator], str]:
    return lambda rng: shaped(rng, *shapes)


NUMBERS: Final[dict[str, tuple[str, Callable[[np.random.Generator], str]]]] = {
    "phone": ("PHONE_NUMBER", identifiers.phone),
    "fax": ("PHONE_NUMBER", identifiers.phone),
    "ssn": ("US_SSN", identifiers.ssn),
    "itin": ("US_ITIN", identifiers.itin),
    "ein": ("US_EIN", identifiers.ein),
    "mrn": (
        "MEDICAL_RECORD_NUMBER",
        _by_shape(
            "#######",
            "########",
            "######",
            "@#######",
            "##-##-##",
            "@@######",
            "00######",
            "###-###-###",
        ),
    ),
    "plan": (
        "HEALTH_PLAN_NUMBER",
        _by_shape(
            "@@@#########",
            "W########",
            "#########-##",
            "@########",
            "####-####-##",
            "@@@############",
        ),
    ),
    "medicare": ("HEALTH_PLAN_NUMBER", identifiers.medicare_id),
    "nhs": ("HEALTH_PLAN_NUMBER", identifiers.nhs_number),
    "account": (
        "ACCOUNT_NUMBER",
        _by_shape(
            "##########", "########", "############", "##-####-#####", "#### ######", "0000########"
        ),
    ),
    "sort_code": ("ACCOUNT_NUMBER", _by_shape("##-##-##")),
    "bank_number": ("US_BANK_NUMBER", _by_shape("##########", "#############", "########")),
    "routing": ("ABA_ROUTING_NUMBER", identifiers.routing_number),
    "iban": ("IBAN_CODE", identifiers.iban),
    "bic": ("BIC_CODE", identifiers.bic),
    "card": ("CREDIT_CARD", identifiers.card),
    "plate": ("LICENCE_PLATE", identifiers.plate),
    "vin": ("VEHICLE_ID", identifiers.vin),
    "device": (
        "DEVICE_ID",
        _by_shape("@@@######", "SN-########", "@##-######-@", "########@", "PM#######"),
    ),
    "udi": ("DEVICE_ID", identifiers.udi),
    "imei": ("DEVICE_ID", identifiers.imei),
    "mac": ("DEVICE_ID", identifiers.mac_address),
    "npi": ("MEDICAL_LICENSE", identifiers.npi),
    "dea": ("MEDICAL_LICENSE", identifiers.dea),
    "licence": (
        "MEDICAL_LICENSE",
        _by_shape("@######", "#######", "MD#####", "RN-######", "##.######"),
    ),
    "case": (
        "UNIQUE_ID",
        _by_shape(
            "##-#####", "@@-####-####", "CAS-#######", "########", "@#########", "20##/#####"
        ),
    ),
    "accession": ("UNIQUE_ID", _by_shape("S##-#####", "ACC########", "##-@-######", "@@#########")),
    "claim": ("UNIQUE_ID", _by_shape("CLM#########", "##########", "20##-######-@", "@@######")),
    "study": ("UNIQUE_ID", _by_shape("###-####", "SUBJ-####", "@@@-##-###")),
    "uuid": ("UNIQUE_ID", identifiers.uuid),
    "driver": (
        "US_DRIVER_LICENSE",
        _by_shape("@#######", "@############", "########", "@@######@"),
    ),
    "passport": ("US_PASSPORT", _by_shape("#########", "@########", "@@#######")),
    "biometric": (
        "BIOMETRIC_ID",
        _by_shape("FP-########", "VP?????????", "IRIS-######", "BT-????-????"),
    ),
    "tax_id": ("TAX_ID", identifiers.tax_id),
    "lei": ("LEI", identifiers.lei),
    "isin": ("ISIN", identifiers.isin),
    "cusip": ("CUSIP", identifiers.cusip),
    "sedol": ("SEDOL", identifiers.sedol),
    "wallet": ("CRYPTO", identifiers.bitcoin),
    "url": ("URL", identifiers.url),
    "ip": ("IP_ADDRESS", identifiers.ip_address),
}
"""Slots that hold a number or a code: its entity, and what draws it."""
