-- Jobs. Times are milliseconds since 1970 (UTC), truths are 0 or 1.
CREATE TABLE jobs (
    id               TEXT PRIMARY KEY,
    tenant           TEXT NOT NULL,
    queue            TEXT NOT NULL,
    lane             TEXT NOT NULL, -- lanes.id: jobs that the same executors can take
    state            TEXT NOT NULL CHECK (state IN ('queued', 'processing', 'completed', 'failed', 'errored', 'canceled')),
    priority         INTEGER NOT NULL CHECK (priority BETWEEN -100 AND 100),
    created_at       BIGINT NOT NULL,
    not_before       BIGINT NOT NULL DEFAULT 0,
    cpus             DOUBLE PRECISION NOT NULL,
    memory           BIGINT NOT NULL,
    disk             BIGINT NOT NULL,
    attempt          INTEGER NOT NULL CHECK (attempt >= 0),
    last_attempt     INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    executor         TEXT NOT NULL DEFAULT '',
    token_hash       TEXT NOT NULL DEFAULT '',
    lease_expires    BIGINT,
    started_at       BIGINT,
    finished_at      BIGINT,
    result_hash      TEXT NOT NULL DEFAULT '',
    reason           TEXT NOT NULL DEFAULT '',
    submitted_by     TEXT NOT NULL DEFAULT '',
    repo             TEXT NOT NULL DEFAULT '',
    search           TEXT NOT NULL DEFAULT '', -- name and repository in lower case
    spec             TEXT NOT NULL,            -- glovebox.JobSpec as JSON, without files
    result           TEXT,                     -- glovebox.Result as JSON
    -- A lease belongs to a processing job, and to no other.
    CHECK ((state = 'processing') = (lease_expires IS NOT NULL)),
    CHECK (state <> 'processing' OR (attempt > 0 AND token_hash <> '' AND executor <> '' AND started_at IS NOT NULL)),
    CHECK (cancel_requested = 0 OR state = 'processing'),
    -- A job has ended if and only if it is in a final state; only then has it a result.
    CHECK ((state IN ('queued', 'processing')) = (finished_at IS NULL)),
    CHECK (result IS NULL OR finished_at IS NOT NULL)
);

-- The head of a lane, by the order in which it is handed out.
CREATE INDEX jobs_queued ON jobs (lane, priority DESC, created_at, id) WHERE state = 'queued';
-- What runs now: for limits and fairness.
CREATE INDEX jobs_processing ON jobs (tenant, queue) WHERE state = 'processing';
CREATE INDEX jobs_lease ON jobs (lease_expires) WHERE state = 'processing';
CREATE UNIQUE INDEX jobs_token ON jobs (token_hash) WHERE state = 'processing';
CREATE INDEX jobs_delayed ON jobs (not_before) WHERE state = 'queued' AND not_before > 0;
-- Lists, newest first.
CREATE INDEX jobs_newest ON jobs (created_at, id, search); -- search: a text is looked for in the index alone
CREATE INDEX jobs_by_tenant ON jobs (tenant, created_at, id, search);
CREATE INDEX jobs_by_tenant_state ON jobs (tenant, state, created_at, id);
CREATE INDEX jobs_by_state ON jobs (state, created_at, id, queue);
CREATE INDEX jobs_by_repo ON jobs (repo, created_at, id) WHERE repo <> '';
CREATE INDEX jobs_by_queue ON jobs (queue, created_at, id);

-- Contents of files are large, never change and are read by a claim alone.
CREATE TABLE job_files (
    job_id TEXT PRIMARY KEY,
    files  TEXT NOT NULL -- []glovebox.File as JSON
);

-- A lane is a class of jobs that the same executors can take: same tenant, queue, runtime,
-- labels and need of the host image. Claims choose among the heads of the lanes, so that
-- their cost does not grow with the number of jobs that wait.
CREATE TABLE lanes (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    queue      TEXT NOT NULL,
    runtime    TEXT NOT NULL,
    host_image INTEGER NOT NULL CHECK (host_image IN (0, 1)),
    labels     TEXT NOT NULL -- JSON object
);

-- When each tenant was served last, as a count of claims.
CREATE TABLE tenants (
    name   TEXT PRIMARY KEY,
    served BIGINT NOT NULL
);
CREATE INDEX tenants_served ON tenants (served);

-- Timelines: every transition, written in the transaction that makes it.
CREATE TABLE events (
    job_id  TEXT NOT NULL,
    seq     BIGINT NOT NULL, -- from 1 in each job
    time    BIGINT NOT NULL,
    kind    TEXT NOT NULL,
    actor   TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
);
