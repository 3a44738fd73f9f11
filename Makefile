# observ: one Makefile, PGXS. Object lists are explicit: a file that is not named here is not built.
#   make            extension, agent            make unit     cmocka tests of src/core
#   make install    into pg_config's server     make check    regress + isolation on a private server, workers preloaded
#   make installcheck  against a running one    make e2e      pytest: real servers, processes, signals
#   make lint  make fmt  make check-asan  make bench
EXTENSION = observ
MODULE_big = observ
DATA = sql/observ--1.0.sql
PGFILEDESC = "observ - monitoring inside PostgreSQL"

# NEUTRAL: linked into both the extension and the agent.
CORE_OBJS = src/core/fleet_status.o
# what of it the extension uses
CORE_BACKEND_OBJS = src/core/fleet_status.o
COMMON_OBJS =
# BACKEND
EXT_OBJS = src/ext/gucs.o src/ext/versions.o src/ext/arming.o src/ext/processes.o src/ext/spi_util.o \
	src/ext/install.o src/ext/partitions.o src/ext/ingest.o src/ext/registry.o src/ext/fleet_refresh.o \
	src/ext/fleet_summary.o src/ext/status.o src/ext/partitions_check.o
BGWORKER_OBJS = src/bgworker/module.o src/bgworker/worker.o src/bgworker/launcher.o src/bgworker/databases.o \
	src/bgworker/scanner.o src/bgworker/scheduler.o src/bgworker/jobs.o src/bgworker/job_run.o src/bgworker/job_runs.o \
	src/bgworker/control.o src/bgworker/utility_hook.o src/bgworker/drop_hook.o
# USERLAND
COLLECTOR_OBJS =

OBJS = $(EXT_OBJS) $(BGWORKER_OBJS) $(CORE_BACKEND_OBJS)
SCRIPTS_built = 

PG_CONFIG ?= pg_config
WARNINGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-declaration-after-statement -Wno-missing-field-initializers
PG_CPPFLAGS = -I$(CURDIR)/src
PG_CFLAGS = -std=gnu11 $(WARNINGS) -fvisibility=hidden -MMD -MP
SHLIB_LINK = -Wl,--as-needed

REGRESS = 
REGRESS_OPTS = --inputdir=test/regress --outputdir=test/regress
ISOLATION =
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=test/isolation

EXTRA_CLEAN = build obs-agent $(CORE_OBJS) $(COMMON_OBJS) $(COLLECTOR_OBJS) \
	$(wildcard src/*/*.d) $(wildcard src/*/*.bc)

# PGXS says "check is not supported"; ours is, so PGXS is left out when it is asked for.
ifneq ($(filter check,$(MAKECMDGOALS)),)
include mk/check.mk
else
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
include mk/house.mk
endif
