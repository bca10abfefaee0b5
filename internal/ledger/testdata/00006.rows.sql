-- What version 6 can hold beside. Whoever changes the schema copies this, and the
-- before fixture of version 6, to the next version's before fixture.
INSERT INTO leases VALUES ('certificate ha.example.org', 'gateway', 3, 9000);
INSERT INTO acme_accounts VALUES ('https://ca.example/dir', 'https://ca.example/account/1', x'c0ffee', 1000);
INSERT INTO certificates VALUES ('ha.example.org', 'https://ca.example/dir', 'PEM', x'c0ffef', 3, 8000, 4000, 2000);
INSERT INTO certificate_tries VALUES ('ha.example.org', 'https://ca.example/dir', 1500, 2, 5000, 'the issuer could not reach it', 'forward port 443');
INSERT INTO challenge_records VALUES ('_acme-challenge.ha.example.org', 'abc', 1000);
INSERT INTO expiry_warnings VALUES ('ha.example.org', 9000, 30);
