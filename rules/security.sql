-- Default alert rules: security. Routes treat category security apart. How these files work: rules/server.sql.
-- All of them read log entries: the logs of logins must be among the agent's log_files.

INSERT INTO observ.alert_rules (name, category, source, metric_name, matchers, "window", operator, threshold, clear_threshold, severity, per_app, labels, description, annotations) VALUES
('AuthBruteForce', 'security', 'log_entries', 'log_count', '{source=~".*/(auth|secure|messages|syslog)[^/]*",message=~".*(Failed password|authentication failure|Invalid user|maximum authentication attempts).*"}', '5 minutes', 'gt', 50, 5, 'medium', false, '{"family": "auth"}',
 'More than fifty failed logins within five minutes.',
 '{"summary": "Somebody tries passwords on {{ labels.vps_name }}",
   "description": "{{ value }} failed logins in five minutes.",
   "action": "grep ''Failed password'' /var/log/auth.log | awk ''{print $(NF-3)}'' | sort | uniq -c | sort -n | tail shows from where. PasswordAuthentication no, a firewall for port 22, or fail2ban end it."}'),
('SudoDenied', 'security', 'log_entries', 'log_count', '{source=~".*/(auth|secure|messages|syslog)[^/]*",message=~".*(NOT in sudoers|command not allowed|incorrect password attempts).*"}', '10 minutes', 'gte', 1, NULL, 'medium', false, '{"family": "sudo"}',
 'Somebody wanted rights that he does not have.',
 '{"summary": "sudo was refused on {{ labels.vps_name }}",
   "description": "{{ value }} times within ten minutes.",
   "action": "grep sudo /var/log/auth.log names account and command. A person: ask. A service account: treat it as broken into."}'),
('RootLogin', 'security', 'log_entries', 'log_count', '{source=~".*/(auth|secure|messages|syslog)[^/]*",message=~".*Accepted (password|publickey|keyboard-interactive/pam) for root from.*"}', '5 minutes', 'gte', 1, NULL, 'info', false, '{"family": "root"}',
 'Somebody logged in as root by ssh.',
 '{"summary": "root logged in on {{ labels.vps_name }}",
   "description": "{{ value }} logins within five minutes.",
   "action": "last root shows from where. Nobody of the team: close port 22 and change the keys. PermitRootLogin no leaves only sudo, which says who it was."}'),
('DatabaseAuthFailures', 'security', 'log_entries', 'log_count', '{message=~".*(password authentication failed for user|no pg_hba.conf entry for host|Access denied for user).*"}', '5 minutes', 'gt', 20, 5, 'medium', false, '{"family": "auth"}',
 'More than twenty refused logins to a database within five minutes.',
 '{"summary": "Logins to a database on {{ labels.vps_name }} are refused",
   "description": "{{ value }} within five minutes.",
   "action": "The same user and address each time: an application with an old password. Many users: somebody tries; close the port to the world (listen_addresses, firewall)."}');
