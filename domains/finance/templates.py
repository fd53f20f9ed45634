"""Sentence templates of the generator, written for this project.

A core clause carries the sentiment from an investor's point of view; a frame puts people and
their numbers around it and carries none. Training and evaluation share neither cores nor
frames nor the words that fill the slots, so a score is of sentences of a kind never seen.

Some cores are hard on purpose: in those with {low} and {high} only the order of two amounts
tells positive from negative, and neutral ones speak of profit, loss and growth without news.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Templates:
    """One side's templates and the words for their slots.

    Attributes:
        negative: cores that would lower a share's price.
        neutral: cores that would not move it.
        positive: cores that would raise it.
        frames: sentences with a `{core}` in them and slots for people and numbers.
        metrics: figures that are good when they rise.
        burdens: figures that are bad when they rise.
        fell: what a figure does.
        rose: what it does instead.
        stayed: neither.
        stems: first words of company names.
        suffixes: last words of company names.
        units: what a company's parts are called.
        products: what it sells.
        cities: where things happen.
    """

    negative: tuple[str, ...]
    neutral: tuple[str, ...]
    positive: tuple[str, ...]
    frames: tuple[str, ...]
    metrics: tuple[str, ...]
    burdens: tuple[str, ...]
    fell: tuple[str, ...]
    rose: tuple[str, ...]
    stayed: tuple[str, ...]
    stems: tuple[str, ...]
    suffixes: tuple[str, ...]
    units: tuple[str, ...]
    products: tuple[str, ...]
    cities: tuple[str, ...]


TRAIN: Final = Templates(
    negative=(
        "{Metric} of {company} {fell} by {pct} % in {quarter}.",
        "{company} said that its {metric} {fell} in {quarter}.",
        "{Burden} of {company} {rose} by {pct} %.",
        "In the {unit}, {metric} {fell} to {money}.",
        "{Metric} in {city} {fell} because {burden} {rose}.",
        "{company} reported that {burden} {rose} in its {unit}.",
        "For {company}, {metric} {fell} while {burden} {rose}.",
        "{Metric} from {product} {fell}, {company} announced.",
        "{company} closes its shops in {city} for good.",
        "The chief executive of {company} resigned after irregularities were found.",
        "{company} withdrew from the tender for {product} after a dispute.",
        "Strikes in {city} kept {company} from shipping {product}.",
        "{company} may not survive without fresh capital, its auditor wrote.",
        "The merger of {company} with its rival collapsed.",
        "A patent on {product} of {company} was declared invalid.",
        "{company} paid a penalty because {product} arrived late.",
        "{company} cut its forecast after orders for {product} fell {pct} % in {quarter}.",
        "Operating profit of {company} declined to {low} from {high} a year earlier.",
        "{quarter} net sales were {low}, compared with {high} in the corresponding period.",
        "{company} swung to a loss of {money} as raw material costs climbed.",
        "The {unit} of {company} will lay off {count} employees in {city}.",
        "{company} warned that margins on {product} will keep shrinking.",
        "A court in {city} ordered {company} to pay {money} in damages.",
        "{company} lost its largest customer for {product}, worth {money} a year.",
        "Shares of {company} dropped {pct} % when the audit was postponed.",
        "{company} recalled {product} after failures and booked a charge of {money}.",
        "The rating agency downgraded the bonds of {company} to junk.",
        "{company} suspended its dividend to save cash.",
        "Demand for {product} was weaker than {company} had expected.",
        "The {unit} of {company} missed its sales target by {pct} %.",
        "{company} wrote down goodwill of {money} in the {unit}.",
        "Customers of {company} delayed payment, and bad debts grew to {money}.",
        "A fire at the {city} plant of {company} stopped deliveries of {product}.",
        "{company} was fined {money} for late reporting.",
        "Earnings per share of {company} fell short of every estimate.",
        "The order book of {company} shrank by {pct} % in {quarter}.",
        "{company} breached a loan covenant and is in talks with its banks.",
        "Profitability of the {unit} suffered from price pressure, said {company}.",
        "{company} abandoned the expansion in {city} for lack of funds.",
        "Despite higher sales, the loss of {company} widened to {money}.",
    ),
    neutral=(
        "{Metric} of {company} {stayed} in {quarter}.",
        "{Burden} of {company} {stayed}.",
        "{company} said that its {metric} {stayed} at {money}.",
        "In the {unit}, {metric} and {burden} {stayed}.",
        "{company} reports {metric} and {burden} for each segment.",
        "The {unit} publishes its {metric} twice a year.",
        "How {company} accounts for {burden} is described in note {few}.",
        "{company} gave no figure for {metric} in {city}.",
        "{company} offers {product} in {few} countries.",
        "The prospectus of {company} is available in {city}.",
        "{company} and {company2} belong to the same association.",
        "Trading in {company} is quoted in lots of {count} shares.",
        "{company} has its own line of {product}.",
        "The contract of {company} with its landlord in {city} runs for {few} years.",
        "{company} nominated {few} candidates for its board.",
        "The fiscal year of {company} starts in {month}.",
        "{company} will publish its {quarter} result on {day} {month}.",
        "{company} makes {product} and employs {count} people in {city}.",
        "The annual general meeting of {company} will be held in {city} in {month}.",
        "{company} and its supplier signed a lease for offices in {city}.",
        "The value of the agreement on {product} was not disclosed, said {company}.",
        "{company} appointed a new head of the {unit} from {month}.",
        "The increase in the share capital of {company} was entered in the trade register.",
        "Net sales of the {unit} were {money}, unchanged from a year earlier.",
        "{company} is listed in {city} and has {count} shareholders.",
        "A loss provision of {money} was moved between accounts of {company} without effect.",
        "{company} reiterates its earlier outlook for {quarter}.",
        "The {unit} of {company} is responsible for {product}.",
        "{company} has moved its head office to {city}.",
        "Analysts will ask {company} about growth and profit in a call on {day} {month}.",
        "The board of {company} consists of {few} members.",
        "The transaction between {company} and its parent is expected to close in {month}.",
        "{company} presented {product} at a fair in {city}.",
        "In {quarter} the {unit} accounted for {pct} % of the net sales of {company}.",
        "{company} changed the name of its {unit}.",
        "The profit of {company} is taxed in {city}.",
        "{company} has used the same auditor since {year}.",
        "The subscription period for shares of {company} ends on {day} {month}.",
        "Most {product} of {company} are made in {city}.",
        "{company} declined to comment on rumours of a record order.",
    ),
    positive=(
        "{Metric} of {company} {rose} by {pct} % in {quarter}.",
        "{company} said that its {metric} {rose} in {quarter}.",
        "{Burden} of {company} {fell} by {pct} %.",
        "In the {unit}, {metric} {rose} to {money}.",
        "{Metric} in {city} {rose} because {burden} {fell}.",
        "{company} reported that {burden} {fell} in its {unit}.",
        "For {company}, {metric} {rose} while {burden} {fell}.",
        "{Metric} from {product} {rose}, {company} announced.",
        "{company} opens {few} new shops in {city}.",
        "The chief executive of {company} was named manager of the year.",
        "{company} was chosen to supply {product} after a tender.",
        "{company} shipped more {product} from {city} than ever before.",
        "{company} has ample capital for its plans, its auditor wrote.",
        "The merger of {company} with its rival will save {money} a year.",
        "A new patent protects {product} of {company}.",
        "{company} delivered {product} early and earned a bonus.",
        "{company} raised its forecast after orders for {product} rose {pct} % in {quarter}.",
        "Operating profit of {company} rose to {high} from {low} a year earlier.",
        "{quarter} net sales were {high}, compared with {low} in the corresponding period.",
        "{company} returned to a profit of {money} as raw material costs eased.",
        "The {unit} of {company} will hire {count} employees in {city}.",
        "{company} expects margins on {product} to keep widening.",
        "A court in {city} dismissed the claim of {money} against {company}.",
        "{company} won a contract for {product} worth {money} a year.",
        "Shares of {company} jumped {pct} % when the result was announced.",
        "{company} sold its loss-making {unit} at a gain of {money}.",
        "The rating agency upgraded the bonds of {company}.",
        "{company} doubled its dividend.",
        "Demand for {product} was stronger than {company} had expected.",
        "The {unit} of {company} beat its sales target by {pct} %.",
        "{company} repaid {money} of debt ahead of schedule.",
        "The regulator in {city} approved {product} of {company}.",
        "The {city} plant of {company} reached full capacity as deliveries of {product} grew.",
        "{company} received a grant of {money} for research on {product}.",
        "Earnings per share of {company} exceeded every estimate.",
        "The order book of {company} grew by {pct} % in {quarter}.",
        "{company} refinanced its loans at a lower rate.",
        "Profitability of the {unit} improved thanks to price increases, said {company}.",
        "{company} gained market share in {city} for the third year in a row.",
        "Despite lower sales, the profit of {company} increased to {money}.",
    ),
    frames=(
        "{core}",
        "{core}",
        "{core} For details call {person} at {phone}.",
        "{core} The note was written by {person} ({email}).",
        "Memo from {person}: {core}",
        "{core} Fees are debited to IBAN {iban}.",
        "Client {person}, account {account}: {core}",
        "{core} Questions go to {email} or {phone}.",
        "{person} told {person2}: {core}",
        "Ref. {iban}, adviser {person}. {core}",
        "{core} {person} holds a position through account {account}.",
        "To {email}: {core} Regards, {person}",
    ),
    metrics=(
        "net sales", "operating profit", "order intake", "cash flow", "market share", "revenue",
        "passenger traffic", "earnings", "loan income", "output", "deposits", "gross margin",
    ),
    burdens=("costs", "net debt", "bad loans", "pretax loss", "material prices", "returns"),
    fell=(
        "fell", "declined", "dropped", "decreased", "shrank", "slipped", "weakened", "went down",
        "deteriorated", "plunged", "dwindled", "came in lower than a year ago",
    ),
    rose=(
        "rose", "increased", "grew", "climbed", "went up", "picked up", "surged", "strengthened",
        "jumped", "doubled", "soared", "came in higher than a year ago",
    ),
    stayed=(
        "stayed the same", "remained at the level of last year", "did not change",
        "came in as forecast", "hardly moved", "repeated the figure of last year",
    ),
    stems=(
        "Aurell", "Brantholm", "Corvenna", "Dalmire", "Estavik", "Fernhall", "Gravenor", "Hollisto",
        "Ironmere", "Jorvalla", "Kestrom", "Lumenta", "Marovia", "Nordhaug", "Oskarium", "Pellwick",
    ),
    suffixes=("Group", "Oyj", "AG", "plc", "Industries", "Holding"),
    units=(
        "packaging division", "leasing arm", "retail business", "marine segment",
        "software subsidiary", "chemicals unit", "insurance business",
    ),
    products=(
        "hydraulic pumps", "payment terminals", "forest machines", "mortgage software",
        "paper coatings", "elevators", "network antennas", "heart monitors",
    ),
    cities=("Tampere", "Leeds", "Bremen", "Lyon", "Gdansk", "Porto", "Malmo", "Graz"),
)  # fmt: skip

EVALUATION: Final = Templates(
    negative=(
        "{Metric} at {company} {fell} during {quarter}.",
        "{Burden} at {company} {rose}, the {unit} said.",
        "During {quarter}, {metric} {fell} by {pct} % in {city}.",
        "The {unit} saw how {metric} {fell} and {burden} {rose}.",
        "Turnover of {company} slid to {low} in {quarter} against {high} last year.",
        "The pretax result of {company} came to {low}, down from {high}.",
        "{company} issued a profit warning because of poor sales of {product}.",
        "Temporary lay-offs at the {city} site of {company} affect {count} workers.",
        "Investors sued {company} over misleading statements about {product}.",
        "{company} had to renegotiate its credit line after another quarter in the red.",
        "The bankruptcy of a dealer will cost {company} {money}.",
        "Sluggish markets hurt the {unit}, where {company} posted its worst {quarter} in years.",
        "{company} scrapped plans to build {product} in {city} and took a hit of {money}.",
        "A cyber attack halted the {unit} of {company} for two weeks.",
    ),
    neutral=(
        "{Metric} at {company} {stayed} during {quarter}.",
        "{company} will start to disclose {metric} by country in {year}.",
        "During {quarter}, {burden} {stayed} in {city}.",
        "The notes of {company} explain how {metric} is measured.",
        "Turnover of the {unit} was {money} in {quarter}, as in the year before.",
        "{company} supplies {product} to customers in {city} and elsewhere.",
        "The interim report of {company} for {quarter} is due in {month}.",
        "{company} invited its shareholders to a meeting in {city} on {day} {month}.",
        "The parties agreed not to reveal what {company} pays for {product}.",
        "Founded in {year}, {company} has {count} staff.",
        "{company} said that the change of segment reporting does not affect its profit.",
        "The chief financial officer of {company} will speak about losses in the industry.",
        "The {unit} of {company} is managed from {city}.",
        "Options entitle the managers of {company} to subscribe for {count} shares.",
    ),
    positive=(
        "{Metric} at {company} {rose} during {quarter}.",
        "{Burden} at {company} {fell}, the {unit} said.",
        "During {quarter}, {metric} {rose} by {pct} % in {city}.",
        "The {unit} saw how {metric} {rose} and {burden} {fell}.",
        "Turnover of {company} advanced to {high} in {quarter} against {low} last year.",
        "The pretax result of {company} came to {high}, up from {low}.",
        "{company} lifted its guidance thanks to brisk sales of {product}.",
        "The {city} site of {company} takes on {count} workers to meet demand.",
        "Investors welcomed a share buy-back of {money} by {company}.",
        "{company} secured cheaper financing after another record quarter.",
        "A follow-up order from {city} will bring {company} {money}.",
        "Lively markets helped the {unit}, where {company} posted its best {quarter} in years.",
        "{company} finished the factory for {product} early and saved {money}.",
        "Cost cuts paid off for {company}: the {unit} is profitable again.",
    ),
    frames=(
        "{core}",
        "{core}",
        "{core} Contact: {person}, tel. {phone}.",
        "According to {person}, a client of ours: {core}",
        "{core} Please confirm to {email}.",
        "Standing order from {iban} for {person}. {core}",
        "File {account}. {core} Handled by {person}.",
        "{person} wrote from {email}: {core}",
    ),
    metrics=("turnover", "net result", "premium income", "rental income", "sales volume"),
    burdens=("expenses", "credit losses", "customer complaints", "borrowing"),
    fell=("contracted", "came down", "tumbled", "worsened", "eased off", "sank"),
    rose=("advanced", "expanded", "gained", "moved up", "accelerated", "swelled"),
    stayed=("came out the same as before", "showed no change", "held steady"),
    stems=(
        "Quellmark", "Rosvane", "Silvareno", "Tarnholt", "Ulverton", "Vestmoor", "Wexlund",
        "Ymerio",
    ),
    suffixes=("Corporation", "SE", "Oy", "Limited"),
    units=("logistics branch", "energy segment", "printing subsidiary", "private bank"),
    products=("wind turbines", "cash registers", "ship engines", "diabetes tests", "steel pipes"),
    cities=("Turku", "Bristol", "Ghent", "Bilbao", "Aarhus"),
)  # fmt: skip
