/* notify.c: One datagram. See notify.h for what belongs here. */
#include "collector/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/slice.h"

void
notify_systemd(const char *format, ...)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char text[512];
	va_list args;

	if (!name || (name[0] != '/' && name[0] != '@') || strlen(name) >= sizeof address.sun_path)
		return;
	va_start(args, format);
	int len = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0'; /* an abstract name */
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	sendto(fd, text, len < (int) sizeof text ? (size_t) len : sizeof text - 1, MSG_NOSIGNAL,
		   (struct sockaddr *) &address, (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name)));
	close(fd);
}

int64_t
notify_watchdog_ms(void)
{
	const char *period = getenv("WATCHDOG_USEC"), *process = getenv("WATCHDOG_PID");
	int64_t us, pid;

	if (!period || !slice_to_i64(slice_of(period), &us) || us < 2000)
		return 0;
	if (process && (!slice_to_i64(slice_of(process), &pid) || pid != getpid()))
		return 0;
	return us / 2000;
}
