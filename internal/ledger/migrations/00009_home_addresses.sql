-- Version 9: what was written to the home's zone, so that it is written no more often than needed.

-- +goose Up
CREATE TABLE home_addresses (
    name     TEXT PRIMARY KEY, -- whose A and AAAA records
    written  TEXT NOT NULL, -- the addresses that the provider took last, with spaces between
    writing  TEXT NOT NULL, -- those that it was asked to take, as long as it is not known whether it did; "-" for none
    at       BIGINT NOT NULL, -- when it was last asked
    failures BIGINT NOT NULL, -- since the last success
    next     BIGINT NOT NULL, -- not before
    why      TEXT NOT NULL,
    hint     TEXT NOT NULL
);

-- +goose Down
DROP TABLE home_addresses;
