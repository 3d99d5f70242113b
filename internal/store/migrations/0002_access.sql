-- Who may talk to the server, and what about.
CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('user', 'executor')),
    role         TEXT NOT NULL CHECK (role IN ('', 'viewer', 'operator', 'admin')),
    tenant       TEXT NOT NULL,
    executor     TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE, -- SHA-256 of the secret in hex
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT,
    CHECK ((kind = 'user') = (role <> ''))
);

CREATE TABLE executors (
    name        TEXT PRIMARY KEY,
    beat        TEXT NOT NULL, -- version, labels, runtimes, queues, slots, draining as JSON
    active      INTEGER NOT NULL,
    drain_asked INTEGER NOT NULL DEFAULT 0 CHECK (drain_asked IN (0, 1)),
    first_seen  BIGINT NOT NULL,
    last_seen   BIGINT NOT NULL
);

CREATE TABLE repositories (
    name       TEXT PRIMARY KEY,
    url        TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
