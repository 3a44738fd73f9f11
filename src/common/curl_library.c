/* curl_library.c: libcurl, loaded when it is needed. See curl_multi.h for why. Does not belong here: what is done with it. */
#include "common/curl_parts.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define OLDEST_LIBCURL 0x075500 /* CURLOPT_PROTOCOLS_STR */

#define AS_SYMBOL(name) {#name, offsetof(struct libcurl, name)},

struct libcurl libcurl;

bool
libcurl_load(char *error, size_t size)
{
	static const struct {
		const char *name;
		size_t offset;
	} symbols[] = {LIBCURL(AS_SYMBOL)};
	void *handle;

	if (libcurl.loaded)
		return true;
	handle = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL);
	if (!handle) {
		snprintf(error, size, "%s", dlerror());
		return false;
	}
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		void *symbol = dlsym(handle, symbols[i].name);
		if (!symbol) {
			snprintf(error, size, "libcurl.so.4 has no %s", symbols[i].name);
			return false;
		}
		memcpy((char *) &libcurl + symbols[i].offset, &symbol, sizeof symbol);
	}
	const curl_version_info_data *version = libcurl.curl_version_info(CURLVERSION_NOW);
	if (version->version_num < OLDEST_LIBCURL) {
		snprintf(error, size, "libcurl is too old: %s, needed is 7.85", version->version);
		return false;
	}
	if (libcurl.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		snprintf(error, size, "libcurl could not be initialized");
		return false;
	}
	libcurl.loaded = true;
	return true;
}
