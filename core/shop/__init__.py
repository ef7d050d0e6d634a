"""The trade's nouns: customers, products, stock, orders, payments, tasks, messages; written through one `Shop`."""

from core.shop.shop import Shop
from core.shop.work import Change, Emit

__all__ = ["Change", "Emit", "Shop"]
