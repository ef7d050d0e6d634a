"""Plugins: the gallery, switching, and the accounts of each with their settings."""

from web.pages.plugins import account
from web.pages.plugins.gallery import PAGE

__all__ = ["PAGE", "account"]
