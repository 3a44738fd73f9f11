/*
 * probe.h: a reader that asks for one row over and over and remembers the longest answer.
 */
#ifndef OBSERV_BENCH_PROBE_H
#define OBSERV_BENCH_PROBE_H

/* Asks until its standard input ends, then prints {"reads", "p50_ms", "p99_ms", "max_ms"}. */
void probe(const char *conninfo, const char *sql);

#endif
