/* hanging_resolver.c: preloaded, getaddrinfo() never answers for names that begin with "hang". Belongs here: that name server, nothing else. */
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	int (*original)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
		(__typeof__(original)) dlsym(RTLD_NEXT, "getaddrinfo");

	while (node && strncmp(node, "hang", 4) == 0)
		pause();
	return original(node, service, hints, result);
}
