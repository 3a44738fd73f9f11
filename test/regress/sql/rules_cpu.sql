-- Default rules about processors: each fires and clears. Minutes since midnight.
\c observ_rules
SET TimeZone = 'UTC';
-- Bad from minute 30 on; between threshold and clear_threshold from 120 on; good from 150 on.
CALL rt.begin('CpuHigh', 'CpuCritical', 'CpuIowaitHigh', 'CpuStealHigh', 'CpuSaturated', 'LoadSustained', 'CpuPressure');
CALL rt.metric('cpu_percent', '{0,30,120,150}', '{20,99,80,10}', 240);
CALL rt.metric('cpu_iowait_percent', '{0,30,120,150}', '{2,40,20,1}', 240);
CALL rt.metric('cpu_steal_percent', '{0,30,120,150}', '{1,15,7,1}', 240);
CALL rt.metric('load_avg_5m', '{0,30,120,150}', '{0.5,3,1.8,0.5}', 240);
CALL rt.metric('load_avg_15m', '{0,30,120,150}', '{0.5,3,1.9,0.5}', 240);
CALL rt.metric('psi_cpu', '{0,30,120,150}', '{5,80,50,5}', 240);
-- At the threshold is not above it.
CALL rt.metric('cpu_percent', '{0}', '{85}', 240, 'at the threshold');
CALL rt.run(0, 240);
SELECT * FROM rt.story();

-- Idle for a week: hours.
CALL rt.begin('CpuIdleWaste');
CALL rt.metric('cpu_percent', ARRAY[-2 * 1440, 6.5 * 1440], '{3,60}', 7 * 1440, 'idle', 10);
CALL rt.metric('cpu_percent', ARRAY[-2 * 1440, 2890, 2900], '{3,60,3}', 7 * 1440, 'not idle', 10);
CALL rt.run(0, 7 * 1440, 60);
SELECT * FROM rt.story();

-- Busier than in the same hour of past days: 70 % where it is else 20 %, but not where 70 % is usual.
CALL rt.begin('CpuAnomaly');
CALL rt.metric('cpu_percent', ARRAY[-8 * 1440, 30, 120], '{20,70,20}', 240, 'unusual', 2);
CALL rt.metric('cpu_percent', ARRAY[-8 * 1440], '{70}', 240, 'usual', 2);
SELECT status FROM observ.roll_up(rt.t(0));
CALL rt.run(0, 240, 5);
SELECT * FROM rt.story();
