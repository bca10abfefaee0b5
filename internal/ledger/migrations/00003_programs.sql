-- Version 3: programs, which have a token of Home Assistant's that does not run out,
-- and may use it for some things and from some addresses alone.

-- +goose Up
CREATE TABLE programs (
    hash       BYTEA PRIMARY KEY, -- of the token
    device_id  TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    ha_user_id TEXT NOT NULL, -- made for this program alone
    routes     TEXT NOT NULL, -- ha's names, with commas between them
    sources    TEXT NOT NULL, -- networks, likewise; empty means from anywhere
    expires    BIGINT NOT NULL,
    removed    BIGINT NOT NULL -- 0 while its user is in Home Assistant, as far as we know
);
CREATE INDEX programs_device ON programs (device_id);

-- +goose Down
DROP TABLE programs;
