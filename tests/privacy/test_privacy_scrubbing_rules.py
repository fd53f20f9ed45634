from __future__ import annotations

import pytest

from privacy.scrubbing import PATTERN_ENTITIES, Scrubber, ScrubProfile


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber(ScrubProfile(required=PATTERN_ENTITIES))


@pytest.fixture(scope="module")
def scrubbers() -> dict[str, Scrubber]:
    return {entity: Scrubber(ScrubProfile(required=(entity,))) for entity in PATTERN_ENTITIES}


# Each entity alone, in a sentence: (entity, text before, what must go, text after).
FOUND = [
    ("EMAIL_ADDRESS", "Write to ", "anna.berg+loans@example.co.uk", ", please."),
    ("EMAIL_ADDRESS", "From <", "o'neil@bank.example", ">."),
    ("EMAIL_ADDRESS", "Intranet: ", "bo@ward3.hospital.local", "."),
    ("EMAIL_ADDRESS", "Her e-mail: ", "bo@mailhost", " (internal)"),
    ("EMAIL_ADDRESS", "mailto:", "x@[192.0.2.7]", "?subject=hi"),
    ("IBAN_CODE", "Pay ", "DE89 3704 0044 0532 0130 00", " today."),
    ("IBAN_CODE", "Pay ", "DE89370400440532013000", "."),
    ("IBAN_CODE", "Pay ", "gb29-nwbk-6016-1331-9268-19", " 2 days later."),
    ("IBAN_CODE", "The IBAN, mistyped, was ", "DE89370400440532013001", "."),
    ("CREDIT_CARD", "Paid with ", "4111 1111 1111 1111", " again."),
    ("CREDIT_CARD", "Paid with ", "3782-822463-10005", "."),
    ("CREDIT_CARD", "Mistyped card number: ", "4111111111111112", "."),
    ("CREDIT_CARD", "7 8 ", "5555555555554444", " 9"),
    ("PHONE_NUMBER", "Ring ", "+44 20 7946 0958", "."),
    ("PHONE_NUMBER", "At ", "0049 30 901820", " in Berlin"),
    ("PHONE_NUMBER", "Or ", "(212) 555-0187 ext. 12", "."),
    ("PHONE_NUMBER", "Or ", "212.555.0187x565", "."),
    ("PHONE_NUMBER", "In London ", "020 7946 0958", "."),
    ("PHONE_NUMBER", "Her mobile is ", "99 577450", "."),
    ("US_SSN", "Filed under ", "536-90-4399", "."),
    ("US_SSN", "His SSN is ", "536904399", "."),
    ("US_ITIN", "Filed under ", "912-70-1234", "."),
    ("US_ITIN", "The ITIN ", "912 70 1234", "."),
    ("URL", "See ", "https://user:pw@example.org:8443/a?b=c#d", "."),
    ("URL", "See ", "www.example.fi/live", ", or not."),
    ("URL", "(", "shop-example.com/pay", ")"),
    ("IP_ADDRESS", "From ", "10.20.30.40", "."),
    ("IP_ADDRESS", "From ", "192.0.2.0/24", " on"),
    ("IP_ADDRESS", "From ", "2001:db8::8a2e:370:7334", "."),
    ("IP_ADDRESS", "From ", "fe80::1%eth0", "."),
    ("US_BANK_NUMBER", "Checking account ", "000123456789", "."),
    ("US_BANK_NUMBER", "", "12345678", " is her savings account."),
    ("ACCOUNT_NUMBER", "Sort code ", "12-34-56", "."),
    ("ACCOUNT_NUMBER", "A/c no. ", "12 3456 7890", "."),
    ("ACCOUNT_NUMBER", "Konto ", "159030-776", " in Helsinki"),
    ("ACCOUNT_NUMBER", "the account ending ", "****1234", " was closed"),
    ("ABA_ROUTING_NUMBER", "Routing number ", "021000021", "."),
    ("ABA_ROUTING_NUMBER", "ABA ", "0210-0002-1", "."),
    ("BIC_CODE", "Through ", "DEUTDEFF500", "."),
    ("BIC_CODE", "SWIFT: ", "NDEAFIHH", "."),
    ("CRYPTO", "To ", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "."),
    ("CRYPTO", "To ", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "."),
    ("CRYPTO", "To ", "0x52908400098527886E0F7030069857D2E4169EE7", "."),
    ("DATE_TIME", "Born ", "6/24/1991", "."),
    ("DATE_TIME", "Born ", "24.06.1991", "."),
    ("DATE_TIME", "At ", "1991-06-24T12:30:05Z", "."),
    ("DATE_TIME", "On ", "October 22, 2008", ", she"),
    ("DATE_TIME", "On the ", "3rd of May 1990", "."),
]


@pytest.mark.parametrize(("entity", "before", "value", "after"), FOUND)
def test_a_valid_example_becomes_its_placeholder(
    scrubbers: dict[str, Scrubber], entity: str, before: str, value: str, after: str
) -> None:
    scrubbed = scrubbers[entity].scrub(before + value + after)
    assert scrubbed.text == f"{before}<{entity}>{after}"
    (span,) = scrubbed.spans
    assert (span.start, span.end) == (len(before), len(before + value))


