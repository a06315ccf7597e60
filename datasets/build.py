"""Check the NDJSON sources and write the two demo datasets as Parquet files.

Run from the root of the repository:

    python -m datasets.build           # check the sources, write Parquet and counts
    python -m datasets.build --check   # change nothing, fail if anything differs
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

HERE = Path(__file__).resolve().parent
Row = dict[str, Any]
Problems = Iterator[str]

REVIEWS = pl.Schema(
    {
        "id": pl.String(),
        "text": pl.String(),
        "language": pl.String(),
        "product": pl.String(),
        "stars": pl.Int8(),
        "sentiment": pl.String(),
        "topic": pl.String(),
        "hard": pl.Boolean(),
    }
)
TICKETS = pl.Schema(
    {
        "id": pl.String(),
        "channel": pl.String(),
        "created_at": pl.Datetime("us"),
        "subject": pl.String(),
        "body": pl.String(),
        "product": pl.String(),
        "product_area": pl.String(),
        "priority": pl.String(),
        "order_id": pl.String(),
        "refund_requested": pl.Boolean(),
        "amount": pl.Float64(),
        "currency": pl.String(),
        "due_date": pl.Date(),
        "customer_name": pl.String(),
        "sentiment": pl.String(),
        "language": pl.String(),
    }
)
SCHEMAS = {"reviews": REVIEWS, "tickets": TICKETS}
NULLABLE = {"order_id", "amount", "currency", "due_date", "customer_name"}

LANGUAGES = {"en", "de", "fr", "es", "it", "pt", "nl", "pl", "ja", "zh", "tr", "ar", "hi"}
ALLOWED: dict[str, dict[str, set[Any]]] = {
    "reviews": {
        "language": LANGUAGES,
        "stars": {1, 2, 3, 4, 5},
        "sentiment": {"positive", "negative", "mixed"},
        "topic": {"quality", "delivery", "price", "service", "usability", "size"},
        "hard": {True, False},
    },
    "tickets": {
        "channel": {"email", "chat", "form", "phone"},
        "product_area": {
            "billing",
            "login",
            "shipping",
            "bug",
            "how_to",
            "cancellation",
            "feature_request",
            "other",
        },
        "priority": {"low", "normal", "high", "urgent"},
        "refund_requested": {True, False},
        "sentiment": {"angry", "neutral", "happy"},
        "language": LANGUAGES,
    },
}
STARS = {"positive": {4, 5}, "negative": {1, 2}, "mixed": {2, 3, 4}}
MIN_ROWS = {"reviews": 320, "tickets": 160}
MIN_HARD, MIN_PRODUCTS = 60, 40
MIN_ENGLISH, MIN_SIX_LANGUAGES, MIN_EACH_LANGUAGE = 230, 5, 3
MIN_FOREIGN_TICKETS = 25
BODY_WORDS = range(20, 151)
URGENT_DAYS, HIGH_DAYS = 2, 7
SHARES = {"positive": (0.40, 0.50), "negative": (0.35, 0.45), "mixed": (0.12, 0.18)}
MARKS = {
    "EUR": ("€", "euro", "eur"),
    "GBP": ("£",),
    "USD": ("$",),
    "AUD": ("a$",),
    "CAD": ("c$",),
    "BRL": ("r$",),
    "CHF": ("chf",),
    "PLN": ("zł",),
    "JPY": ("円",),
    "CNY": ("元",),
}
MONTHS = {  # only the names that occur in the texts
    9: ("September",),
    10: ("October",),
    11: ("November",),
    12: ("December",),
}
COUNTED = {
    "reviews": ("language", "sentiment", "stars", "topic", "hard"),
    "tickets": (
        "language",
        "channel",
        "product_area",
        "priority",
        "sentiment",
        "refund_requested",
    ),
}


def read_source(name: str) -> list[Row]:
    """Read one NDJSON source into a list of rows."""
    text = (HERE / "source" / f"{name}.ndjson").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def to_frame(rows: list[Row], schema: pl.Schema) -> pl.DataFrame:
    """Turn rows into a frame with exactly the dtypes of `schema`."""
    loose = {name: pl.String() if dtype.is_temporal() else dtype for name, dtype in schema.items()}
    frame = pl.DataFrame(rows, schema=loose, strict=True)
    if "due_date" in schema:
        frame = frame.with_columns(
            pl.col("created_at").str.to_datetime(time_unit="us"), pl.col("due_date").str.to_date()
        )
    return frame


def check_shape(name: str, rows: list[Row]) -> Problems:
    """Yield problems of keys, ids, missing values and values outside the allowed sets."""
    if len(rows) < MIN_ROWS[name]:
        yield f"{name}: fewer than {MIN_ROWS[name]} rows"
    columns = list(SCHEMAS[name])
    for number, row in enumerate(rows, 1):
        expected = f"{name[0]}{number:04d}"
        if list(row) != columns:
            yield f"{name} line {number}: columns are {list(row)}"
        if row["id"] != expected:
            yield f"{name} line {number}: id is {row['id']}, expected {expected}"
        for column, value in row.items():
            if value is None and column not in NULLABLE:
                yield f"{row['id']}: {column} is missing"
        for column, allowed in ALLOWED[name].items():
            if row[column] not in allowed:
                yield f"{row['id']}: {column} has the value {row[column]!r}"


def shingles(text: str) -> set[str]:
    """Return the 5-character shingles of a text without case, spaces and punctuation."""
    plain = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())
    return {plain[i : i + 5] for i in range(max(1, len(plain) - 4))}


def check_duplicates(texts: Iterable[tuple[str, str]], limit: float = 0.5) -> Problems:
    """Yield pairs of texts whose shingles overlap (Jaccard) by `limit` or more."""
    bags = [(key, shingles(text)) for key, text in texts]
    for (key_a, bag_a), (key_b, bag_b) in combinations(bags, 2):
        overlap = len(bag_a & bag_b)
        if overlap and overlap / (len(bag_a) + len(bag_b) - overlap) >= limit:
            yield f"{key_a} and {key_b}: near-duplicate texts"


def check_reviews(rows: list[Row]) -> Problems:
    """Yield problems of balance, minimum counts and stars against sentiment."""
    for row in rows:
        if row["stars"] not in STARS[row["sentiment"]]:
            yield f"{row['id']}: {row['stars']} stars but {row['sentiment']}"
        if row["sentiment"] == "mixed" and not row["hard"]:
            yield f"{row['id']}: mixed reviews count as hard"
    feelings = Counter(row["sentiment"] for row in rows)
    for feeling, (low, high) in SHARES.items():
        if not low <= feelings[feeling] / len(rows) <= high:
            yield f"reviews: {feelings[feeling]} of {len(rows)} are {feeling}"
    languages = Counter(row["language"] for row in rows)
    foreign = sorted((languages[code] for code in LANGUAGES - {"en"}), reverse=True)
    if (
        languages["en"] < MIN_ENGLISH
        or foreign[5] < MIN_SIX_LANGUAGES
        or foreign[-1] < MIN_EACH_LANGUAGE
    ):
        yield f"reviews: too few in some language: {dict(languages)}"
    if sum(row["hard"] for row in rows) < MIN_HARD:
        yield f"reviews: fewer than {MIN_HARD} hard ones"
    if len({row["product"] for row in rows}) < MIN_PRODUCTS:
        yield f"reviews: fewer than {MIN_PRODUCTS} products"


def check_tickets(rows: list[Row]) -> Problems:
    """Yield problems of counts, lengths, deadlines and gold fields that cannot be recovered."""
    if sum(row["language"] != "en" for row in rows) < MIN_FOREIGN_TICKETS:
        yield f"tickets: fewer than {MIN_FOREIGN_TICKETS} that are not in English"
    for row in rows:
        words = len(row["body"].split())
        if row["language"] not in {"ja", "zh"} and words not in BODY_WORDS:
            yield f"{row['id']}: the body has {words} words"
        for problem in (*check_gold(row), *check_deadline(row)):
            yield f"{row['id']}: {problem}"


def check_gold(row: Row) -> Problems:
    """Yield gold fields of one ticket that do not stand in its subject or body."""
    text = f"{row['subject']}\n{row['body']}"
    orders = re.findall(r"BF-\d+", text)
    if row["product"].casefold() not in text.casefold():
        yield f"product {row['product']!r} is not in the text"
    if row["order_id"] not in (orders or [None]):
        yield f"order_id is {row['order_id']} but the text has {orders}"
    if row["customer_name"] and row["customer_name"] not in text:
        yield f"customer_name {row['customer_name']!r} is not in the text"
    if (row["amount"] is None) != (row["currency"] is None):
        yield "amount and currency must be given together"
    if row["amount"] is not None and not has_amount(text, row["amount"]):
        yield f"amount {row['amount']} is not in the text"
    if row["currency"] and not any(m in text.casefold() for m in MARKS[row["currency"]]):
        yield f"no mark of the currency {row['currency']} in the text"


def has_amount(text: str, amount: float) -> bool:
    """Tell whether an amount is written in the text, in any usual number format."""
    english = [f"{amount:.2f}", f"{amount:,.2f}"]
    if amount == int(amount):
        english += [f"{amount:.0f}", f"{amount:,.0f}"]
    swapped = [number.translate(str.maketrans(",.", ".,")) for number in english]
    return any(
        re.search(rf"(?<![\d.,]){re.escape(number)}(?!\d|[.,]\d)", text)
        for number in english + swapped
    )


def check_deadline(row: Row) -> Problems:
    """Yield problems of the due date: absent from the text, past, or against the priority."""
    if row["due_date"] is None:
        return
    due = dt.date.fromisoformat(row["due_date"])
    if not any(form in f"{row['subject']}\n{row['body']}".casefold() for form in date_forms(due)):
        yield f"due_date {due} is not in the text"
    days = (due - dt.datetime.fromisoformat(row["created_at"]).date()).days
    if days < 0:
        yield f"due_date {due} lies before created_at"
    if days <= URGENT_DAYS and row["priority"] != "urgent":
        yield f"due in {days} days but {row['priority']}"
    if days <= HIGH_DAYS and row["priority"] not in {"high", "urgent"}:
        yield f"due in {days} days but {row['priority']}"


def date_forms(day: dt.date) -> list[str]:
    """Return the ways, in lower case, in which the texts may write a date."""
    forms = [day.isoformat(), f"{day:%d/%m/%Y}", f"{day:%d.%m.%Y}"]
    for month in MONTHS.get(day.month, ()):
        forms += [
            f"{day.day} {month} {day.year}",
            f"{day.day}. {month} {day.year}",
            f"{day.day}th of {month} {day.year}",
            f"{month} {day.day}, {day.year}",
        ]
    return [form.casefold() for form in forms]


def find_problems(sources: dict[str, list[Row]]) -> list[str]:
    """Run all checks on both sources."""
    problems = [p for name, rows in sources.items() for p in check_shape(name, rows)]
    if problems:
        return problems
    reviews, tickets = sources["reviews"], sources["tickets"]
    problems += check_reviews(reviews)
    problems += check_tickets(tickets)
    problems += check_duplicates((row["id"], row["text"]) for row in reviews)
    problems += check_duplicates((row["id"], row["subject"] + row["body"]) for row in tickets)
    return problems


def counts_block(name: str, frame: pl.DataFrame) -> str:
    """Return the counts of one dataset as Markdown tables."""
    parts = [f"{frame.height} rows.\n"]
    for column in COUNTED[name]:
        counts = frame.group_by(column).len().sort(["len", column], descending=[True, False])
        rows = [f"| {str(value).lower()} | {number} |" for value, number in counts.iter_rows()]
        parts.append("\n".join([f"| `{column}` | rows |", "| --- | ---: |", *rows]) + "\n")
    optional = [column for column in frame.columns if column in NULLABLE]
    if optional:
        rows = [f"| `{c}` | {frame.height - frame[c].null_count()} |" for c in optional]
        head = ["| optional column | rows with a value |", "| --- | ---: |"]
        parts.append("\n".join([*head, *rows]) + "\n")
    return "\n".join(parts)


def card_with_counts(name: str, frame: pl.DataFrame) -> str:
    """Return the text of a data card with its counts section brought up to date."""
    card = (HERE / f"{name}.md").read_text(encoding="utf-8")
    block = f"<!-- counts -->\n{counts_block(name, frame)}<!-- /counts -->"
    return re.sub(r"<!-- counts -->.*<!-- /counts -->", lambda _: block, card, flags=re.DOTALL)


def write(name: str, frame: pl.DataFrame) -> None:
    """Write the Parquet file and the counts in the data card of one dataset."""
    frame.write_parquet(HERE / f"{name}.parquet", compression="zstd")
    (HERE / f"{name}.md").write_text(card_with_counts(name, frame), encoding="utf-8")
    print(f"{name}: wrote {frame.height} rows")


def compare(name: str, frame: pl.DataFrame) -> Problems:
    """Yield differences between the source and the files that are on disk."""
    path = HERE / f"{name}.parquet"
    stored = pl.read_parquet(path) if path.exists() else pl.DataFrame()
    if stored.schema != frame.schema or not stored.equals(frame):
        yield f"{name}.parquet differs from its source: run python -m datasets.build"
    if (HERE / f"{name}.md").read_text(encoding="utf-8") != card_with_counts(name, frame):
        yield f"{name}.md has old counts: run python -m datasets.build"


def main(arguments: list[str] | None = None) -> int:
    """Check the sources, then write the files or compare them; return the exit code."""
    parser = argparse.ArgumentParser(description="Build the demo datasets.")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    options = parser.parse_args(arguments)
    sources = {name: read_source(name) for name in SCHEMAS}
    problems = find_problems(sources)
    if not problems:
        frames = {name: to_frame(rows, SCHEMAS[name]) for name, rows in sources.items()}
        if options.check:
            problems = [p for name, frame in frames.items() for p in compare(name, frame)]
        else:
            for name, frame in frames.items():
                write(name, frame)
    for problem in problems:
        print(problem, file=sys.stderr)
    if options.check and not problems:
        print("datasets: sources, Parquet files and counts agree")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
