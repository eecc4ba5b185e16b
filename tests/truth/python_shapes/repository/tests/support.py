from shop.orders import GiftOrder


def make():
    return GiftOrder("x")
