/* version.h: The version of the agent, as the database and --version show it. Nothing else belongs here. */
#ifndef OBSERV_COLLECTOR_VERSION_H
#define OBSERV_COLLECTOR_VERSION_H

#define OBSERV_VERSION "1.0"

#endif
