-- A change that is not known to have been taken.
INSERT INTO home_addresses (name, written, writing, at, failures, next, why, hint) VALUES
    ('ha.example.org', '192.0.2.7 2001:db8::7', '192.0.2.8 2001:db8::7', 1800000000000, 1, 1800000060000, 'it answers REFUSED', 'is the token still good?');
