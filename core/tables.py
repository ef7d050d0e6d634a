"""Core tables. Ids are UUIDv7 text, moments are microseconds (see `core.db.Moment`), documents are JSON."""

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from core.db import Json, Moment, metadata

ID = String(36)

events = Table(
    "events",
    metadata,
    Column("id", ID, primary_key=True),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("time", Moment, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("key", Text),
    Column("customer", Text),
    Column("depth", Integer, nullable=False),
    Column("cause", ID),
    Column("data", Json, nullable=False),
    UniqueConstraint("source", "external_id"),
    Index("ix_events_key", "key", "type", "received_at"),
    Index("ix_events_customer", "customer", "type", "received_at"),
    Index("ix_events_type", "type", "received_at"),
)

#: One row for every side effect of every plugin: the answer to "why?", undo, caps and the audit.
effects = Table(
    "effects",
    metadata,
    Column("id", ID, primary_key=True),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("plugin", Text, nullable=False),
    Column("object", Text),
    Column("customer", Text),
    Column("key", Text),
    Column("rule", ID),
    Column("version", Integer),
    Column("run", ID),
    Column("event", ID),
    #: The first effect of its run: caps count firings, not steps.
    Column("first", Boolean, nullable=False),
    #: done, started, failed, held, skipped, watched, undone, unclear
    Column("state", String(12), nullable=False),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    #: True when a crash may have repeated the call and the other side takes no key.
    Column("possible_duplicate", Boolean, nullable=False),
    Column("cost", Json),
    Column("undo", Json),
    Column("params", Json),
    Column("result", Json),
    Column("at", Moment, nullable=False),
    Index("ix_effects_rule", "rule", "first", "at"),
    Index("ix_effects_customer", "customer", "kind", "at"),
    Index("ix_effects_rule_customer", "rule", "customer", "at"),
    Index("ix_effects_rule_key", "rule", "key", "at"),
    Index("ix_effects_object", "object", "at"),
    Index("ix_effects_run", "run"),
    Index("ix_effects_kind", "kind", "at", "state"),
)

#: Caps over all rules: at most so many effects of a kind, in the whole shop or for one customer.
caps = Table(
    "caps",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    #: shop, customer
    Column("per", String(8), nullable=False),
    Column("most", Integer, nullable=False),
    #: A length of time as people write it: 1 day, 24 hours.
    Column("period", Text, nullable=False),
    #: What happens to the effect that is one too many: skip, later, hold.
    Column("above", String(5), nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("changed_by", Text, nullable=False),
)

#: Work that is not a run: deliveries, pollers, imports. Claimed by lease and fencing number.
jobs = Table(
    "jobs",
    metadata,
    Column("id", ID, primary_key=True),
    #: payments, stock, messages, browser, bulk
    Column("class", String(12), nullable=False),
    Column("task", Text, nullable=False),
    Column("args", Json, nullable=False),
    #: Jobs with one key run one after another, in the order they were deferred.
    Column("key", Text),
    #: ready, running, done, dead
    Column("status", String(8), nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", Moment),
    Column("error", Text),
    Column("created_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Index("ix_jobs_due", "status", "due_at"),
    Index("ix_jobs_key", "key", "status"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", Text, primary_key=True),
    #: Who is called when it is due: "rule", "poller", "system".
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("spec", Json, nullable=False),
    Column("zone", Text, nullable=False),
    #: What to do with times that passed while nothing ran: all, last, none.
    Column("missed", String(4), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("next_at", Moment),
    Column("last_at", Moment),
    Index("ix_schedules_due", "enabled", "next_at"),
)

ticks = Table(
    "ticks",
    metadata,
    Column("schedule_id", Text, nullable=False),
    Column("planned_at", Moment, nullable=False),
    Column("fired_at", Moment, nullable=False),
    PrimaryKeyConstraint("schedule_id", "planned_at"),
)

#: Leader locks: one row a name, taken by compare-and-swap.
locks = Table(
    "locks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", Moment, nullable=False),
    Column("fence", Integer, nullable=False),
)

#: Token buckets that hold over all processes: when each is (or will be) full again.
limits = Table(
    "limits",
    metadata,
    Column("name", Text, primary_key=True),
    Column("full_at", Moment, nullable=False),
)

#: Small named facts of the installation: pause, restored-and-muted, rule stamp, replay position.
marks = Table(
    "marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Json, nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", Text),
)

plugins = Table(
    "plugins",
    metadata,
    Column("name", Text, primary_key=True),
    Column("enabled", Boolean, nullable=False),
    #: Why the host itself switched it off; empty while it is well.
    Column("quarantine", Text),
    Column("at", Moment, nullable=False),
    Column("by", Text),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", ID, primary_key=True),
    Column("plugin", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("settings", Json, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    UniqueConstraint("plugin", "name"),
)

#: Encrypted values; the key lies in a file outside the database.
secrets = Table(
    "secrets",
    metadata,
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("hint", Text, nullable=False),
    Column("changed_at", Moment, nullable=False),
    PrimaryKeyConstraint("scope", "name"),
)

#: `ctx.store`: a plugin's own small documents.
plugin_store = Table(
    "plugin_store",
    metadata,
    Column("plugin", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Json, nullable=False),
    Column("changed_at", Moment, nullable=False),
    PrimaryKeyConstraint("plugin", "account", "key"),
)

users = Table(
    "users",
    metadata,
    Column("id", ID, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("password", Text),
    #: admin, manager, staff, developer
    Column("role", String(12), nullable=False),
    Column("language", String(2), nullable=False),
    Column("active", Boolean, nullable=False),
    #: Raised when password, role or activity changes: ends every older session.
    Column("generation", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
)

#: Who is signed in with which browser; the cookie holds a secret of which only the hash stands here.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("user", ID, nullable=False),
    #: The user's generation at sign-in: a session of an older one is over.
    Column("generation", Integer, nullable=False),
    #: What forms of this session must send back.
    Column("form_key", Text, nullable=False),
    #: What the browser called itself.
    Column("agent", Text, nullable=False),
    #: Words to show on the next page, once.
    Column("notes", Json, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Index("ix_sessions_user", "user"),
    Index("ix_sessions_seen_at", "seen_at"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("user", ID),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("used_at", Moment),
    Column("revoked_at", Moment),
)

#: Append-only, each row holding the hash of the one before.
audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("before", Json),
    Column("after", Json),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("ix_audit_object", "object", "number"),
)

#: The exchange log: every call out (and webhook in), masked.
exchanges = Table(
    "exchanges",
    metadata,
    Column("id", ID, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("plugin", Text, nullable=False),
    Column("account", Text),
    #: in, out
    Column("direction", String(3), nullable=False),
    Column("method", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("millis", Integer),
    Column("request", Text),
    Column("response", Text),
    Index("ix_exchanges_plugin", "plugin", "at"),
)

#: What the HTTP API answered to an Idempotency-Key, kept for 24 hours.
answers = Table(
    "answers",
    metadata,
    Column("token", ID, nullable=False),
    Column("key", Text, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("status", Integer),
    Column("body", Json),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("token", "key"),
)
