"""The only way out: one guarded HTTP client for the whole engine."""

from core.http.addresses import BLOCKED_NETWORKS, Resolver, SystemResolver
from core.http.client import HttpClient
from core.http.limits import Rate
from core.http.recording import Call, Recorder
from core.http.response import Headers, Response
from core.http.session import Session
from core.http.urls import Target, parse_url

__all__ = [
    "BLOCKED_NETWORKS",
    "Call",
    "Headers",
    "HttpClient",
    "Rate",
    "Recorder",
    "Resolver",
    "Response",
    "Session",
    "SystemResolver",
    "Target",
    "parse_url",
]
