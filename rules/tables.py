"""Tables of the rules engine."""

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from core.db import Json, Moment, metadata
from core.tables import ID

rules = Table(
    "rules",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    #: off, watching, on, paused
    Column("state", String(8), nullable=False),
    Column("state_reason", Text),
    #: The version that is live (or would be, once switched on); none before the first publish.
    Column("version", Integer),
    #: The text being edited, apart from what is live.
    Column("draft", Text),
    Column("draft_at", Moment),
    #: Which of the draft's steps is shown: undo lowers it, redo raises it.
    Column("draft_step", Integer),
    Column("archived_at", Moment),
    #: Number of the last change to state or version (mark `rules.stamp`): processes take in what is newer.
    Column("stamp", Integer, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
)

#: The texts that a rule's draft went through: undo and redo walk along them.
draft_steps = Table(
    "draft_steps",
    metadata,
    Column("rule", ID, nullable=False),
    Column("number", Integer, nullable=False),
    Column("text", Text, nullable=False),
    #: What was changed, for "Undo: ..."; a message of the UI with its values.
    Column("label", Json, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("rule", "number"),
)

#: Who has a rule's draft open for editing; another one looks on until they take over.
draft_editors = Table(
    "draft_editors",
    metadata,
    Column("rule", ID, primary_key=True),
    Column("session", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("seen_at", Moment, nullable=False),
)

#: Immutable; a run is pinned to its version.
rule_versions = Table(
    "rule_versions",
    metadata,
    Column("rule", ID, nullable=False),
    Column("version", Integer, nullable=False),
    #: The YAML as it was written, comments kept.
    Column("text", Text, nullable=False),
    Column("document", Json, nullable=False),
    Column("author", Text, nullable=False),
    Column("note", Text),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("rule", "version"),
)

#: Which version was live when, and in which state: makes "why not?" answerable for any past event.
rule_states = Table(
    "rule_states",
    metadata,
    Column("rule", ID, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("state", String(8), nullable=False),
    Column("version", Integer),
    Column("actor", Text, nullable=False),
    Column("reason", Text),
    PrimaryKeyConstraint("rule", "number"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", ID, primary_key=True),
    Column("rule", ID, nullable=False),
    Column("version", Integer, nullable=False),
    Column("event", ID, nullable=False),
    Column("key", Text),
    Column("customer", Text),
    #: ready, queued (behind another run of its key), waiting, running (an outside call is under way), held, done
    Column("status", String(8), nullable=False),
    #: When somebody must look at it: now for ready, the wait's end, the lease's end for running; none otherwise.
    Column("due_at", Moment),
    #: acted, stopped, unknown, waiting, held, skipped, failed, cancelled
    Column("outcome", String(10)),
    Column("reason", Text),
    Column("watching", Boolean, nullable=False),
    #: Which instruction of the compiled program comes next.
    Column("cursor", Integer, nullable=False),
    #: Results of earlier steps, loop positions, what a wait brought.
    Column("vars", Json, nullable=False),
    #: Where the run stands in its own time: its event, then each wait's end.
    Column("at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("acted", Integer, nullable=False),
    Column("owner", Text),
    Column("fence", Integer, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    #: With the rule, so that whose turn it is can be told from the index alone.
    Index(
        "ix_runs_due",
        "due_at",
        "id",
        "rule",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    Index("ix_runs_rule", "rule", "started_at"),
    Index("ix_runs_event", "event"),
    Index(
        "ix_runs_open",
        "rule",
        "key",
        sqlite_where=text("finished_at IS NULL"),
        postgresql_where=text("finished_at IS NULL"),
    ),
    Index("ix_runs_customer", "customer", "started_at"),
)

#: What waiting runs wait for; `match` is the indexed part: event type, field and value (see `run.match_text`).
waits = Table(
    "waits",
    metadata,
    Column("run", ID, primary_key=True),
    Column("match", Text, nullable=False, index=True),
    Column("until", Moment, nullable=False),
    #: The event that may have ended the wait; the run is woken in the same transaction.
    Column("happened", ID),
)

#: Which fields of which events some published rule waits on: what intake must look up.
wait_fields = Table(
    "wait_fields",
    metadata,
    Column("event_type", Text, nullable=False),
    Column("field", Text, nullable=False),
    PrimaryKeyConstraint("event_type", "field"),
)

#: Since when each key (or the whole shop, the empty one) has been without the event that a rule misses.
silences = Table(
    "silences",
    metadata,
    Column("rule", ID, nullable=False),
    Column("key", Text, nullable=False),
    Column("since", Moment, nullable=False),
    #: When the silence is long enough; empty once the rule was told, until the event comes again.
    Column("due_at", Moment),
    #: When the rule was told of this silence.
    Column("told_at", Moment),
    PrimaryKeyConstraint("rule", "key"),
    Index(
        "ix_silences_due",
        "rule",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
)

#: One row each time a run moved on; its lines tell each condition's expected and actual, each action, each wait.
traces = Table(
    "traces",
    metadata,
    Column("run", ID, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("lines", Json, nullable=False),
    PrimaryKeyConstraint("run", "number"),
)
