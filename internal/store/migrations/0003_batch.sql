-- Batch changes. What is asked for by a column is one; all else is in data, as JSON.
CREATE TABLE batch_changes (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('draft', 'open', 'closed')),
    created_at BIGINT NOT NULL,
    data       TEXT NOT NULL, -- glovebox.BatchChange
    UNIQUE (tenant, name)
);
CREATE INDEX batch_changes_newest ON batch_changes (created_at, id);
CREATE INDEX batch_changes_by_tenant ON batch_changes (tenant, created_at, id);

CREATE TABLE batch_runs (
    id           TEXT PRIMARY KEY,
    batch_change TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('resolving', 'processing', 'completed', 'failed', 'errored', 'canceled')),
    created_at   BIGINT NOT NULL,
    data         TEXT NOT NULL -- glovebox.BatchRun, without the texts of its input
);
CREATE INDEX batch_runs_by_change ON batch_runs (batch_change, created_at, id);
CREATE INDEX batch_runs_open ON batch_runs (created_at, id) WHERE state IN ('resolving', 'processing');

CREATE TABLE batch_workspaces (
    id        TEXT PRIMARY KEY,
    run       TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    repo      TEXT NOT NULL,
    branch    TEXT NOT NULL,
    path      TEXT NOT NULL,
    state     TEXT NOT NULL CHECK (state IN ('queued', 'processing', 'completed', 'failed', 'errored', 'canceled', 'skipped')),
    submitted INTEGER NOT NULL CHECK (submitted IN (0, 1)),
    job_id    TEXT NOT NULL,
    data      TEXT NOT NULL, -- changeset.Workspace without what follows
    detail    TEXT NOT NULL, -- changes and values, which may be large
    plan      TEXT NOT NULL, -- batch.Workspace
    UNIQUE (run, seq),
    UNIQUE (run, repo, branch, path)
);
-- What waits for its job, and what waits to be submitted.
CREATE INDEX batch_workspaces_open ON batch_workspaces (job_id) WHERE submitted = 1 AND state IN ('queued', 'processing');
CREATE INDEX batch_workspaces_unsubmitted ON batch_workspaces (run, seq) WHERE submitted = 0;
CREATE INDEX batch_workspaces_by_state ON batch_workspaces (run, state, seq);

-- What a run wants. Diffs are in blob.
CREATE TABLE batch_specs (
    run       TEXT NOT NULL,
    workspace TEXT NOT NULL, -- '' for a changeset that was there before
    seq       INTEGER NOT NULL,
    data      TEXT NOT NULL, -- changeset.Spec
    PRIMARY KEY (run, workspace, seq)
);

CREATE TABLE changesets (
    id           TEXT PRIMARY KEY,
    batch_change TEXT NOT NULL,
    repo         TEXT NOT NULL,
    spec_key     TEXT NOT NULL, -- by its branch or, when it was there before, by its number
    branch       TEXT NOT NULL,
    external_id  TEXT NOT NULL,
    lane         TEXT NOT NULL, -- what a slow or broken code host holds up, and nothing else
    state        TEXT NOT NULL CHECK (state IN ('unpublished', 'scheduled', 'publishing', 'open', 'draft', 'merged', 'closed', 'failed')),
    next_at      BIGINT,
    published_at BIGINT,
    data         TEXT NOT NULL, -- changeset.Changeset
    UNIQUE (batch_change, repo, spec_key)
);
CREATE INDEX changesets_due ON changesets (lane, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX changesets_next ON changesets (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX changesets_by_repo ON changesets (repo) WHERE next_at IS NOT NULL;
CREATE INDEX changesets_published ON changesets (published_at) WHERE published_at IS NOT NULL;

-- Results of steps that tenants keep for later; their bytes are in blob.
CREATE TABLE step_cache (
    tenant  TEXT NOT NULL,
    key     TEXT NOT NULL, -- 64 hex digits
    size    BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX step_cache_oldest ON step_cache (tenant, used_at, key);
