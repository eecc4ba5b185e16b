"""A shop: what users import comes from here."""

from .money import *
from .orders import Order as PublicOrder
from .orders import open_order

VERSION = "1"
