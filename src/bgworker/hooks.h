/* Hooks through which commands of sessions reach observ's workers. */
#ifndef OBSERV_BGWORKER_HOOKS_H
#define OBSERV_BGWORKER_HOOKS_H

/* Installs ProcessUtility and object access hooks, each passing on to the one before it. Once, from _PG_init. */
extern void observ_utility_hook_install(void);
extern void observ_drop_hook_install(void);

#endif
