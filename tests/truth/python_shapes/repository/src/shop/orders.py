"""Orders: inheritance over files, super, self, nested and local classes, inferred types."""

from . import base, tools
from .base import Closed, Store
from .money import Currency, Money, as_money
from .money import total as summed
from .tools import logged


class Order(base.Entity):
    class Line:
        def __init__(self, price: Money) -> None:
            self.price = price

        def cost(self) -> Money:
            return self.price

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.lines: list[Order.Line] = []

    def describe(self) -> str:
        return str(self.total())

    def add(self, price: Money) -> "Order":
        self.lines.append(Order.Line(price))
        return self

    def total(self) -> Money:
        return summed([line.cost() for line in self.lines])

    @logged
    def close(self) -> None:
        raise Closed("closed")


class GiftOrder(Order):
    def describe(self) -> str:
        return "gift: " + super().describe()

    def check(self) -> None:
        super().check()
        tools.note(self.key)


class OrderStore(Store[Order]):
    def add(self, row: Order) -> Order:
        row.check()
        return super().add(row)


def open_order(key: str, kind: type[Order] = Order) -> Order:
    order = kind(key)
    return order.add(as_money("1.50"))


def fill(store: OrderStore | None = None) -> int:
    class Draft(Order):
        def describe(self) -> str:
            return "draft"

    orders = store or OrderStore()
    with orders as opened:
        opened.add(Draft("d"))
        opened.add(GiftOrder("g")).close()
    first = opened[0]
    print(first.total().cents, Currency.EUR)
    try:
        first.close()
    except Closed as error:
        print(error)
    return len(orders)
