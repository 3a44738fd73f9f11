-- Default rules about containers: each fires and clears. Minutes since midnight.
\c observ_rules
SET TimeZone = 'UTC';
\set box '{"name": "shop", "runtime": "docker", "container_id": "0123456789ab"}'
\set calm '{"name": "calm", "runtime": "docker", "container_id": "ba9876543210"}'
CALL rt.begin('ContainerOom', 'ContainerCpuThrottled', 'ContainerPidsHigh');
CALL rt.sample('container_oom_kills_total', :'box', '{0,30}', '{1,3}', 180, 1, 'counter');
CALL rt.sample('container_oom_kills_total', :'calm', '{0}', '{1}', 180, 1, 'counter');
CALL rt.samples('container_cpu_throttled_seconds_total', :'box', rt.minutes(0, 180, 1), rt.line(rt.minutes(0, 180, 1), '{0,30,90,180}', '{0,0,1440,1440}'), 'counter');
CALL rt.sample('container_pids', :'box', '{0,30,90,120}', '{100,3000,1800,100}', 180);
CALL rt.run(0, 180);
SELECT * FROM rt.story();

-- Near its limit; a container without one is not, and one that is gone neither.
CALL rt.begin('ContainerMemNearLimit');
CALL rt.sample('container_memory_limit_bytes', :'box', '{0}', '{1000}', 180, 10);
CALL rt.sample('container_memory_working_set_bytes', :'box', '{0,30,90}', '{500,950,400}', 180);
CALL rt.sample('container_memory_working_set_bytes', :'calm', '{0}', '{950}', 180);
CALL rt.sample('container_memory_limit_bytes', '{"name": "gone", "runtime": "docker", "container_id": "ffff00000000"}', '{0,30}', '{1000,NaN}', 180, 10);
CALL rt.sample('container_memory_working_set_bytes', '{"name": "gone", "runtime": "docker", "container_id": "ffff00000000"}', '{0,30}', '{990,NaN}', 30);
CALL rt.run(30, 180);
SELECT * FROM rt.story();

-- Gone: the end mark of one; another that is simply missing. Not: one that was made anew under its name, a service of systemd, one of a deployment.
CALL rt.begin('ContainerGone');
CALL rt.sample('container_memory_working_set_bytes', :'box', '{0,60}', '{500,NaN}', 60);
CALL rt.sample('container_memory_working_set_bytes', :'calm', '{0}', '{500}', 70);
CALL rt.sample('container_memory_working_set_bytes', '{"name": "anew", "runtime": "docker", "container_id": "000000000001"}', '{0,60}', '{500,NaN}', 60);
CALL rt.sample('container_memory_working_set_bytes', '{"name": "anew", "runtime": "docker", "container_id": "000000000002"}', '{60}', '{500}', 300);
CALL rt.sample('container_memory_working_set_bytes', '{"name": "cron.service", "runtime": "systemd", "container_id": "cron.service"}', '{0,60}', '{500,NaN}', 60);
INSERT INTO observ.vps_metrics ("timestamp", vps_name, interval_ms) SELECT rt.t(m), 'web-1', 60000 FROM generate_series(0, 300) m;
CALL rt.sample('container_memory_working_set_bytes', '{"name": "deployed", "runtime": "docker", "container_id": "000000000003"}', '{0,200}', '{500,NaN}', 200);
INSERT INTO observ.events ("timestamp", vps_name, app_name, kind, success) VALUES (rt.t(199), 'web-1', 'shop', 'deployed', true);
CALL rt.run(0, 240, 2);
SELECT * FROM rt.story();

-- A new container every two minutes.
CALL rt.begin('ContainerRestartLoop');
CALL rt.sample('container_memory_working_set_bytes', '{"name": "shop", "runtime": "containerd", "container_id": "c1"}', '{30}', '{1}', 32);
CALL rt.sample('container_memory_working_set_bytes', '{"name": "shop", "runtime": "containerd", "container_id": "c2"}', '{33}', '{1}', 35);
CALL rt.sample('container_memory_working_set_bytes', '{"name": "shop", "runtime": "containerd", "container_id": "c3"}', '{36}', '{1}', 90);
CALL rt.run(0, 90, 2);
SELECT * FROM rt.story();
