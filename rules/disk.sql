-- Default alert rules: filesystems and disks. How these files work: rules/server.sql.
-- The root filesystem is a column of observ.vps_metrics; the others are labelled metrics of the agent, by mount.

INSERT INTO observ.alert_rules (name, category, source, metric_name, aggregate, "window", operator, threshold, clear_threshold, for_duration, severity, per_app, labels, description, annotations) VALUES
('DiskFull85', 'disk', 'vps_metrics', 'disk_percent', 'avg', '5 minutes', 'gt', 85, 80, '15 minutes', 'warning', false, '{"family": "disk"}',
 'The root filesystem is more than 85 % full.',
 '{"summary": "Root filesystem of {{ labels.vps_name }} is {{ value | round(0) }} % full",
   "description": "As df shows it.",
   "action": "du -xh / --max-depth=3 | sort -h | tail shows what is large. Old logs, packages (apt-get clean), images (docker system prune) and journals (journalctl --vacuum-size=200M) go first."}'),
('DiskFull95', 'disk', 'vps_metrics', 'disk_percent', 'avg', '5 minutes', 'gt', 95, 92, '5 minutes', 'critical', false, '{"family": "disk"}',
 'The root filesystem is more than 95 % full.',
 '{"summary": "Root filesystem of {{ labels.vps_name }} is nearly full ({{ value | round(0) }} %)",
   "description": "When it is full services fail to write, and databases stop.",
   "action": "Make room now: journalctl --vacuum-size=100M, apt-get clean, rotated logs. Deleted files that are still open: lsof +L1. Then see DiskFull85."}'),
('InodesLow', 'disk', 'vps_metrics', 'inode_percent', 'avg', '5 minutes', 'gt', 90, 85, '15 minutes', 'warning', false, '{"family": "inodes"}',
 'More than 90 % of the inodes of the root filesystem are used.',
 '{"summary": "Root filesystem of {{ labels.vps_name }} has used {{ value | round(0) }} % of its inodes",
   "description": "New files can''t be made when they are used up, however much room there is.",
   "action": "du --inodes -x / --max-depth=3 | sort -n | tail finds the directory with too many small files: sessions, caches, mail queues."}'),
('InodesCritical', 'disk', 'vps_metrics', 'inode_percent', 'avg', '5 minutes', 'gt', 97, 94, '5 minutes', 'critical', false, '{"family": "inodes"}',
 'More than 97 % of the inodes of the root filesystem are used.',
 '{"summary": "Root filesystem of {{ labels.vps_name }} is nearly out of inodes ({{ value | round(0) }} %)",
   "description": "New files will soon be refused.",
   "action": "As for InodesLow, now."}'),
('DiskBusy', 'disk', 'vps_metrics', 'disk_busy_percent', 'avg', '15 minutes', 'gt', 95, 80, '15 minutes', 'warning', false, '{"family": "disk_busy"}',
 'The busiest block device had I/O in flight nearly all the time, mean of fifteen minutes.',
 '{"summary": "A disk of {{ labels.vps_name }} is {{ value | round(0) }} % busy",
   "description": "Compare disk_read_bps and disk_write_bps.",
   "action": "iotop -oPa shows who; iostat -x 5 which device. Spread backups and batch jobs, add memory for caching, or a faster disk."}'),
('DiskPressure', 'disk', 'vps_metrics', 'psi_io', 'avg', '10 minutes', 'gt', 50, 30, '15 minutes', 'warning', false, '{"family": "disk_busy"}',
 'Some task waited for I/O half of the time (pressure stall information).',
 '{"summary": "Tasks of {{ labels.vps_name }} wait for I/O {{ value | round(0) }} % of the time",
   "description": "Disks, or network filesystems, are slower than the work needs.",
   "action": "As for DiskBusy."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, aggregate, "window", predict_ahead, predict_from, min_samples, operator, threshold, clear_threshold, for_duration, keep_firing_for, evaluation_interval, severity, per_app, labels, description, annotations) VALUES
