-- Default rules about memory: each fires and clears. Minutes since midnight.
\c observ_rules
SET TimeZone = 'UTC';
CALL rt.begin('MemoryLow', 'MemoryCritical', 'SwapHigh', 'SwapThrashing', 'OomKill', 'MemoryPressure', 'MemoryPressureHigh');
CALL rt.metric('memory_percent', '{0,30,90,120}', '{50,97,83,40}', 180);
CALL rt.metric('swap_percent', '{0,30,90,120}', '{5,95,70,10}', 180);
CALL rt.metric('swap_io_per_s', '{0,30,90,120}', '{0,5000,500,0}', 180);
CALL rt.metric('oom_kills', '{0,30,31}', '{0,2,0}', 180);
CALL rt.metric('psi_memory', '{0,30,90,120}', '{1,70,15,1}', 180);
CALL rt.run(0, 180);
SELECT * FROM rt.story();

-- 40 % and 5 % more each hour: full within twelve hours as soon as the line says so. A machine that stays where it is, and one that was restarted.
CALL rt.begin('MemoryLeakTrend');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, memory_percent)
	SELECT rt.t(m), v, CASE v WHEN 'leaks' THEN CASE WHEN m < 600 THEN 40 + m * 5 / 60 ELSE 30 END ELSE 80 END
	FROM generate_series(0, 1080, 5) m, unnest('{leaks,steady}'::text[]) v;
CALL rt.run(0, 1080, 5);
SELECT * FROM rt.story();
