/*
 * Preloaded into servers by make check-asan: tells the sanitizers their options, and when an error jumps over frames of ours.
 *
 * Options in the environment would get lost: a backend overwrites the place of its environment with its ps display before it
 * loads observ.so, and libasan reads /proc/self/environ.
 *
 * libasan would intercept siglongjmp() itself if it could be loaded first (see check-asan.sh why it can't). Without that, the
 * red zones of the frames jumped over stay behind on the stack, and the next function that uses the place is accused.
 * What does not belong here: anything else.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <setjmp.h>

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

/* Exit-time leaks of a server are by design. A finding aborts: exit code 1 would look like an ordinary FATAL. */
const char *
__asan_default_options(void)
{
	return "detect_leaks=0:verify_asan_link_order=0:abort_on_error=1:disable_coredump=1";
}

const char *
__ubsan_default_options(void)
{
	return "print_stacktrace=1:abort_on_error=1";
}

typedef void (*jump)(sigjmp_buf, int);

static __attribute__((noreturn)) void
clean_and_jump(const char *name, sigjmp_buf env, int value)
{
	void (*clean)(void) = (void (*)(void)) dlsym(RTLD_DEFAULT, "__asan_handle_no_return");
	jump real = (jump) dlsym(RTLD_NEXT, name);

	if (clean)
		clean();
	real(env, value);
	__builtin_unreachable();
}

void
siglongjmp(sigjmp_buf env, int value)
{
	clean_and_jump("siglongjmp", env, value);
}

/* What siglongjmp() is called in programs built with _FORTIFY_SOURCE, as Debian's PostgreSQL is. */
__attribute__((noreturn)) void __longjmp_chk(sigjmp_buf env, int value);

void
__longjmp_chk(sigjmp_buf env, int value)
{
	clean_and_jump("__longjmp_chk", env, value);
}