@pytest.mark.parametrize(("entity", "before", "value", "after"), FOUND)
def test_nothing_of_a_valid_example_is_left_when_everything_is_looked_for(
    scrubber: Scrubber, entity: str, before: str, value: str, after: str
) -> None:
    del entity
    scrubbed = scrubber.scrub(before + value + after)
    assert scrubbed.text.startswith(before + "<")
    assert scrubbed.text.endswith(">" + after)
    assert value not in scrubbed.text
    assert not any(character.isdigit() for character in scrubbed.text[len(before) :][: -len(after)])


NOT_FOUND = [
    ("EMAIL_ADDRESS", "1000 shares @ 5.25 and @home, or a@ b"),
    ("EMAIL_ADDRESS", "10@5"),
    ("IBAN_CODE", "DE89370400440532013001"),  # wrong check digits, and no word for it
    ("IBAN_CODE", "ZZ89370400440532013000"),
    ("IBAN_CODE", "DE8937040044053201300"),
    ("IBAN_CODE", "XDE89370400440532013000"),
    ("CREDIT_CARD", "4111111111111112"),  # Luhn
    ("CREDIT_CARD", "9111111111111111"),
    ("CREDIT_CARD", "41111111111111110000000000000000"),
    ("PHONE_NUMBER", "in 2007 2008 2009, 12.5 % and 1 234 567 units"),
    ("PHONE_NUMBER", "between 03.02.2011 and 2010-12-31, or 2007-2008"),
    ("PHONE_NUMBER", "order 5550187"),
    ("US_SSN", "000-12-3456, 666-12-3456, 536-00-4399, 536-90-0000, 078-05-1120"),
    ("US_SSN", "536904399"),
    ("US_SSN", "536-90.4399"),
    ("US_ITIN", "912-93-1234"),
    ("URL", "Profit fell 2.5 % vs. 3.1, i.e. less, e.g. in the U.S. results.In all at 2.pm"),
    ("URL", "anna@example.com"),
    ("IP_ADDRESS", "999.1.1.1, 1.2.3, 1.2.3.4.5, 12:30:45, std::vector, ::"),
    ("US_BANK_NUMBER", "12345678"),
    ("US_BANK_NUMBER", "account 1234567"),
    ("ACCOUNT_NUMBER", "the accounts for 2007-2008 and 31/12/2008"),
    ("ACCOUNT_NUMBER", "the account held EUR 12 500 000 or 12 500 000 euros"),
    ("ACCOUNT_NUMBER", "ref 12-34-56"),
    ("ABA_ROUTING_NUMBER", "Routing number 021000022"),
    ("ABA_ROUTING_NUMBER", "021000021"),
    ("BIC_CODE", "DIVIDEND AND COMPANY IN BUSINESS"),
    ("BIC_CODE", "SWIFT: NDEAQQHH"),  # no such country
    ("CRYPTO", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3"),
    ("CRYPTO", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"),
    ("DATE_TIME", "13/13/2008, 45.01.2008, 1.5, 3-2, version 1.2.2008.4"),
]


@pytest.mark.parametrize(("entity", "text"), NOT_FOUND)
def test_an_invalid_example_stays(scrubbers: dict[str, Scrubber], entity: str, text: str) -> None:
    assert scrubbers[entity].scrub(text).text == text


def test_every_pattern_entity_has_valid_and_invalid_examples() -> None:
    assert {example[0] for example in FOUND} == set(PATTERN_ENTITIES)
    assert {example[0] for example in NOT_FOUND} == set(PATTERN_ENTITIES)


@pytest.mark.parametrize(
    ("entity", "number", "word"),
    [
        ("US_BANK_NUMBER", "12345678", "account"),
        ("US_SSN", "536904399", "SSN"),
        ("BIC_CODE", "NDEAFIHH", "swift"),
        ("PHONE_NUMBER", "99577450", "Phone:"),
    ],
)
def test_a_context_word_raises_the_score_over_the_threshold(
    scrubbers: dict[str, Scrubber], entity: str, number: str, word: str
) -> None:
    scrubber = scrubbers[entity]
    assert scrubber.scrub(f"the {number}").spans == ()
    (before,) = scrubber.scrub(f"the {word} of my old friend is {number}").spans
    (after,) = scrubber.scrub(f"{number} is the {word}").spans
    assert before.score == after.score >= 0.4
    far = "one two three four five six"
    assert scrubber.scrub(f"{word} {far} {number} {far} {word}").spans == ()


def test_a_word_that_only_contains_a_context_word_is_none(scrubbers: dict[str, Scrubber]) -> None:
    assert scrubbers["US_BANK_NUMBER"].scrub("accounted for 12345678 units").spans == ()


def test_many_numbers_in_a_row_are_each_found(scrubber: Scrubber) -> None:
    cards = "4111 1111 1111 1111 5555 5555 5555 4444 3782 822463 10005"
    assert scrubber.scrub(cards).text == "<CREDIT_CARD> <CREDIT_CARD> <CREDIT_CARD>"
    phones = "212-555-0187 415-555-0199 +44 20 7946 0958"
    assert not any(character.isdigit() for character in scrubber.scrub(phones).text)


@pytest.mark.parametrize("mess", ["a@" * 3000, "1-" * 1500, "a." * 3000, "x" * 9000, "a:" * 3000])
def test_hostile_repetition_takes_no_quadratic_time(scrubber: Scrubber, mess: str) -> None:
    # The suite's time limit fails this where a pattern backtracks over the whole text.
    assert scrubber.scrub(mess).text
