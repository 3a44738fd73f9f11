-- Default rules about clocks, handles, processes, units, the kernel: each fires and clears. Minutes since midnight.
\c observ_rules
SET TimeZone = 'UTC';
CALL rt.begin('ClockAhead', 'ClockBehind', 'ClockFarAhead', 'ClockFarBehind', 'FdHigh', 'FdCritical', 'ZombieProcesses');
CALL rt.metric('clock_offset_ms', '{0,30,90,120}', '{10,7000,300,10}', 180, 'ahead');
CALL rt.metric('clock_offset_ms', '{0,30,90,120}', '{-10,-7000,-300,-10}', 180, 'behind');
-- One sample that is off is no clock that is.
CALL rt.metric('clock_offset_ms', '{0,30,31}', '{0,60000,0}', 180, 'once');
CALL rt.metric('open_files_percent', '{0,30,90,120}', '{10,95,65,10}', 180);
CALL rt.metric('zombies', '{0,30,90,120}', '{0,50,10,0}', 180);
CALL rt.run(0, 180);
SELECT * FROM rt.story();

CALL rt.begin('UnitFailed', 'UnitCrashLoop');
CALL rt.sample('units', '{"state": "failed"}', '{0,30,90}', '{0,2,0}', 180);
CALL rt.sample('units', '{"state": "active"}', '{0}', '{100}', 180);
CALL rt.sample('unit_restarts_total', '{"unit": "shop.service"}', '{0,30,35,40}', '{7,10,14,17}', 180, 5, 'counter');
CALL rt.sample('unit_restarts_total', '{"unit": "calm.service"}', '{0,30}', '{7,8}', 180, 5, 'counter');
CALL rt.run(0, 180);
SELECT * FROM rt.story();

CALL rt.begin('KernelErrors', 'ProcessCrashes');
CALL rt.log('{30}', 1, '/var/log/kern.log', 'info', 'kernel: [4.2] INFO: task postgres:123 blocked for more than 120 seconds.');
CALL rt.log('{60,61,62}', 2, '/var/log/syslog', 'info', 'kernel: [4.2] shop[12]: segfault at 0 ip 0000 sp 0000 error 4 in shop[40+1]');
CALL rt.log('{90}', 9, '/srv/shop/app.log', 'info', 'shop[12]: segfault at 0');
CALL rt.run(0, 120);
SELECT * FROM rt.story();
