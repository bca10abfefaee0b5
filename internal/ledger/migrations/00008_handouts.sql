-- Version 8: files that wait to be fetched, once: a client certificate with its key, which
-- only the code in its link opens. The code is nowhere here.

-- +goose Up
CREATE TABLE handouts (
    hash        BYTEA PRIMARY KEY, -- of the code
    person_id   TEXT NOT NULL REFERENCES people (id),
    label       TEXT NOT NULL,     -- of the device that it makes known
    kind        TEXT NOT NULL,     -- of its key
    key_id      TEXT NOT NULL,
    key_expires BIGINT NOT NULL,
    sealed      BYTEA NOT NULL,    -- by the code
    created     BIGINT NOT NULL,
    expires     BIGINT NOT NULL
);

-- +goose Down
DROP TABLE handouts;
