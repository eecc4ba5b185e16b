"""The tests reach the package as users do, and each other by name."""

import pytest
from shop import open_order
from shop.orders import GiftOrder
from support import make


@pytest.fixture
def order():
    return make()


class TestOrder:
    def test_total(self, order):
        assert make().total()

    def test_open(self):
        opened = open_order("a")
        assert isinstance(opened, GiftOrder)
