-- Version 1: people, their devices and sessions, what they prove themselves with,
-- and what was learned of Home Assistant's tokens. Before it there is nothing.
--
-- Times are milliseconds since 1970 in UTC. Hashes are SHA-256. Whatever is called
-- sealed is encrypted with a key that is not in this file.

-- +goose Up
CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    sealed BYTEA NOT NULL
);

CREATE TABLE people (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    name_key     TEXT UNIQUE, -- the name as it is compared; null once the person was removed
    role         TEXT NOT NULL CHECK (role IN ('guest', 'member', 'owner')),
    ha_user_id   TEXT UNIQUE, -- null until the person's first login to Home Assistant
    ha_user_name TEXT NOT NULL,
    totp_sealed  BYTEA,
    totp_step    BIGINT NOT NULL, -- last 30 s step that a code was accepted for
    created      BIGINT NOT NULL,
    removed      BIGINT NOT NULL -- 0 while the person is one of the house
);

CREATE TABLE recovery_codes (
    hash      BYTEA PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id)
);
CREATE INDEX recovery_codes_person ON recovery_codes (person_id);

CREATE TABLE devices (
    id        TEXT PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id),
    kind      TEXT NOT NULL,
    name      TEXT NOT NULL,
    created   BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    last_addr TEXT NOT NULL,
    last_door TEXT NOT NULL,
    revoked   BIGINT NOT NULL -- 0 while it is known; never back to 0
);
CREATE INDEX devices_person ON devices (person_id);

CREATE TABLE passkeys (
    id        BYTEA PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id),
    device_id TEXT REFERENCES devices (id) ON DELETE SET NULL, -- where it was made
    rp_id     TEXT NOT NULL, -- the host name that it was made for
    record    BYTEA NOT NULL,
    created   BIGINT NOT NULL,
    last_used BIGINT NOT NULL
);
CREATE INDEX passkeys_person ON passkeys (person_id);

CREATE TABLE sessions (
    id        TEXT PRIMARY KEY,
    hash      BYTEA NOT NULL UNIQUE, -- of the cookie
    device_id TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    created   BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    ended     BIGINT NOT NULL -- 0 while it lives; never back to 0
);
CREATE INDEX sessions_device ON sessions (device_id);

CREATE TABLE invitations (
    hash      BYTEA PRIMARY KEY,
    person_id TEXT REFERENCES people (id), -- null for the first owner, who has no name yet
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL
);

CREATE TABLE refresh_tokens (
    hash       BYTEA PRIMARY KEY,
    device_id  TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    ha_user_id TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    issuer     TEXT NOT NULL,
    created    BIGINT NOT NULL
);
CREATE INDEX refresh_tokens_device ON refresh_tokens (device_id);

CREATE TABLE access_tokens (
    hash         BYTEA PRIMARY KEY,
    refresh_hash BYTEA NOT NULL REFERENCES refresh_tokens (hash) ON DELETE CASCADE,
    expires      BIGINT NOT NULL
);
CREATE INDEX access_tokens_refresh ON access_tokens (refresh_hash);

-- +goose Down
DROP TABLE access_tokens;
DROP TABLE refresh_tokens;
DROP TABLE invitations;
DROP TABLE sessions;
DROP TABLE passkeys;
DROP TABLE devices;
DROP TABLE recovery_codes;
DROP TABLE people;
DROP TABLE secrets;
