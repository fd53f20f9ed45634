"""Recognisers for devices and vehicles: UDI, IMEI, MAC address, UUID, VIN."""

from __future__ import annotations

from privacy.scrubbing.checksums.health import gtin_is_valid, imei_is_valid, vin_is_valid
from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.rules.forms import (
    CERTAIN,
    NEEDS_CONTEXT,
    NONE,
    SHAPE,
    WEAK,
    WRITTEN,
    Form,
    checked,
    finder,
)

_GTIN_DIGITS = 14
_AFTER_GTIN = (
    r"(?:\((?:1[0157]|2[01]|240|30)\)[0-9A-Za-z](?:[0-9A-Za-z/._+-]{0,18}[0-9A-Za-z])?){0,8}"
)


def _udi_score(compact: str) -> float:
    return CERTAIN if gtin_is_valid(compact.removeprefix("01")[:_GTIN_DIGITS]) else SHAPE


def _vin_score(compact: str) -> float:
    if compact.isdecimal() or compact.isalpha():
        return NONE
    return WRITTEN if vin_is_valid(compact) else WEAK


_DEVICES = (
    Form(
        "DEVICE_ID",
        "[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})|"
        r"[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",
        lambda _: WRITTEN,
    ),
    Form(
        "UNIQUE_ID",
        "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
        lambda _: WRITTEN,
    ),
    Form("VEHICLE_ID", "[0-9A-HJ-NPR-Z]{17}", _vin_score),
    Form(
        "DEVICE_ID",
        r"\d{15}|\d\d-\d{6}-\d{6}-\d|\d{6}[ -]\d\d[ -]\d{6}[ -]\d",
        checked(imei_is_valid, NEEDS_CONTEXT),
    ),
)
_UDI = (Form("DEVICE_ID", rf"\(01\)\d{{14}}{_AFTER_GTIN}", _udi_score),)

DEVICE_RECOGNIZERS = (
    Recognizer(
        "device or vehicle",
        ("DEVICE_ID", "UNIQUE_ID", "VEHICLE_ID"),
        finder(_DEVICES, opening="[0-9A-Za-z]{2}[0-9A-Za-z:-]"),
        ("imei", "device", "handset", "vin", "vehicle", "chassis", "car", "truck", "motorcycle"),
        Trigger.ALWAYS,
        WRITTEN,
    ),
    Recognizer(
        "unique device identifier",
        ("DEVICE_ID",),
        finder(_UDI, opening=r"\(01"),
        (),
        Trigger.DEVICE_PREFIX,
    ),
)
