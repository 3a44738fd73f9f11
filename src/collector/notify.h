/*
 * notify.h: what systemd is told: sd_notify(3).
 *
 * The protocol is one datagram to the socket that $NOTIFY_SOCKET names, promised to stay as it is (sd_notify(3), "Standalone
 * implementations"). libsystemd would bring liblzma, libzstd, liblz4 and libgcrypt into a process that counts its kilobytes.
 */
#ifndef OBSERV_COLLECTOR_NOTIFY_H
#define OBSERV_COLLECTOR_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Sends lines of NAME=VALUE. Never waits; nothing happens where nobody listens. */
void notify_systemd(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How often WATCHDOG=1 is to be sent, ms: half of what $WATCHDOG_USEC allows. 0: there is no watchdog for this process. */
int64_t notify_watchdog_ms(void);

#endif
