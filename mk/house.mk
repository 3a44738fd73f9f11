# Targets that PGXS does not know. Included after PGXS, so that its variables (CC, CFLAGS, CPPFLAGS, libpq) are at hand.

-include $(wildcard src/*/*.d)

obs-agent: $(COLLECTOR_OBJS) $(CORE_OBJS) $(COMMON_OBJS)
	$(CC) $(CFLAGS) $^ -L$(libdir) -Wl,--as-needed -lpq -lyaml -lm -o $@
