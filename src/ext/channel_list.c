/* What kinds of channels there are, as rows. See channel_list.h. */
#include "postgres.h"

#include "ext/channel_list.h"

#include "core/nearest.h"
#include "ext/channel_config_read.h"
#include "ext/channel_kind.h"
#include "ext/compat.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

OBSERV_SQL_FUNCTION(observ_list_channel_kinds);
OBSERV_SQL_FUNCTION(observ_list_channel_fields);

char *
observ_kind_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; observ_channel_kinds[i] != NULL; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", observ_channel_kinds[i]->name);
	return names.data;
}

const ChannelKind *
observ_require_kind(const char *name, const char *channel)
{
	const ChannelKind *kind = observ_channel_kind(name);
	struct nearest nearest;

	if (kind != NULL)
		return kind;
	nearest_begin(&nearest, name, 0);
	for (int i = 0; observ_channel_kinds[i] != NULL; i++)
		nearest_consider(&nearest, observ_channel_kinds[i]->name);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown kind \"%s\" of channel \"%s\"", name, channel),
					errdetail("Kinds are: %s.", observ_kind_names()),
					nearest.name != NULL ? errhint("Perhaps \"%s\" is meant.", nearest.name)
										 : errhint("SELECT * FROM observ.channel_kinds explains them.")));
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* observ_data._channel_kinds() → setof (kind, description, concurrency, rate_limit, burst) */
Datum
observ_list_channel_kinds(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	observ_require_versions();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; observ_channel_kinds[i] != NULL; i++) {
		const ChannelKind *kind = observ_channel_kinds[i];
		bool nulls[5] = {false, false, kind->concurrency == 0, kind->rate_limit == 0, kind->burst == 0};
		Datum values[5] = {CStringGetTextDatum(kind->name), text_or_null(kind->description, &nulls[1]),
						   Int32GetDatum(kind->concurrency), Int32GetDatum(kind->rate_limit),
						   Int32GetDatum(kind->burst)};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

static void
put_field(ReturnSetInfo *result, const ChannelKind *kind, const ChannelField *field, int position)
{
	bool unlimited = field->min == 0 && field->max == 0;
	bool nulls[11] = {false};
	Datum values[11] = {CStringGetTextDatum(kind->name),
						CStringGetTextDatum(field->name),
						Int32GetDatum(position),
						CStringGetTextDatum(observ_field_type_name(field->type)),
						BoolGetDatum(field->required),
						BoolGetDatum(field->secret),
						text_or_null(field->fallback, &nulls[6]),
						text_or_null(field->choices, &nulls[7]),
						Int64GetDatum(field->min),
						Int64GetDatum(field->max),
						text_or_null(field->help, &nulls[10])};

	nulls[8] = nulls[9] = unlimited;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* observ_data._channel_fields() → setof (kind, field, position, type, required, secret, default, choices, min, max, description) */
Datum
observ_list_channel_fields(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	observ_require_versions();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; observ_channel_kinds[i] != NULL; i++) {
		const ChannelKind *kind = observ_channel_kinds[i];
		int position = 0;

		for (const ChannelField *f = kind->fields; f->name != NULL; f++)
			put_field(result, kind, f, ++position);
		for (const ChannelField *f = observ_common_fields; f->name != NULL; f++)
			if (observ_channel_field(kind, f->name) == f)
				put_field(result, kind, f, ++position);
	}
	return (Datum) 0;
}
