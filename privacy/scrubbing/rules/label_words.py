"""The words that stand before a number and say whose or what it is.

A label is what is left of the words before a number when words such as "number" and "id" are taken
away: "patient ID no." is `patient`, numbered. Facts about how forms are worded, in English and the
more frequent labels of other languages.
"""

from __future__ import annotations

from dataclasses import dataclass

NUMBER_WORDS = frozenset((
    "no", "nos", "nr", "num", "nums", "number", "numbers", "nummer", "numero", "n\u00famero",
    "num\u00e9ro", "id", "ids", "identifier", "identification", "code", "n\u00b0", "n\u00ba",
    "kenn", "kennung",
))  # fmt: skip
"""Words that make a number of what they follow."""

FILLERS = frozenset(("is", "was", "are", "were", "reads", "as", "the", "ist", "est", "es", "on"))
"""Words that may stand between a label and its number and change nothing."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a label announces.

    A `bare` one needs no number word: what follows "MRN" is a number, what follows "case" need
    not be. `entity` is None where the number identifies nobody, such as a trial's, or where a
    recogniser of its own finds it, such as a telephone's.
    """

    entity: str | None
    bare: bool


# Entity, labels that need no number word, labels that need one (or a colon or #); by commas.
_TABLE: tuple[tuple[str | None, str, str], ...] = (
    (
        "MEDICAL_RECORD_NUMBER",
        """
        mrn, mrns, medrec, med rec, nhc, pat id, patid
        """,
        """
        mr, patient s, medical record, medical records, health record, unit record, chart,
        patient, hospital, hosp, ur, urn, emr, ehr, epi, crn, pid, record, case note,
        case notes, inpatient, outpatient, patienten, pat, fall, dossier, historia cl\u00ednica,
        historia clinica, journal, patient registration, hospital registration, cartella,
        cartella clinica
        """,
    ),
    (
        "HEALTH_PLAN_NUMBER",
        """
        mbi, hicn, medicare, medicaid, kvnr, nhs, ohip, ehic, tricare, chi
        """,
        """
        ins, member, membership, subscriber, group, policy, policyholder, insurance,
        insurance policy, health plan, plan, payer, insured, enrollee, beneficiary,
        health insurance, health card, versicherten, versicherungs, krankenversicherungs,
        krankenversicherten, mutuelle, medicare beneficiary, medicaid recipient, insurance card,
        insurance member, private health
        """,
    ),
    (
        "MEDICAL_LICENSE",
        """
        dea, npi, gmc, gphc, lanr, bsnr, rpps, adeli, upin, ahpra, hcpc, cpso, licensure
        """,
        """
        license, licence, lic, medical license, medical licence, medical council, registration,
        certificate, certification, nmc, provider, prescriber, professional registration,
        state license, approbation, arzt, permit, accreditation
        """,
    ),
    (
        "DEVICE_ID",
        """
        sn, s n, udi, imei, imsi, iccid, meid, eid, idfa, gaid, aaid, mac address
        """,
        """
        serial, s, device, implant, pump, pacemaker, defibrillator, lot, batch, mac,
        advertising, android, asset, asset tag, equipment, cochlear implant, prosthesis, stent,
        lead, serien, ger\u00e4te, hearing aid, glucose monitor, sensor, handset
        """,
    ),
    (
        "VEHICLE_ID",
        """
        vin, chassis, fahrgestell, fin
        """,
        """
        vehicle, engine, frame
        """,
    ),
    (
        "LICENCE_PLATE",
        """
        plate, plates, license plate, licence plate, registration plate, kennzeichen, rego, vrm,
        immatriculation, plaque, matr\u00edcula, targa, kenteken, vehicle registration,
        car registration, rekisteritunnus, registreringsnummer, reg
        """,
        """
        tag, vehicle reg, car reg, vehicle tag
        """,
    ),
    (
        "BIOMETRIC_ID",
        """
        fingerprint hash, fingerprint template, iris template, iris code, voiceprint template,
        voice template, face template, retina template, retinal template, biometric template,
        biometric hash, palm template, vein template, face hash, voiceprint hash
        """,
        """
        fingerprint, retina, retinal, retina scan, retinal scan, iris, iris scan, voiceprint,
        voice print, faceprint, face print, biometric, biometrics, palm print, hand geometry,
        template, thumbprint, finger scan, face scan
        """,
    ),
    (
        "US_DRIVER_LICENSE",
        """
        driver license, driver licence, drivers license, drivers licence, driver s license,
        driver s licence, driving licence, driving license, operator license,
        operator s license, f\u00fchrerschein, permis de conduire, patente di guida, rijbewijs,
        permiso de conducir, k\u00f6rkort, ajokortti
        """,
        """
        dl, d l, oln, driver lic, drivers lic, driver s lic, permis
        """,
    ),
    (
        "US_PASSPORT",
        """
        passport, us passport, reisepass, passeport, pasaporte, passaporto, paspoort, passi,
        pass
        """,
        """
        passport card, travel document
        """,
    ),
    (
        "US_SSN",
        """
        ssn, ssns, social security
        """,
        """
        soc sec, social
        """,
    ),
    (
        "US_EIN",
        """
        ein, fein, federal employer
        """,
        """
        employer, federal tax, employer tax
        """,
    ),
    (
        "TAX_ID",
        """
        tin, utr, nino, ni, national insurance, steuer, steuernr, ust, vat, btw, mwst, uid, nif,
        nie, dni, cif, siren, siret, codice fiscale, partita iva, bsn, pesel, aadhaar, aadhar,
        cpf, cnpj, tfn, personnr, person, samordnings, hetu, henkil\u00f6tunnus, cpr, ahv, insz,
        f\u00f8dsels, rijksregister, social insurance, curp, cuit, abn
        """,
        """
        tax, taxpayer, tax file, tax reference, taxpayer reference, tva, iva, pan, sin,
        national, national identity, identity card, identity, personal identity, steuerliche,
        citizen, sozialversicherungs, identity document, moms, rfc, s\u00e9curit\u00e9 sociale,
        permanent account
        """,
    ),
    (
        "POSTAL_CODE",
        """
        zip, zipcode, postcode, post code, plz, postleitzahl, code postal, eircode, pincode,
        codice postale, c\u00f3digo postal, codigo postal, postnummer, postinumero
        """,
        """
        postal, post, cp, cap, pin
        """,
    ),
    (
        "ACCOUNT_NUMBER",
        """
        sort, bsb, kontonr
        """,
        """
        account, acct, acc, a c, konto, bank account, compte, cuenta, conto, rekening, loan,
        mortgage, customer, savings, checking, current account, depot, debitor,
        securities account
        """,
    ),
    (
        "UNIQUE_ID",
        """
        accession, guid, uuid, aktenzeichen, encounter id, pnr
        """,
        """
        case, specimen, claim, order, study, ref, reference, employee, staff, badge, student,
        invoice, ticket, transaction, confirmation, tracking, encounter, visit, episode,
        admission, requisition, sample, lab, laboratory, barcode, subject, participant, client,
        user, application, contract, docket, file, matter, prescription, rx, referral,
        authorization, authorisation, booking, reservation, incident, report, our ref, your ref,
        personal, personnel, kunden, vertrags, vorgangs, auftrags, rechnungs, mandate,
        mandate reference, matriculation, event, donor, blood unit, unit, biobank, payroll,
        inmate, prisoner, service, warrant, complaint, appointment, consent, protocol,
        screening, randomization, randomisation, pathology, slide, image, exam, procedure,
        end to end
        """,
    ),
    (
        "IBAN_CODE",
        """
        iban
        """,
        """
        international bank account
        """,
    ),
    (
        None,
        """
        trial registration, clinical trial registration, trials registration, doi, pmid, nct,
        isrctn, prospero registration, prospero, clinical trials registration,
        review registration, phone, telephone, tel, fax, mobile, cell, telefon, contact, card,
        credit card, debit card, bic, swift, isin, cusip, sedol, lei, routing, wallet, page,
        room, bed, ward, floor, gate, flight, channel, pages, item, items
        """,
        """
        trial, clinical trial, grant, award, ethics, ethics approval, approval, irb,
        protocol version, ec, mg dl, g dl, mmol l, ml, catalog, catalogue, cat,
        accession genbank, model, version, genbank accession, clinicaltrials gov, registry,
        trial registry, identifier clinicaltrials gov, study registration
        """,
    ),
)


def _labels() -> dict[str, Label]:
    labels: dict[str, Label] = {}
    for entity, bare, numbered in _TABLE:
        for words, is_bare in ((bare, True), (numbered, False)):
            for label in words.split(","):
                labels[" ".join(label.split())] = Label(entity, is_bare)
    return labels


LABELS = _labels()
"""Each label, in lower case with single spaces, and what it announces."""

LONGEST_LABEL_WORDS = max(label.count(" ") for label in LABELS) + 1

LAST_WORDS = frozenset(label.rpartition(" ")[2] for label in LABELS) | NUMBER_WORDS | FILLERS
"""What can be the last word before a labelled number."""
