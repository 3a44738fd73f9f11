/*
 * template.h: texts for people with values in them: "CPU of {{ labels.vps_name }} at {{ value | percent }}"
 *
 * Belongs here: checking and rendering them. Does not belong here: which annotations there are, where labels come from.
 * NEUTRAL, pure.
 *
 * Expressions are those of template_expression.h, with these values: value, threshold, labels.NAME, rule.FIELD.
 * Prometheus's spelling works, too: $value, $labels.NAME, {{ humanize $value }}, {{ $value | printf "%.1f" }}.
 */
#ifndef OBSERV_CORE_TEMPLATE_H
#define OBSERV_CORE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/slice.h"
#include "core/template_expression.h"

/* Room for a text that is rendered, its terminator included; templates longer than that are refused. */
#define TEMPLATE_MAX 4096

/* Whether a text can be rendered; false, with *error filled, when it can't. */
bool template_check(struct slice text, struct template_error *error);

/* Text behind a name; an empty slice when there is none. */
typedef struct slice template_lookup(void *arg, struct slice name);

struct template_values {
	double value, threshold; /* NaN: none, shown as n/a */
	template_lookup *label;  /* labels.instance is vps_name where there is no label of that name */
	template_lookup *rule;   /* one of template_rule_fields */
	void *arg;
};

/* name, category, …: what rule.FIELD can be; ends with NULL */
extern const char *const template_rule_fields[];

/*
 * Renders into out[size], always terminated; returns the length. Never fails: what is no expression stays as it is, a text that is
 * too long is cut at a character of UTF-8. `size` must be above 0.
 */
size_t template_render(struct slice text, const struct template_values *values, char *out, size_t size);

#endif
