"""Candidates and hostile texts that the tests of strategies share."""

from __future__ import annotations

from typing import Final

from orchestrator.ports.strategy import Candidate, Skill

ORDERS: Final = Candidate(
    "orders",
    description="Tells where an order is.",
    skills=(
        Skill(
            "track",
            "Where an order is now",
            ("where is my order", "has my parcel been sent yet", "when will the package arrive"),
        ),
        Skill(
            "cancel",
            "Cancel an order",
            ("cancel my order", "i want to call off my purchase", "stop the order i placed"),
        ),
    ),
    keywords=("order", "parcel", "order status"),
    when={"regex": r"\bA-\d{4}\b"},
)
BILLING: Final = Candidate(
    "billing",
    description="Answers questions about invoices and payments.",
    skills=(
        Skill(
            "invoice",
            "Copies of invoices",
            ("send me the invoice", "i need a copy of my bill", "invoice for last month"),
        ),
        Skill("refund", "Money back", ("i want my money back", "when do i get my refund", "refund the payment")),
    ),
    keywords=("invoice", "refund", "bill"),
    when={"keywords": ["money back", "Rückerstattung"], "max_chars": 200},
)
SUPPORT: Final = Candidate(
    "support",
    description="Helps when something is broken.",
    skills=(
        Skill(
            "device",
            "Devices that do not work",
            ("the printer is broken", "my screen stays black", "it does not turn on"),
        ),
        Skill("account", "Trouble with logging in", ("i forgot my password", "i cannot log in", "reset my password")),
    ),
    keywords=("broken", "password"),
    when={"complexity": "complex"},
)
DESKS: Final = (ORDERS, BILLING, SUPPORT)

HOSTILE: Final = {
    "empty": "",
    "spaces": " \t\n ",
    "punctuation": "?!… --- ***",
    "control characters": "where\x00is\x07my\x1border\x7f",
    "emoji": "📦❓ 😀 where is my 📦",
    "right to left": "أين طلبي؟ איפה ההזמנה שלי",
    "marks without end": "o" + "\u0301" * 5_000 + "rder",
    "surrogate": "where is \ud800 my order",
    "one word of a megabyte": "a" * 1_000_000,
    "a megabyte of words": "where is my order " * 60_000,
    "a megabyte of new words": " ".join(f"w{number:x}q" for number in range(150_000)),
    "template": "{{ 7 * 7 }} {% for x in range(9) %}",
}