('DiskFillsIn24h', 'disk', 'vps_metrics', 'disk_percent', 'predict', '6 hours', '1 day', 60, 60, 'gt', 100, 98, '1 hour', '30 minutes', '5 minutes', 'warning', false, '{"family": "disk_fills"}',
 'A straight line through six hours of use reaches a full root filesystem within a day, and more than 60 % of it is used.',
 '{"summary": "Root filesystem of {{ labels.vps_name }} will be full within a day",
   "description": "By the growth of the last six hours.",
   "action": "Find what grows: du -xh / --max-depth=3 now and in an hour; a log without rotation is the usual cause. observ.disk_forecast(''{{ labels.vps_name }}'') has the date."}');

INSERT INTO observ.alert_rules (name, category, source, query, for_duration, keep_firing_for, evaluation_interval, severity, labels, description, annotations) VALUES
('DiskFillsIn4h', 'disk', 'query', $$
SELECT jsonb_build_object('vps_name', n.vps_name) AS labels, p.percent AS value, p.percent > 100 AS breach
-- Only where little is left: who fills an empty disk for twenty minutes does what it is for.
FROM (SELECT m.vps_name FROM observ.vps_metrics m
	WHERE m."timestamp" > $1 - interval '5 minutes' AND m."timestamp" <= $1 AND m.disk_percent < 'NaN'
	GROUP BY m.vps_name HAVING avg(m.disk_percent) > 80) n
CROSS JOIN LATERAL (SELECT regr_intercept(w.disk_percent, w.hours) + 4 * regr_slope(w.disk_percent, w.hours) AS percent
	FROM (SELECT m.disk_percent, (extract(epoch FROM m."timestamp" - $1) / 3600)::float8 AS hours FROM observ.vps_metrics m
		WHERE m.vps_name = n.vps_name AND m."timestamp" > $1 - interval '1 hour' AND m."timestamp" <= $1 AND m.disk_percent < 'NaN') w
	HAVING count(*) >= 20 AND min(w.hours) < -1.0 / 3) p
$$, '15 minutes', '15 minutes', '1 minute', 'critical', '{"family": "disk_fills"}',
 'A straight line through an hour of use reaches a full root filesystem within four hours, and less than a fifth of it is left.',
 '{"summary": "Root filesystem of {{ labels.vps_name }} will be full within four hours",
   "description": "By the growth of the last hour.",
   "action": "Stop what writes so much: iotop -oPa, lsof +L1; du -xh / --max-depth=3 | sort -h | tail. Then make room."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, matchers, aggregate, "window", operator, threshold, clear_threshold, for_duration, severity, labels, description, annotations) VALUES
('MountFull85', 'disk', 'metric_samples', 'disk_used_percent', '{mount!="/",fstype!~"tmpfs|overlay|squashfs|iso9660|fuse.*"}', 'last', NULL, 'gt', 85, 80, '15 minutes', 'warning', '{"family": "disk"}',
 'A filesystem other than the root is more than 85 % full.',
 '{"summary": "{{ labels.mount }} of {{ labels.vps_name }} is {{ value | round(0) }} % full",
   "description": "{{ labels.fstype }} on {{ labels.device }}.",
   "action": "du -xh {{ labels.mount }} --max-depth=3 | sort -h | tail shows what is large."}'),
('MountFull95', 'disk', 'metric_samples', 'disk_used_percent', '{mount!="/",fstype!~"tmpfs|overlay|squashfs|iso9660|fuse.*"}', 'last', NULL, 'gt', 95, 92, '5 minutes', 'critical', '{"family": "disk"}',
 'A filesystem other than the root is more than 95 % full.',
 '{"summary": "{{ labels.mount }} of {{ labels.vps_name }} is nearly full ({{ value | round(0) }} %)",
   "description": "{{ labels.fstype }} on {{ labels.device }}. When it is full, what writes there stops.",
   "action": "Make room now: du -xh {{ labels.mount }} --max-depth=3 | sort -h | tail; deleted files that are still open: lsof +L1 {{ labels.mount }}."}'),
