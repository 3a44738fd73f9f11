-- Default rules about the network: each fires and clears. Minutes since midnight.
\c observ_rules
SET TimeZone = 'UTC';
CALL rt.begin('NetErrors', 'ConntrackHigh', 'ConntrackCritical', 'TcpRetransmits', 'TcpRetransmitsSevere');
CALL rt.metric('net_errors_per_s', '{0,30,90,120}', '{0,50,5,0}', 180);
CALL rt.metric('conntrack_percent', '{0,30,90,120}', '{10,99,75,10}', 180);
CALL rt.metric('tcp_retransmit_percent', '{0,30,90,120}', '{0.1,30,3,0.1}', 180);
CALL rt.run(0, 180);
SELECT * FROM rt.story();

-- Slow connections and name servers; four checks in ten minutes are too few.
CALL rt.begin('LatencyHigh', 'DnsSlow');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, interval_ms) SELECT rt.t(m), 'web-1', 60000 FROM generate_series(0, 180) m;
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success, response_time_ms, connect_ms, dns_ms)
	SELECT rt.t(m), 'web-1', 'https://shop/', true, 700, CASE WHEN m BETWEEN 30 AND 90 THEN 400 ELSE 20 END, CASE WHEN m BETWEEN 30 AND 90 THEN 800 ELSE 5 END
	FROM generate_series(0, 180) m
	UNION ALL SELECT rt.t(m), 'web-1', 'https://seldom/', true, 700, 400, 800 FROM generate_series(0, 180, 3) m;
CALL rt.run(0, 180);
SELECT * FROM rt.story();

-- No names: three of four checks. Cut off: all of them got no answer, which the agent doubts.
CALL rt.begin('DnsFailing', 'VpsCutOff');
CALL rt.check('https://a/', '{0,30,60}', ARRAY['ok', 'dns: no such host', 'ok'], 180);
CALL rt.check('https://b/', '{0,30,60}', ARRAY['ok', 'dns: no such host', 'ok'], 180);
CALL rt.check('https://c/', '{0,30,60}', ARRAY['ok', 'dns: no answer in time', 'ok'], 180);
CALL rt.check('tcp://10.0.0.1:80', '{0}', ARRAY['ok'], 180);
UPDATE observ.health_checks SET dns_ms = 3 WHERE success AND url LIKE 'https:%';
CALL rt.check('https://a/', '{0,90,120}', ARRAY['ok', 'doubt', 'ok'], 180, 'web-2');
CALL rt.check('https://b/', '{0,90,120}', ARRAY['ok', 'doubt', 'ok'], 180, 'web-2');
CALL rt.run(0, 180);
SELECT * FROM rt.story();

-- 100 GB this month: 3 MB/s are 10.8 GB an hour. A new month begins at minute 15 x 1440.
CALL rt.begin('TrafficQuota');
INSERT INTO observ.vps (vps_name, labels) VALUES ('busy', '{"traffic_quota_gb": "100"}'), ('free', '{}'), ('odd', '{"traffic_quota_gb": "lots"}');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, net_tx_bps, net_rx_bps) SELECT rt.t(m), v, 2e6, 1e6 FROM generate_series(0, 1440, 5) m, unnest('{busy,free,odd}'::text[]) v;
SELECT status FROM observ.roll_up(rt.t(1500));
CALL rt.run(0, 1440, 60);
SELECT * FROM rt.story();
UPDATE observ.vps SET labels = '{"traffic_quota_gb": "1000"}' WHERE vps_name = 'busy';
CALL rt.run(1500, 1620, 60);
SELECT * FROM rt.story();
