"""Define the tables. Times are seconds since 1970 by the clock of the database; JSON columns hold JSON.

    executions    one run of one notebook: its request, its state, why it ended
    segments      what runs between two pauses; the row is the fence: (attempt, state)
    suspensions   how a segment ended that did not end the execution, and who settled it
    callbacks     those that came before their step had ended, in the order of arrival
    steps         one row for each run of each step: the history, and the exports
    workers       processes that are alive: workers, servers, attached runs
    audit         who changed what, and when; written by the change's own transaction
    keys          what signs links, manifests and decisions, oldest first; the newest signs
    decisions     signed records of an execution, oldest first: each names the one before it
    cell_lists    digests of the cells that questions and records are about
    triggers      what starts executions of a notebook: a signed URL, or a schedule
    starts        of each execution that a trigger started: what started it, and what it responded

A segment's row is locked before its execution's row, everywhere, or PostgreSQL deadlocks.
"""

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

metadata = sa.MetaData()


class Words(TypeDecorator[str]):
    """Text, without the characters that a database refuses: NUL, and halves of surrogate pairs."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """Leave out what cannot be stored; titles and names from notebooks may hold anything."""
        return None if value is None else value.replace("\0", "").encode("utf-8", "replace").decode()


Id = sa.String(40)
State = sa.String(12)
Digest = sa.String(64)
Time = sa.Float(53)
Json = sa.JSON(none_as_null=True)
# SQLite gives a number only to a plain INTEGER PRIMARY KEY.
Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")

executions = sa.Table(
    "executions",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("notebook", Words, nullable=False),
    # The stored notebook that counts: each attempt at a segment writes one of its own.
    sa.Column("document", Words, nullable=False),
    sa.Column("output", Words),
    sa.Column("parameters", Json, nullable=False),
    sa.Column("steps", Json, nullable=False),
    sa.Column("kernel", Words, nullable=False),
    sa.Column("interpreter", Words),
    sa.Column("cwd", Words, nullable=False),
    sa.Column("options", Json, nullable=False),
    sa.Column("state", State, nullable=False),
    sa.Column("reason", Json),
    sa.Column("error", Json),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("started_at", Time),
    sa.Column("ended_at", Time),
    sa.Column("created_by", Words, nullable=False),
    sa.Column("parent", Id),
    sa.Column("segment", sa.Integer, nullable=False),
    sa.Column("cells_done", sa.Integer, nullable=False),
    sa.Column("cells_total", sa.Integer, nullable=False),
    # The workers row of the `pauseflow run` that runs its segments; then they are no jobs.
    sa.Column("attached_to", sa.String(200)),
    # From when on anyone may write the decision into the notebook of one that ended without a kernel.
    sa.Column("record_due", Time),
    # Of one that a step of another started: {step, segment, run, name, linked, check}.
    sa.Column("nested", Json),
    # Who requested from outside that it be suspended at the next cell.
    sa.Column("suspend_by", Words),
    # How often its links were revoked; a link holds the number of its time.
    sa.Column("revocations", sa.Integer, nullable=False, server_default="0"),
    # The `queues.QueuePlan`; None: every cell runs in the default queue.
    sa.Column("queues", Words),
    sa.Index(
        "executions_of_a_parent",
        "parent",
        sqlite_where=sa.text("parent IS NOT NULL"),
        postgresql_where=sa.text("parent IS NOT NULL"),
    ),
    sa.Index("executions_by_state", "state", "created_at"),
    sa.Index("executions_by_creation", "created_at"),
    sa.Index(
        "executions_attached",
        "attached_to",
        sqlite_where=sa.text("attached_to IS NOT NULL"),
        postgresql_where=sa.text("attached_to IS NOT NULL"),
    ),
    sa.Index(
        "executions_to_record",
        "record_due",
        sqlite_where=sa.text("record_due IS NOT NULL"),
        postgresql_where=sa.text("record_due IS NOT NULL"),
    ),
    # Two executions that have not ended cannot own one output; the database itself says no.
    sa.Index(
        "one_owner_of_an_output",
        "output",
        unique=True,
        sqlite_where=sa.text("output IS NOT NULL AND ended_at IS NULL"),
        postgresql_where=sa.text("output IS NOT NULL AND ended_at IS NULL"),
    ),
)

segments = sa.Table(
    "segments",
    metadata,
    sa.Column("execution", Id, sa.ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    # queued, running, ended
    sa.Column("state", State, nullable=False),
    # How it ended: completed, suspended, exited, failed, cancelled.
    sa.Column("how", State),
    # Goes up with each claim: what an earlier claim still sends no longer counts.
    sa.Column("attempt", sa.Integer, nullable=False),
    # Goes up whenever it is queued again: a job with another number does nothing.
    sa.Column("job", sa.Integer, nullable=False),
    # Attempts in a row that ended in a crash without a checkpoint between them.
    sa.Column("crashes", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(200)),
    sa.Column("start_cell", sa.Integer, nullable=False),
    # Where to begin: moved on by every checkpoint, together with the snapshot.
    sa.Column("first_cell", sa.Integer, nullable=False),
    sa.Column("snapshot", Words),
    sa.Column("digest", Words),
    sa.Column("signature", Words),
    # The `protocol.Wake` of its briefing.
    sa.Column("wake", Json),
    # The `protocol.Unsaved` of variables without which it cannot continue: only the kernel kept for it has them.
    sa.Column("bound", Json),
    # The `protocol.Loss` of what its kernels could not restore.
    sa.Column("losses", Json),
    sa.Column("queued_at", Time, nullable=False),
    sa.Column("started_at", Time),
    sa.Column("ended_at", Time),
    # When this attempt began, and when it was last heard of.
    sa.Column("attempt_at", Time),
    sa.Column("seen_at", Time),
    # Of earlier attempts; of all when it has ended.
    sa.Column("compute_seconds", Time, nullable=False),
)

suspensions = sa.Table(
    "suspensions",
    metadata,
    sa.Column("execution", Id, sa.ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("segment", sa.Integer, primary_key=True),
    sa.Column("step", sa.String(200), primary_key=True),
    sa.Column("ordinal", sa.Integer, primary_key=True),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("cell", sa.Integer, nullable=False),
    # suspend, rerun, delay, pause, notebook, operator
    sa.Column("kind", State, nullable=False),
    sa.Column("title", Words),
    sa.Column("message", Words),
    sa.Column("data", Json),
    sa.Column("since", Time, nullable=False),
    sa.Column("deadline", Time),
    # What the clock does: cancel, resume, fail.
    sa.Column("on_timeout", State, nullable=False),
    sa.Column("default", Json),
    # Which cell is next: continue, rerun.
    sa.Column("then", State, nullable=False),
    sa.Column("context", Json),
    sa.Column("max_retries", sa.Integer),
    # open, settled, void
    sa.Column("state", State, nullable=False),
    # What settled it: resume, cancel, timeout.
    sa.Column("action", State),
    # Who: clock, link, user:NAME.
    sa.Column("settled_by", Words),
    sa.Column("settled_at", Time),
    # JSON Schema that an answer must fit.
    sa.Column("schema", Json),
    # What the model's own validators had against the last answer, for which it is open again.
    sa.Column("errors", Json),
    # Who may answer: {approvals, approvers, self_approval}.
    sa.Column("rules", Json),
    # Who approved so far: {by, at, comment} each.
    sa.Column("given", Json),
    # The answer, for a kernel that waits for it and has no next segment.
    sa.Column("envelope", Json),
    # What its question is asked about: {digest, question, cells, …}, see `engine.decision_records`.
    sa.Column("shown", Json),
    # What a reminder sends again, and when the next one is due: {every, to, …}, without any secret.
    sa.Column("notice", Json),
    sa.Column("remind_at", Time),
    sa.Index(
        "suspensions_to_remind",
        "remind_at",
        sqlite_where=sa.text("state = 'open' AND remind_at IS NOT NULL"),
        postgresql_where=sa.text("state = 'open' AND remind_at IS NOT NULL"),
    ),
    sa.Index(
        "suspensions_due",
        "deadline",
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    ),
)

callbacks = sa.Table(
    "callbacks",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    sa.Column("execution", Id, sa.ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
    sa.Column("segment", sa.Integer, nullable=False),
    sa.Column("step", sa.String(200), nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("action", State, nullable=False),
    sa.Column("envelope", Json),
    sa.Column("by", Words, nullable=False),
    sa.Column("at", Time, nullable=False),
    # None until the step has ended; then settled, late or void.
    sa.Column("verdict", State),
    sa.Index("callbacks_of_a_step", "execution", "segment", "step", "ordinal"),
)

steps = sa.Table(
    "steps",
    metadata,
    sa.Column("execution", Id, sa.ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("step", sa.String(200), primary_key=True),
    sa.Column("run", sa.Integer, primary_key=True),
    sa.Column("segment", sa.Integer, nullable=False),
    sa.Column("cell", sa.Integer, nullable=False),
    # running, interrupted, finished, suspended, exited, failed
    sa.Column("state", State, nullable=False),
    # How often this run was begun: more than once after a crash or a retry.
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("started_at", Time, nullable=False),
    sa.Column("ended_at", Time),
    sa.Column("exports", Json, nullable=False),
    sa.Column("notes", Json, nullable=False),
    sa.Column("unsaved", Json, nullable=False),
    sa.Column("failure", Json),
    # The checkpoint that this run left, to go back to.
    sa.Column("snapshot", Words),
    sa.Column("digest", Words),
    sa.Column("signature", Words),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.String(200), primary_key=True),
    # starting (a worker that takes no jobs yet), worker, server, attached
    sa.Column("kind", State, nullable=False),
    sa.Column("url", Words),
    sa.Column("started_at", Time, nullable=False),
    sa.Column("beat", Time, nullable=False),
    # Of a worker: the queues that it serves, with commas between them, and how many segments it runs at once.
    sa.Column("queues", Words),
    sa.Column("concurrency", sa.Integer),
    sa.Column("version", Words),
    # By how many seconds its clock is ahead of the database's.
    sa.Column("clock_ahead", Time),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    sa.Column("execution", Id, sa.ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", Time, nullable=False),
    sa.Column("what", sa.String(40), nullable=False),
    sa.Column("by", Words, nullable=False),
    sa.Column("segment", sa.Integer),
    sa.Column("step", sa.String(200)),
    sa.Column("details", Json, nullable=False),
    sa.Index("audit_of_an_execution", "execution", "id"),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("execution", Id, sa.ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    # From 1 on, without a gap.
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", Time, nullable=False),
    # The DSSE envelope without the cells: see `decisions.statement.Signed`.
    sa.Column("envelope", Json, nullable=False),
    # Of what was signed, and of the cells in `cell_lists`. None: an earlier version made it, and the envelope is whole.
    sa.Column("digest", Digest),
    sa.Column("cells", Digest),
)

cell_lists = sa.Table(
    "cell_lists",
    metadata,
    sa.Column("execution", Id, sa.ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("digest", Digest, primary_key=True),
    # As they are written into what is signed: see `decisions.digests.CellList`.
    sa.Column("cells", sa.LargeBinary, nullable=False),
    sa.Column("subjects", sa.LargeBinary, nullable=False),
)

keys = sa.Table(
    "keys",
    metadata,
    # From 1 on, without a gap: no key is ever removed, because withdrawn ones are recognised.
    sa.Column("id", sa.Integer, primary_key=True),
    # Of HMAC: signs links and manifests.
    sa.Column("secret", Words, nullable=False),
    # Of Ed25519, 32 bytes in base64: signs what others verify with the public half.
    sa.Column("private", Words, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    # `user:NAME`; None: it came with the store.
    sa.Column("created_by", Words),
    sa.Column("withdrawn_at", Time),
    sa.Column("withdrawn_by", Words),
)

triggers = sa.Table(
    "triggers",
    metadata,
    sa.Column("id", Id, primary_key=True),
    # http, schedule
    sa.Column("kind", State, nullable=False),
    # active, paused, ended (a schedule that has no further time)
    sa.Column("state", State, nullable=False),
    # A path or URL: the notebook is read each time it is started.
    sa.Column("notebook", Words, nullable=False),
    sa.Column("cwd", Words, nullable=False),
    sa.Column("parameters", Json, nullable=False),
    # kernel, checkpoint, strict, …; of an HTTP trigger also waits: whether a request waits for `flow.respond`.
    sa.Column("options", Json, nullable=False),
    # Of one of three kinds: cron and zone, every_seconds, or at and zone.
    sa.Column("schedule", Json),
    # run, skip
    sa.Column("missed", State),
    # queue, skip, allow
    sa.Column("overlap", State),
    sa.Column("next_at", Time),
    # Since when a due time waits for the execution before it to end.
    sa.Column("held_since", Time),
    # What became of the last due time or request: {what, at, due, execution, text}.
    sa.Column("last", Json),
    # How often its URL was replaced; a token holds the number of its time.
    sa.Column("rotations", sa.Integer, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("created_by", Words, nullable=False),
    sa.Index(
        "triggers_due",
        "next_at",
        sqlite_where=sa.text("state = 'active' AND next_at IS NOT NULL"),
        postgresql_where=sa.text("state = 'active' AND next_at IS NOT NULL"),
    ),
)

starts = sa.Table(
    "starts",
    metadata,
    sa.Column("execution", Id, sa.ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    # Of the triggers; the trigger may have been removed since.
    sa.Column("trigger", Id, nullable=False),
    # Starts only one execution: a due time, or a request's Idempotency-Key.
    sa.Column("key", sa.String(300)),
    # http, schedule
    sa.Column("kind", State, nullable=False),
    # `steps.trigger.event`
    sa.Column("event", Json),
    # The argument of `flow.respond`: {status, headers, body}.
    sa.Column("response", Json),
    sa.Index("starts_of_a_trigger", "trigger"),
    sa.Index("one_start_for_a_key", "trigger", "key", unique=True),
)
