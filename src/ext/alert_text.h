/*
 * What an alert is called and says: fingerprint, identity, labels, annotations.
 * What does not belong here: templates (core/template.h), when it is written (alert_store.c).
 */
#ifndef OBSERV_EXT_ALERT_TEXT_H
#define OBSERV_EXT_ALERT_TEXT_H

#include "ext/alert_store.h"

/* SHA-256 of rule and identity, 32 hexadecimal digits; an empty label counts like none. */
extern char *observ_fingerprint(int64 rule_id, const ObservInstance *instance);

/* What the source gives: vps_name, app_name, labels. */
extern Jsonb *observ_identity(const ObservInstance *instance);

/* The reverse, into the current memory context; false: values other than strings. */
extern bool observ_instance_of(Jsonb *identity, ObservInstance *out);

/* A copy in the current memory context, one block: pfree() of its labels gives it back. */
extern ObservInstance observ_copy_instance(const ObservInstance *instance);

/*
 * All labels: of the VPS, of the rule, of the instance, alertname, severity, category, the later ones winning.
 */
extern Jsonb *observ_alert_labels(const ObservRule *rule, const ObservInstance *instance, Jsonb *vps_labels);

/* Annotations of its rule, rendered with its value and those labels; a summary and a description where the rule has none. */
extern Jsonb *observ_alert_annotations(const ObservLiveAlert *alert, Jsonb *labels);

/* Value of a string label of an object, as a C string; NULL: none. */
extern char *observ_key_text(Jsonb *object, const char *name);

#endif