('MountInodesLow', 'disk', 'metric_samples', 'inode_percent', '{mount!="/"}', 'last', NULL, 'gt', 90, 85, '15 minutes', 'warning', '{"family": "inodes"}',
 'More than 90 % of the inodes of a filesystem other than the root are used.',
 '{"summary": "{{ labels.mount }} of {{ labels.vps_name }} has used {{ value | round(0) }} % of its inodes",
   "description": "New files can''t be made when they are used up.",
   "action": "du --inodes -x {{ labels.mount }} --max-depth=3 | sort -n | tail finds the directory with too many small files."}'),
('FsReadOnly', 'disk', 'metric_samples', 'disk_readonly', '{fstype=~"ext[234]|xfs|btrfs|f2fs|jfs|reiserfs|zfs"}', 'last', '11 minutes', 'gte', 1, NULL, '1 minute', 'critical', '{"family": "readonly"}',
 'A filesystem that is meant to be written to is mounted read-only.',
 '{"summary": "{{ labels.mount }} of {{ labels.vps_name }} is read-only",
   "description": "{{ labels.fstype }} on {{ labels.device }}. The kernel does that after errors of the disk.",
   "action": "dmesg -T | tail -50 tells why. Save what can be read, check the disk (smartctl), then fsck from a rescue system. If it is meant to be so, add mount!=\"{{ labels.mount }}\" to the rule''s matchers."}'),
('MountHangs', 'disk', 'metric_samples', 'disk_stale', NULL, 'last', '11 minutes', 'gte', 1, NULL, '5 minutes', 'high', '{"family": "mount"}',
 'A filesystem does not answer.',
 '{"summary": "{{ labels.mount }} of {{ labels.vps_name }} hangs",
   "description": "{{ labels.fstype }} on {{ labels.device }} does not answer within two seconds.",
   "action": "Of a network filesystem: look at its server and the way there. umount -f -l {{ labels.mount }} frees what waits for it."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, matchers, aggregate, "window", predict_ahead, predict_from, min_samples, operator, threshold, clear_threshold, for_duration, keep_firing_for, evaluation_interval, severity, labels, description, annotations) VALUES
('MountFillsIn24h', 'disk', 'metric_samples', 'disk_used_percent', '{mount!="/",fstype!~"tmpfs|overlay|squashfs|iso9660|fuse.*"}', 'predict', '6 hours', '1 day', 60, 60, 'gt', 100, 98, '1 hour', '30 minutes', '5 minutes', 'warning', '{"family": "disk_fills"}',
 'A straight line through six hours of use reaches a full filesystem within a day, and more than 60 % of it is used.',
 '{"summary": "{{ labels.mount }} of {{ labels.vps_name }} will be full within a day",
   "description": "By the growth of the last six hours.",
   "action": "Find what grows: du -xh {{ labels.mount }} --max-depth=3 now and in an hour. observ.disk_forecast(''{{ labels.vps_name }}'') has the date."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, matchers, "window", operator, threshold, severity, per_app, labels, description, annotations) VALUES
('DiskErrors', 'disk', 'log_entries', 'log_count', '{source=~".*/(kern|messages|syslog|dmesg)[^/]*",message=~".*(I/O error|EXT4-fs error|XFS .*[Cc]orruption|BTRFS error|Remounting filesystem read-only|critical medium error).*"}', '10 minutes', 'gte', 1, 'critical', false, '{"family": "readonly"}',
 'The kernel logged an error of a disk or filesystem within ten minutes. Needs the kernel''s log among log_files.',
 '{"summary": "Disk errors on {{ labels.vps_name }}",
   "description": "{{ value }} lines within ten minutes.",
   "action": "observ.search_logs(''error'', ''{{ labels.vps_name }}'') shows them; smartctl -a DEVICE. Make sure that the latest backup is good before you do anything else."}');
