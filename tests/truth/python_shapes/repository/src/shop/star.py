"""What a star brings, through the package."""

from shop import *
from shop import PublicOrder as Bestellung
import shop.tools as helpers
import shop.money


def from_star():
    return total([Money.zero()])


def from_alias(value: Bestellung):
    made = Bestellung("b")
    helpers.note(made.describe())
    return shop.money.rounded(1.0)


def unknown(thing):
    return thing.describe()
