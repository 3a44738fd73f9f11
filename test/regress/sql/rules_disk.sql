-- Default rules about filesystems and disks: each fires and clears. Minutes since midnight.
\c observ_rules
SET TimeZone = 'UTC';
CALL rt.begin('DiskFull85', 'DiskFull95', 'InodesLow', 'InodesCritical', 'DiskBusy', 'DiskPressure');
CALL rt.metric('disk_percent', '{0,30,90,120}', '{50,97,83,60}', 180);
CALL rt.metric('inode_percent', '{0,30,90,120}', '{50,98,88,60}', 180);
CALL rt.metric('disk_busy_percent', '{0,30,90,120}', '{5,100,90,5}', 180);
CALL rt.metric('psi_io', '{0,30,90,120}', '{1,70,40,1}', 180);
CALL rt.run(0, 180);
SELECT * FROM rt.story();

-- Room that runs out: 4 % an hour from 30 %, then somebody makes room; 20 % an hour.
CALL rt.begin('DiskFillsIn24h', 'DiskFillsIn4h');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, disk_percent)
	SELECT rt.t(m), v, CASE WHEN v = 'steady' THEN 90 WHEN m >= 540 THEN 20 WHEN v = 'slowly' THEN 30 + m * 4 / 60.0 ELSE 10 + greatest(m - 300, 0) * 20 / 60.0 END
	FROM generate_series(0, 1200) m, unnest('{slowly,fast,steady}'::text[]) v;
CALL rt.run(0, 1200, 5);
SELECT * FROM rt.story();

-- Other filesystems, by mount: not the root, which has rules of its own, and none in memory.
CALL rt.begin('MountFull85', 'MountFull95', 'MountInodesLow', 'FsReadOnly', 'MountHangs');
CALL rt.sample('disk_used_percent', '{"mount": "/srv", "fstype": "ext4", "device": "/dev/vdb"}', '{0,30,90,120}', '{50,97,83,60}', 180);
CALL rt.sample('disk_used_percent', '{"mount": "/", "fstype": "ext4", "device": "/dev/vda"}', '{0,30,90,120}', '{50,97,83,60}', 180);
CALL rt.sample('disk_used_percent', '{"mount": "/run", "fstype": "tmpfs", "device": "tmpfs"}', '{0,30,90,120}', '{50,97,83,60}', 180);
CALL rt.sample('inode_percent', '{"mount": "/srv", "fstype": "ext4", "device": "/dev/vdb"}', '{0,30,90,120}', '{50,98,88,60}', 180);
CALL rt.sample('disk_readonly', '{"mount": "/srv", "fstype": "ext4", "device": "/dev/vdb"}', '{0,30,90}', '{0,1,0}', 180, 5);
CALL rt.sample('disk_readonly', '{"mount": "/media/cdrom", "fstype": "udf", "device": "/dev/sr0"}', '{0}', '{1}', 180, 5);
CALL rt.sample('disk_stale', '{"mount": "/nfs", "fstype": "nfs4", "device": "nas:/x"}', '{0,30,90}', '{0,1,0}', 180, 5);
CALL rt.run(0, 180);
SELECT * FROM rt.story();

CALL rt.begin('MountFillsIn24h');
CALL rt.samples('disk_used_percent', '{"mount": "/srv", "fstype": "ext4", "device": "/dev/vdb"}', rt.minutes(0, 1200, 5), rt.line(rt.minutes(0, 1200, 5), '{0,535,540,1200}', '{30,65.7,20,20}'));
SELECT status FROM observ.roll_up(rt.t(1200));
CALL rt.run(0, 1200, 5);
SELECT * FROM rt.story();

-- The kernel's log; lines of other files don't count.
CALL rt.begin('DiskErrors');
CALL rt.log('{30}', 2, '/var/log/kern.log', 'info', 'kernel: [12.3] Buffer I/O error on dev vda1, logical block 12, lost async page write');
CALL rt.log('{60}', 2, '/srv/shop/app.log', 'error', 'I/O error while reading from the client');
CALL rt.run(0, 90);
SELECT * FROM rt.story();
