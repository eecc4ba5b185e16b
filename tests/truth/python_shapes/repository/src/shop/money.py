"""Money: operators, properties, a dataclass, overloads, a conditional definition."""

import sys
from dataclasses import dataclass
from enum import Enum
from typing import overload


class Currency(Enum):
    EUR = "EUR"
    USD = "USD"

    def sign(self) -> str:
        return "€" if self is Currency.EUR else "$"


def rounded(value: float) -> float:
    return round(value, 2)


@dataclass
class Money:
    amount: float
    currency: Currency = Currency.EUR

    def __post_init__(self) -> None:
        self.amount = rounded(self.amount)

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount + other.amount, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.amount < other.amount

    def __str__(self) -> str:
        return f"{self.amount}{self.currency.sign()}"

    @property
    def cents(self) -> int:
        return int(self.amount * 100)

    @cents.setter
    def cents(self, value: int) -> None:
        self.amount = rounded(value / 100)

    @classmethod
    def zero(cls) -> "Money":
        return cls(0.0)

    @staticmethod
    def parse(text: str) -> "Money":
        return Money(float(text))


@overload
def as_money(value: float) -> Money: ...
@overload
def as_money(value: str) -> Money: ...
def as_money(value):
    return Money.parse(value) if isinstance(value, str) else Money(value)


if sys.version_info >= (3, 0):

    def as_text(value: Money) -> str:
        return str(value)

else:

    def as_text(value: Money) -> str:
        return as_money(value).__str__()


def total(parts: list[Money]) -> Money:
    result = Money.zero()
    for part in parts:
        result = result + part
    if result < Money.zero():
        raise ValueError
    result.cents = result.cents
    return result
