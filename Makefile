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
CORE_OBJS = src/core/mounts.o \
	src/core/procfs_cpu.o \
	src/core/procfs_memory.o \
	src/core/procfs_net.o \
	src/core/queue.o \
	src/core/rates.o \
	src/core/row.o \
	src/core/schedule.o \
	src/core/slice.o \
	src/core/sqlstate.o \
	src/core/topology.o
COMMON_OBJS = src/common/strbuf.o
# BACKEND
EXT_OBJS =
BGWORKER_OBJS =
# USERLAND
COLLECTOR_OBJS = src/collector/agent.o \
	src/collector/config.o \
	src/collector/connector.o \
	src/collector/encode.o \
	src/collector/helper.o \
	src/collector/helper_process.o \
	src/collector/identity.o \
	src/collector/log.o \
	src/collector/main.o \
	src/collector/once.o \
	src/collector/options.o \
	src/collector/proc_reader.o \
	src/collector/resolver.o \
	src/collector/sampler.o \
	src/collector/writer.o \
	src/collector/writer_statements.o \
	src/collector/yaml_tree.o

OBJS = $(EXT_OBJS) $(BGWORKER_OBJS)
SCRIPTS_built = obs-agent

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
