"""Webhooks that go out: through a rule and the engine to a receiver that checks them."""

import base64
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from engines import make_event, put_rule
from structlog.testing import capture_logs

from core.accounts import Account, save_account
from core.clock import VirtualClock
from core.db import metadata
from core.effects import list_effects
from core.http import Call, HttpClient
from core.settings import load_settings
from plugins import BUILTINS
from plugins.webhooks.fake import Answer, FakeReceiver
from plugins.webhooks.outgoing import message_id
from rules.engine import Engine, Parts
from rules.runs import list_runs
from tests_start import START

SENTINEL = "U0VOVElORUwtU0VDUkVULW9mLXdlYmhvb2tz"
SECRET = f"whsec_{SENTINEL}"
RULE = """
rule: tell-warehouse
when: {event: order.paid}
then:
  - do: webhooks.send
    account: warehouse
    with: {type: order.paid, body: {order: "{{ order.id }}", lines: "{{ order.lines }}"}}
owner: shop
"""
ORDER = {"order": {"id": "A-1", "lines": [{"sku": "X"}]}}
