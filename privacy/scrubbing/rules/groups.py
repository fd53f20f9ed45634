"""A recogniser for nationalities, religions and political groups (NRP), by a list of words.

Matched as written, with a capital: "Polish" and not "polish". What names a language or a dish as
often as a person is found all the same, since a reader cannot be asked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.rules.forms import WRITTEN
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_NATIONALITIES = """
Afghan Albanian Algerian American Andorran Angolan Antiguan Argentine Argentinian Armenian
Australian Austrian Azerbaijani Azeri Bahamian Bahraini Bangladeshi Barbadian Belarusian Belgian
Belizean Beninese Bermudian Bhutanese Bolivian Bosnian Botswanan Brazilian British Bruneian
Bulgarian Burkinabe Burmese Burundian Cambodian Cameroonian Canadian Chadian Chilean Chinese
Colombian Comorian Congolese Croat Croatian Cuban Cypriot Czech Dane Danish Djiboutian Dominican
Dutch Dutchman Dutchwoman Ecuadorian Egyptian Emirati Englishman Englishwoman English Eritrean
Estonian Ethiopian Fijian Filipina Filipino Finn Finnish French Frenchman Frenchwoman Gabonese
Gambian Georgian German Ghanaian Greek Greenlander Greenlandic Grenadian Guatemalan Guinean
Guyanese Haitian Honduran Hungarian Icelander Icelandic Indian Indonesian Iranian Iraqi Irish
Irishman Irishwoman Israeli Italian Ivorian Jamaican Japanese Jordanian Kazakh Kenyan Korean
Kosovan Kosovar Kurd Kurdish Kuwaiti Kyrgyz Lao Laotian Latvian Lebanese Liberian Libyan
Lithuanian Luxembourger Macedonian Malagasy Malawian Malaysian Maldivian Malian Maltese
Mauritanian Mauritian Mexican Moldovan Mongolian Montenegrin Moroccan Mozambican Namibian
Nepalese Nepali Nicaraguan Nigerian Nigerien Norwegian Omani Pakistani Palestinian Panamanian
Paraguayan Persian Peruvian Pole Polish Portuguese Qatari Romanian Russian Rwandan Salvadoran
Samoan Saudi Scot Scottish Scotsman Senegalese Serb Serbian Seychellois Singaporean Slovak
Slovakian Slovene Slovenian Somali Spaniard Spanish Sudanese Surinamese Swazi Swede Swedish Swiss
Syrian Taiwanese Tajik Tanzanian Thai Tibetan Togolese Tongan Trinidadian Tunisian Turk Turkish
Turkmen Ugandan Ukrainian Uruguayan Uzbek Uyghur Venezuelan Vietnamese Welsh Welshman Yemeni
Zambian Zimbabwean Catalan Basque Flemish Walloon Sami Roma Romani Sinti Hispanic Latino Latina
Latinx Caucasian Arab Bedouin Berber Maori Inuit Navajo Cherokee Aboriginal Hawaiian Punjabi
Bengali Tamil Gujarati Hmong Yoruba Igbo Hausa Zulu Xhosa Oromo Amhara Tutsi Hutu Scandinavian
European African Asian Afro-Caribbean African-American
"""
_BELIEFS = """
Christian Catholic Protestant Lutheran Anglican Episcopalian Methodist Baptist Presbyterian
Calvinist Evangelical Pentecostal Mormon Quaker Amish Mennonite Adventist Jewish Jew Muslim
Moslem Islamic Sunni Shia Shiite Alawite Alevi Sufi Druze Ismaili Ahmadi Hindu Sikh Jain Jainist
Buddhist Taoist Daoist Confucian Shinto Zoroastrian Parsi Baha'i Rastafarian Rasta Wiccan Pagan
Scientologist Atheist Agnostic Copt Coptic Maronite Hasidic Haredi Yazidi
"""
_PARTIES = """
Republican Democrat Tory Labourite Conservative Communist Socialist Marxist Leninist Trotskyist
Maoist Fascist Anarchist Libertarian Nationalist Zionist Monarchist Royalist Islamist Peronist
Social-Democrat Brexiteer Remainer Unionist
"""
_GERMAN_AND_FRENCH = """
Deutscher \u00d6sterreicher \u00d6sterreicherin Schweizerin Franzose Franz\u00f6sin T\u00fcrke
T\u00fcrkin Pole Polin Russe Russin Syrer Syrerin Ukrainerin Italiener Italienerin Grieche
Griechin Spanier Spanierin Moslem Muslima Katholik Katholikin Protestant J\u00fcdin
Fran\u00e7ais Fran\u00e7aise Alg\u00e9rien Alg\u00e9rienne Marocain Marocaine Tunisien Tunisienne
Allemand Allemande Italienne Espagnol Espagnole Portugais Portugaise Belge Juif Juive Musulman
Musulmane Catholique
"""
_NO_PLURAL = ("ese", "ish", "sh", "ch", "ss", "men", "man")


def _with_plurals(words: str) -> frozenset[str]:
    singular = words.split()
    return frozenset(singular) | {f"{word}s" for word in singular if not word.endswith(_NO_PLURAL)}


_WORDS = _with_plurals(f"{_NATIONALITIES} {_BELIEFS} {_PARTIES} {_GERMAN_AND_FRENCH}")
_NOT_A_GROUP_BEFORE = {
    "American": ("College", "Society", "Heart", "Academy", "Diabetes", "Association", "Express",
                 "Thoracic", "Journal", "Cancer", "Board", "Psychiatric", "Medical", "Airlines"),
    "British": ("Thoracic", "Journal", "Society", "Medical", "Airways", "Columbia", "National",
                "Heart", "Petroleum", "Telecom", "Telecommunications"),
    "European": ("Union", "Society", "Commission", "Association", "Medicines", "Central",
                 "Respiratory", "Journal", "Court", "Parliament", "Organisation", "Organization",
                 "Community"),
    "German": ("measles",),
    "Dutch": ("elm",),
    "French": ("gauge", "Fr", "press", "fries"),
    "Greek": ("letter", "alphabet"),
    "Indian": ("Ocean",),
    "Turkish": ("bath",),
    "Swiss": ("cheese",),
    "Asian": ("flu",),
    "Spanish": ("flu",),
    "Canadian": ("C", "CT", "Cardiovascular", "Journal"),
    "Conservative": ("management", "treatment", "therapy", "measures", "estimate", "estimates"),
    "African": ("swine",),
    "Persian": ("Gulf",),
}  # fmt: skip
"""What follows where the word belongs to the name of a body, a disease or a thing."""

_CAPITAL_WORD = re.compile(
    r"(?<!\w)[A-Z][a-z\u00df-\u00ff]{2,}(?:[-'][A-Za-z]+)?(?!\w)|\u00d6sterreicher(?:in)?"
)
_NEXT_WORD = re.compile(r"[ -]([A-Za-z]+)")


def _find_group(text: str) -> Iterator[Span]:
    for match in _CAPITAL_WORD.finditer(text):
        word = match[0]
        end = match.end()
        if word not in _WORDS:
            word = word.partition("-")[0].removesuffix("'s")
            if word not in _WORDS:
                continue
            end = match.start() + len(word)
        following = _NEXT_WORD.match(text, end)
        if following and following[1] in _NOT_A_GROUP_BEFORE.get(word, ()):
            continue
        yield Span(match.start(), end, "NRP", WRITTEN)


GROUP_RECOGNIZERS = (
    Recognizer("nationality or belief", ("NRP",), _find_group, (), Trigger.ALWAYS, WRITTEN),
)
