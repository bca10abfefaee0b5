-- Version 7: devices that are known by a key of their own: a client certificate, a
-- WireGuard peer, an SSH key, an onion service. The private half is nowhere here.

-- +goose Up
CREATE TABLE device_keys (
    kind      TEXT NOT NULL, -- as the device's
    id        TEXT NOT NULL, -- what a door calls the key
    device_id TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    data      TEXT NOT NULL, -- the door's own, public
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL, -- 0 where it does not
    PRIMARY KEY (kind, id)
);
CREATE INDEX device_keys_device ON device_keys (device_id);

-- +goose Down
DROP TABLE device_keys;
