CREATE TABLE access_tokens (
    hash         BYTEA PRIMARY KEY,
    refresh_hash BYTEA NOT NULL REFERENCES refresh_tokens (hash) ON DELETE CASCADE,
    expires      BIGINT NOT NULL
);
CREATE TABLE acme_accounts (
    issuer     TEXT PRIMARY KEY, -- the address of its directory
    url        TEXT NOT NULL,
    key_sealed BYTEA NOT NULL,
    created    BIGINT NOT NULL
);
CREATE TABLE certificate_tries (
    name     TEXT NOT NULL,
    issuer   TEXT NOT NULL, -- empty for what fails before one is asked
    staged   BIGINT NOT NULL, -- when its staging side issued for the name; 0 if it has not
    failures BIGINT NOT NULL, -- since the last success
    next     BIGINT NOT NULL, -- not before
    why      TEXT NOT NULL,
    hint     TEXT NOT NULL,
    PRIMARY KEY (name, issuer)
);
CREATE TABLE certificates (
    name       TEXT PRIMARY KEY, -- ha.example.org, or *.example.org
    issuer     TEXT NOT NULL,
    chain      TEXT NOT NULL, -- PEM, its own certificate first
    key_sealed BYTEA NOT NULL,
    fence      BIGINT NOT NULL, -- of the lease under which it was got
    renew      BIGINT NOT NULL, -- when to get the next
    ask        BIGINT NOT NULL, -- when to ask the issuer again when that is
    created    BIGINT NOT NULL
);
CREATE TABLE challenge_records (
    name    TEXT NOT NULL, -- where in the zone
    text    TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (name, text)
);
CREATE TABLE device_keys (
    kind      TEXT NOT NULL, -- as the device's
    id        TEXT NOT NULL, -- what a door calls the key
    device_id TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    data      TEXT NOT NULL, -- the door's own, public
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL, -- 0 where it does not
    PRIMARY KEY (kind, id)
);
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
CREATE TABLE expiry_warnings (
    certificate TEXT PRIMARY KEY,
    until       BIGINT NOT NULL,
    days        BIGINT NOT NULL -- the last warning was this long before
);
CREATE TABLE guard (
    about        TEXT NOT NULL, -- guard's type of a record
    subject      TEXT NOT NULL, -- a prefix; of an account a keyed hash of what was typed
    level        BIGINT NOT NULL, -- how often it was banned or slowed, less its quiet days
    long_count   DOUBLE PRECISION NOT NULL, -- failures over days
    since        BIGINT NOT NULL,
    ends         BIGINT NOT NULL, -- 0 where it does not end by itself
    last_failure BIGINT NOT NULL,
    kind         TEXT NOT NULL, -- of the last failure
    banned_by    TEXT NOT NULL,
    addr         TEXT NOT NULL, -- where the last failure came from
    why          TEXT NOT NULL,
    sealed       BYTEA, -- of an account all of the record: people type passwords where names belong
    PRIMARY KEY (about, subject)
);
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
CREATE TABLE invitations (
    hash      BYTEA PRIMARY KEY,
    person_id TEXT REFERENCES people (id), -- null for the first owner, who has no name yet
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL
);
CREATE TABLE leases (
    name    TEXT PRIMARY KEY, -- of what one gateway does at a time
    holder  TEXT NOT NULL,
    fence   BIGINT NOT NULL, -- goes up with every holder, so that an old one is known
    expires BIGINT NOT NULL
);
CREATE TABLE passkeys (
    id        BYTEA PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id),
    device_id TEXT REFERENCES devices (id) ON DELETE SET NULL, -- where it was made
    rp_id     TEXT NOT NULL, -- the host name that it was made for
    record    BYTEA NOT NULL,
    created   BIGINT NOT NULL,
    last_used BIGINT NOT NULL
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
CREATE TABLE programs (
    hash       BYTEA PRIMARY KEY, -- of the token
    device_id  TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    ha_user_id TEXT NOT NULL, -- made for this program alone
    routes     TEXT NOT NULL, -- ha's names, with commas between them
    sources    TEXT NOT NULL, -- networks, likewise; empty means from anywhere
    expires    BIGINT NOT NULL,
    removed    BIGINT NOT NULL -- 0 while its user is in Home Assistant, as far as we know
);
CREATE TABLE recovery_codes (
    hash      BYTEA PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id)
);
CREATE TABLE refresh_tokens (
    hash       BYTEA PRIMARY KEY,
    device_id  TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    ha_user_id TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    issuer     TEXT NOT NULL,
    created    BIGINT NOT NULL
, given BIGINT NOT NULL DEFAULT 0);
CREATE TABLE resident_secrets (
    hash        BYTEA NOT NULL,
    resident_id TEXT NOT NULL REFERENCES residents (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL CHECK (kind IN ('refresh', 'access', 'webhook')),
    issuer      TEXT NOT NULL, -- of a refresh or access token
    expires     BIGINT NOT NULL, -- of an access token; otherwise 0
    PRIMARY KEY (resident_id, hash)
);
CREATE TABLE residents (
    id           TEXT PRIMARY KEY,
    kind         TEXT NOT NULL,
    ha_user_id   TEXT NOT NULL, -- empty where it has none, or it is not known
    ha_user_name TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    issuer       TEXT NOT NULL, -- HA's id of the refresh token
    name         TEXT NOT NULL,
    registration TEXT NOT NULL, -- the app's own id of its device
    addr         TEXT NOT NULL,
    first_seen   BIGINT NOT NULL,
    last_seen    BIGINT NOT NULL,
    left_out     BIGINT NOT NULL -- 1 where the owner said so
);
CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    sealed BYTEA NOT NULL
);
CREATE TABLE sessions (
    id        TEXT PRIMARY KEY,
    hash      BYTEA NOT NULL UNIQUE, -- of the cookie
    device_id TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    created   BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    ended     BIGINT NOT NULL -- 0 while it lives; never back to 0
);
CREATE TABLE sources (
    addr      TEXT PRIMARY KEY, -- counts at home alone
    device_id TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE
);
CREATE TABLE webhooks (
    hash         BYTEA PRIMARY KEY,
    device_id    TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    ha_user_id   TEXT NOT NULL, -- whose rights it has in Home Assistant
    registration TEXT NOT NULL, -- the app's own id of its device, by which HA's registry knows it
    created      BIGINT NOT NULL,
    removed      BIGINT NOT NULL -- 0 while HA's registration is there, as far as we know
, automation BIGINT NOT NULL DEFAULT 0, outside BIGINT NOT NULL DEFAULT 1, methods TEXT NOT NULL DEFAULT '', per_minute BIGINT NOT NULL DEFAULT 0);
CREATE INDEX access_tokens_refresh ON access_tokens (refresh_hash);
CREATE INDEX device_keys_device ON device_keys (device_id);
CREATE INDEX devices_person ON devices (person_id);
CREATE INDEX passkeys_person ON passkeys (person_id);
CREATE INDEX programs_device ON programs (device_id);
CREATE INDEX recovery_codes_person ON recovery_codes (person_id);
CREATE INDEX refresh_tokens_device ON refresh_tokens (device_id);
CREATE INDEX sessions_device ON sessions (device_id);
CREATE INDEX sources_device ON sources (device_id);
CREATE INDEX webhooks_device ON webhooks (device_id);
-- access_tokens: hash=ef refresh_hash=ee expires=2000
-- acme_accounts: issuer=https://ca.example/dir url=https://ca.example/account/1 key_sealed=c0ffee created=1000
-- certificate_tries: name=ha.example.org issuer=https://ca.example/dir staged=1500 failures=2 next=5000 why=the issuer could not reach it hint=forward port 443
-- certificates: name=ha.example.org issuer=https://ca.example/dir chain=PEM key_sealed=c0ffef fence=3 renew=8000 ask=4000 created=2000
-- challenge_records: name=_acme-challenge.ha.example.org text=abc created=1000
-- device_keys: kind=certificate id=c0ffee device_id=d2 data= created=1000 expires=9000
-- device_keys: kind=peer id=fE/wdxzl0klVp/IR8UcaoGUMjqaWi3jAd7KzHKFS6Ds= device_id=d1 data={"addresses":["10.9.0.2"]} created=1000 expires=0
-- devices: id=d1 person_id=p1 kind=browser name=Firefox on Linux created=1000 last_seen=2000 last_addr=203.0.113.7 last_door=https revoked=0
-- devices: id=d2 person_id=p2 kind=browser name=A browser created=1000 last_seen=1000 last_addr= last_door=lan revoked=2000
-- expiry_warnings: certificate=ha.example.org until=9000 days=30
-- guard: about=account subject=c0ffee level=1 long_count=3 since=0 ends=9000 last_failure=1000 kind=sign-in banned_by= addr= why= sealed=f9
-- guard: about=allow subject=192.168.1.0/24 level=0 long_count=0 since=1000 ends=0 last_failure=0 kind= banned_by= addr= why=home sealed=<nil>
-- guard: about=ban subject=198.51.100.0/24 level=0 long_count=0 since=1000 ends=0 last_failure=0 kind= banned_by=owner addr= why=noisy sealed=<nil>
-- guard: about=clock subject= level=0 long_count=0 since=0 ends=0 last_failure=5000 kind= banned_by= addr= why= sealed=<nil>
-- guard: about=source subject=203.0.113.7/32 level=2 long_count=7.5 since=1000 ends=9000 last_failure=1000 kind=ha-login banned_by=failures addr=203.0.113.7 why=5 failures sealed=<nil>
-- handouts: hash=d0 person_id=p1 label=Phone kind=certificate key_id=c0ffef key_expires=9000 sealed=0a0b created=1000 expires=5000
-- home_addresses: name=ha.example.org written=192.0.2.7 2001:db8::7 writing=192.0.2.8 2001:db8::7 at=1800000000000 failures=1 next=1800000060000 why=it answers REFUSED hint=is the token still good?
-- invitations: hash=dd person_id=<nil> created=1000 expires=2000
-- invitations: hash=de person_id=p1 created=1000 expires=2000
-- leases: name=certificate ha.example.org holder=gateway fence=3 expires=9000
-- passkeys: id=bb person_id=p1 device_id=d1 rp_id=home.example record={} created=1000 last_used=2000
-- people: id=p1 name=Olga name_key=olga role=owner ha_user_id=ha1 ha_user_name=Olga totp_sealed=0102 totp_step=59 created=1000 removed=0
-- people: id=p2 name=Ben name_key=<nil> role=member ha_user_id=<nil> ha_user_name= totp_sealed=<nil> totp_step=0 created=1000 removed=2000
-- programs: hash=f2 device_id=d1 ha_user_id=ha3 routes=rest,websocket sources=192.168.1.0/24 expires=9000 removed=0
-- recovery_codes: hash=aa person_id=p1
-- refresh_tokens: hash=e0 device_id=d1 ha_user_id=ha1 client_id= issuer=iss2 created=1000 given=1
-- refresh_tokens: hash=ee device_id=d1 ha_user_id=ha1 client_id=https://home.example/ issuer=iss created=1000 given=0
-- resident_secrets: hash=a0 resident_id=r1 kind=refresh issuer=iss1 expires=0
-- resident_secrets: hash=a1 resident_id=r1 kind=access issuer=iss1 expires=9000
-- resident_secrets: hash=a2 resident_id=r1 kind=webhook issuer= expires=0
-- residents: id=r1 kind=app ha_user_id=ha1 ha_user_name=Olga client_id=https://home-assistant.io/android issuer=iss1 name=Phone registration=a phone addr=192.168.1.9 first_seen=1000 last_seen=2000 left_out=0
-- secrets: name=ha/token sealed=00ff
-- sessions: id=s1 hash=cc device_id=d1 created=1000 last_seen=2000 ended=0
-- sessions: id=s2 hash=cd device_id=d2 created=1000 last_seen=1000 ended=2000
-- sources: addr=192.168.1.40 device_id=d1
-- webhooks: hash=f0 device_id=d1 ha_user_id=ha1 registration=a phone created=1000 removed=0 automation=0 outside=1 methods= per_minute=0
-- webhooks: hash=f1 device_id=d2 ha_user_id=ha2 registration=another phone created=1000 removed=2000 automation=0 outside=1 methods= per_minute=0
-- webhooks: hash=f3 device_id=d1 ha_user_id= registration= created=1000 removed=0 automation=1 outside=1 methods=POST,PUT per_minute=30
