-- The directory. Logins and names are folded in Rust, because lower() and LIKE differ by database.
CREATE TABLE enterprises (
    enterprise_id TEXT {bytewise} PRIMARY KEY,
    name          TEXT NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE users (
    user_id       TEXT {bytewise} PRIMARY KEY,
    enterprise_id TEXT {bytewise} NOT NULL,
    login         TEXT,
    login_folded  TEXT {bytewise},
    name          TEXT NOT NULL,
    name_folded   TEXT {bytewise} NOT NULL,
    role          TEXT NOT NULL,
    status        TEXT NOT NULL,
    external_id   TEXT,
    service_of    TEXT,
    profile       TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    modified_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_by_login ON users (login_folded);
CREATE UNIQUE INDEX users_by_external_id ON users (enterprise_id, external_id);
CREATE INDEX users_by_enterprise ON users (enterprise_id, user_id);
CREATE UNIQUE INDEX users_one_admin ON users (enterprise_id) WHERE role = 'admin';

CREATE TABLE groups (
    group_id      TEXT {bytewise} PRIMARY KEY,
    enterprise_id TEXT {bytewise} NOT NULL,
    name          TEXT NOT NULL,
    name_folded   TEXT {bytewise} NOT NULL,
    profile       TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    modified_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX groups_by_name ON groups (enterprise_id, name_folded);

CREATE TABLE memberships (
    membership_id TEXT {bytewise} PRIMARY KEY,
    group_id      TEXT {bytewise} NOT NULL,
    user_id       TEXT {bytewise} NOT NULL,
    role          TEXT NOT NULL,
    permissions   TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    modified_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX memberships_by_group ON memberships (group_id, user_id);
CREATE INDEX memberships_by_user ON memberships (user_id);

-- A user's name in one system, where it is neither the login nor an id.
CREATE TABLE aliases (
    user_id TEXT {bytewise} NOT NULL,
    system  TEXT {bytewise} NOT NULL,
    subject TEXT NOT NULL,
    PRIMARY KEY (user_id, system)
) {without_rowid};

-- Apps, their keys, and the tokens given to them. Secrets stand here only as SHA-256.
CREATE TABLE apps (
    client_id       TEXT {bytewise} PRIMARY KEY,
    enterprise_id   TEXT {bytewise} NOT NULL,
    name            TEXT NOT NULL,
    secret_hash     TEXT NOT NULL,
    scopes          TEXT NOT NULL,
    rights          TEXT NOT NULL,
    service_user_id TEXT NOT NULL,
    may_end_admins_at BIGINT,
    user_tokens_at    BIGINT,
    box_audience_at   BIGINT,
    created_at      BIGINT NOT NULL
);

CREATE TABLE app_keys (
    key_id     TEXT {bytewise} PRIMARY KEY,
    client_id  TEXT {bytewise} NOT NULL,
    public_pem TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX app_keys_by_client ON app_keys (client_id);

CREATE TABLE tokens (
    token_hash  TEXT {bytewise} PRIMARY KEY,
    user_id     TEXT {bytewise} NOT NULL,
    client_id   TEXT {bytewise},
    scopes      TEXT NOT NULL,
    generation  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    revoked_at  BIGINT
);
CREATE INDEX tokens_by_expiry ON tokens (expires_at);

CREATE TABLE assertions (
    jti_hash   TEXT {bytewise} PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

-- A user's newest generation and cutoff; both only grow.
CREATE TABLE barriers (
    user_id    TEXT {bytewise} PRIMARY KEY,
    generation BIGINT NOT NULL,
    cutoff     BIGINT NOT NULL
) {without_rowid};
CREATE INDEX barriers_by_cutoff ON barriers (cutoff);

-- Registry sessions, clustered by user: ending a user touches neighbours.
CREATE TABLE sessions (
    user_id       TEXT {bytewise} NOT NULL,
    session_hash  TEXT {bytewise} NOT NULL,
    client_id     TEXT {bytewise} NOT NULL,
    generation    BIGINT NOT NULL,
    began_at      BIGINT NOT NULL,
    registered_at BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    device        TEXT,
    address       TEXT,
    PRIMARY KEY (user_id, session_hash)
) {without_rowid};
CREATE UNIQUE INDEX sessions_by_hash ON sessions (session_hash);

-- Ids that stay refused until their expiry, so that a repeated registration never revives one.
CREATE TABLE ended_sessions (
    session_hash TEXT {bytewise} PRIMARY KEY,
    expires_at   BIGINT NOT NULL
) {without_rowid};

CREATE TABLE terminations (
    termination_id TEXT {bytewise} PRIMARY KEY,
    enterprise_id  TEXT {bytewise} NOT NULL,
    asked_by       TEXT NOT NULL,
    asked_by_login TEXT,
    as_user        TEXT,
    as_user_login  TEXT,
    reason         TEXT,
    cutoff         BIGINT NOT NULL,
    state          TEXT NOT NULL,
    people         BIGINT NOT NULL,
    systems        TEXT NOT NULL,
    jobs_open      BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    finished_at    BIGINT,
    head_position  BIGINT,
    head_hash      TEXT
);
CREATE INDEX terminations_by_enterprise ON terminations (enterprise_id, created_at, termination_id);

-- Members frozen at the moment of the request, with the names that the systems know them by.
CREATE TABLE termination_targets (
    termination_id TEXT {bytewise} NOT NULL,
    ordinal        BIGINT NOT NULL,
    user_id        TEXT {bytewise} NOT NULL,
    login          TEXT,
    external_id    TEXT,
    PRIMARY KEY (termination_id, ordinal)
) {without_rowid};

CREATE TABLE termination_skips (
    termination_id TEXT {bytewise} NOT NULL,
    ordinal        BIGINT NOT NULL,
    kind           TEXT NOT NULL,
    value          TEXT NOT NULL,
    reason         TEXT NOT NULL,
    PRIMARY KEY (termination_id, ordinal)
) {without_rowid};

-- One system's share of a termination, a range of targets each. A leased job is one whose due_at
-- lies in the future; when the lease has run out it is due again. settled is the newest attempt that
-- was written back; a later attempt finds in cut_short (1) that one before it was not.
CREATE TABLE jobs (
    job_id         TEXT {bytewise} PRIMARY KEY,
    termination_id TEXT {bytewise} NOT NULL,
    system         TEXT {bytewise} NOT NULL,
    first_ordinal  BIGINT NOT NULL,
    last_ordinal   BIGINT NOT NULL,
    due_at         BIGINT NOT NULL,
    attempt        BIGINT NOT NULL,
    settled        BIGINT NOT NULL,
    cut_short      BIGINT NOT NULL,
    failures       BIGINT NOT NULL,
    give_up_at     BIGINT NOT NULL,
    finished_at    BIGINT
);
CREATE INDEX jobs_due ON jobs (system, due_at) WHERE finished_at IS NULL;
CREATE INDEX jobs_by_termination ON jobs (termination_id);

-- What became of one user's sessions in one system. No row yet means waiting.
CREATE TABLE outcomes (
    termination_id TEXT {bytewise} NOT NULL,
    ordinal        BIGINT NOT NULL,
    system         TEXT {bytewise} NOT NULL,
    state          TEXT NOT NULL,
    sessions_ended BIGINT NOT NULL,
    resurrected    BIGINT NOT NULL,
    ended_again    BIGINT NOT NULL,
    ended_keys     TEXT NOT NULL,
    quiet_until    BIGINT,
    ends_by        BIGINT,
    verified_at    BIGINT,
    detail         TEXT,
    PRIMARY KEY (termination_id, ordinal, system)
) {without_rowid};

CREATE TABLE idempotency_keys (
    key_hash       TEXT {bytewise} PRIMARY KEY,
    request_hash   TEXT NOT NULL,
    termination_id TEXT NOT NULL,
    created_at     BIGINT NOT NULL
);

-- The event log. The head row is taken last in a transaction, so positions follow commits without gaps.
CREATE TABLE events (
    position       BIGINT PRIMARY KEY,
    event_id       TEXT NOT NULL,
    event_type     TEXT NOT NULL,
    enterprise_id  TEXT {bytewise} NOT NULL,
    termination_id TEXT {bytewise},
    recorded_at    BIGINT NOT NULL,
    body           TEXT NOT NULL,
    chain_hash     TEXT NOT NULL
);
CREATE INDEX events_by_enterprise ON events (enterprise_id, position);
CREATE INDEX events_by_termination ON events (termination_id, position);

CREATE TABLE event_head (
    head            BIGINT PRIMARY KEY,
    position        BIGINT NOT NULL,
    chain_hash      TEXT NOT NULL,
    pruned_position BIGINT NOT NULL,
    pruned_hash     TEXT NOT NULL
);
INSERT INTO event_head VALUES (1, 0, '', 0, '');
