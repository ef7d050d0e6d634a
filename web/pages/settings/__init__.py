"""Settings: the people, the API tokens, the shop's facts, the audit trail."""

from web.pages.settings import shop, tokens
from web.pages.settings.users import PAGE

__all__ = ["PAGE", "shop", "tokens"]
