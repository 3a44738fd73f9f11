-- Default rules about security: each fires and clears. Minutes since midnight.
\c observ_rules
SET TimeZone = 'UTC';
CALL rt.begin('AuthBruteForce', 'SudoDenied', 'RootLogin', 'DatabaseAuthFailures');
CALL rt.log('{30,31,32}', 30, '/var/log/auth.log', 'info', 'sshd[12]: Failed password for invalid user admin from 203.0.113.7 port 22 ssh2');
-- A person who mistypes is nobody who tries.
CALL rt.log('{60}', 3, '/var/log/auth.log', 'info', 'sshd[12]: Failed password for anna from 10.0.0.7 port 22 ssh2');
CALL rt.log('{30}', 1, '/var/log/auth.log', 'info', 'sudo:     bob : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh');
CALL rt.log('{30}', 1, '/var/log/secure', 'info', 'sshd[12]: Accepted publickey for root from 203.0.113.7 port 22 ssh2: ED25519 SHA256:x');
CALL rt.log('{30}', 30, '/var/log/postgresql/main.log', 'fatal', 'FATAL:  password authentication failed for user "shop"');
CALL rt.run(0, 90);
SELECT * FROM rt.story();
SELECT DISTINCT a.labels ->> 'category' AS category FROM observ.alerts a;
