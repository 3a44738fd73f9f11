/*
 * observ.record_peers(): what a collector sees at the other ends of its VPS's connections, and which addresses the VPS has.
 * What does not belong here: turning addresses into VPSs, which is done when the topology is asked for (SQL).
 *
 * One bad entry is set aside and counted; the good ones beside it are stored.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "ext/arming.h"
#include "ext/caller.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_record_peers);

#define MAX_PEERS         1000 /* per call, and kept per VPS */
#define MAX_ADDRESSES     100  /* per VPS */
#define MAX_PROTOCOL_SIZE 16
#define KEEP              "7 days"

enum PeersArgument { ARG_VPS_NAME, ARG_APP_NAME, ARG_PEERS, ARG_AT, ARG_ADDRESSES };

/* Columns of the good entries, as arrays for unnest(). */
typedef struct Good {
	Datum *address, *port, *protocol, *direction, *connections;
	int n;
	int rejected;
	char *first_error;
} Good;

static const char upsert_sql[] =
	"INSERT INTO observ.peers AS p (vps_name, app_name, direction, protocol, address, port, connections, "
	"first_seen, last_seen) "
	"SELECT $1, $2, n.direction, n.protocol, n.address::inet, n.port, sum(n.connections), $3, $3 "
	"FROM unnest($4, $5, $6, $7, $8) AS n (address, port, protocol, direction, connections) GROUP BY 3, 4, "
	"5, 6 ORDER BY 3, 4, 5, 6 "
	"ON CONFLICT (vps_name, app_name, direction, protocol, address, port) DO UPDATE SET "
	"connections = CASE WHEN excluded.last_seen >= p.last_seen THEN excluded.connections ELSE p.connections "
	"END, "
	"first_seen = least(p.first_seen, excluded.first_seen), last_seen = greatest(p.last_seen, "
	"excluded.last_seen)";

/* Those not seen for long, and beyond the limit those seen longest ago. */
static const char trim_sql[] = "DELETE FROM observ.peers p USING (SELECT q.ctid AS row_id, q.last_seen, "
							   "row_number() OVER (ORDER BY q.last_seen DESC, "
							   "q.connections DESC NULLS LAST, q.address, q.port) AS place FROM observ.peers "
							   "q WHERE q.vps_name = $1) old "
							   "WHERE p.ctid = old.row_id AND (old.place > " CppAsString2(
								   MAX_PEERS) " OR old.last_seen < $2 - interval '" KEEP "')";

/* What every machine has names none. */
static const char addresses_sql[] =
	"WITH given AS (SELECT DISTINCT a::inet AS address FROM unnest($2) AS a WHERE NOT (a::inet <<= "
	"'127.0.0.0/8' "
	"OR a::inet <<= '169.254.0.0/16' OR a::inet <<= '::1' OR a::inet <<= 'fe80::/10')), "
	"gone AS (DELETE FROM observ.vps_addresses v WHERE v.vps_name = $1 AND v.source = 'reported' "
	"AND v.address NOT IN (SELECT g.address FROM given g)) "
	"INSERT INTO observ.vps_addresses AS v (vps_name, address, source, last_seen) SELECT $1, g.address, "
	"'reported', $3 FROM given g "
	"ON CONFLICT (vps_name, address) DO UPDATE SET last_seen = greatest(v.last_seen, excluded.last_seen)";

/* ---- reading the entries */

/* Whether the text is an IPv4 or IPv6 address alone; an IPv6 zone (%eth0) is cut off, an IPv4 one in IPv6 clothes is undressed. */
static bool
read_address(const char *text, char address[INET6_ADDRSTRLEN])
{
	unsigned char raw[16];
	size_t length = strcspn(text, "%");

	if (length >= INET6_ADDRSTRLEN)
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (inet_pton(AF_INET, address, raw) == 1)
		return text[length] == '\0';
	if (inet_pton(AF_INET6, address, raw) != 1)
		return false;
	if (IN6_IS_ADDR_V4MAPPED((struct in6_addr *) raw))
		return inet_ntop(AF_INET, raw + 12, address, INET6_ADDRSTRLEN) != NULL;
	return true;
}

/* A text member of an entry; NULL when it is missing or no text. */
static char *
text_member(JsonbContainer *entry, const char *name)
{
	JsonbValue value;

	if (getKeyJsonValueFromContainer(entry, name, strlen(name), &value) == NULL || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* A whole number from 0 to max; *missing when it is missing or null. False: it is something else. */
static bool
integer_member(JsonbContainer *entry, const char *name, int max, int *number, bool *missing)
{
	JsonbValue value;
	double given;

	*missing =
		getKeyJsonValueFromContainer(entry, name, strlen(name), &value) == NULL || value.type == jbvNull;
	if (*missing)
		return true;
	if (value.type != jbvNumeric)
		return false;
	given =
		DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value.val.numeric)));
	if (!(given >= 0 && given <= max && given == floor(given)))
		return false;
	*number = (int) given;
	return true;
}

/* Protocols are short words of lower-case letters and digits. */
static bool
is_protocol(const char *text)
{
	return text[0] != '\0' && strlen(text) < MAX_PROTOCOL_SIZE &&
		   strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text);
}

/* Adds one entry to the good ones. Returns NULL, or what is wrong with it. */
static const char *
read_peer(const JsonbValue *element, Good *good)
{
	char address[INET6_ADDRSTRLEN];
	JsonbContainer *entry;
	char *text, *protocol, *direction;
	int port, connections;
	bool no_port, no_connections;

	if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
		return "an entry is not an object";
	entry = element->val.binary.data;
	text = text_member(entry, "address");
	if (text == NULL || !read_address(text, address))
		return "address is not an IP address";
	if (!integer_member(entry, "port", 65535, &port, &no_port) || no_port)
		return "port is not a whole number from 0 to 65535";
	direction = text_member(entry, "direction");
	if (direction == NULL || (strcmp(direction, "outbound") != 0 && strcmp(direction, "inbound") != 0))
		return "direction is neither outbound nor inbound";
	protocol = text_member(entry, "protocol");
	if (protocol != NULL && !is_protocol(protocol))
		return "protocol is not a short lower-case word";
	if (!integer_member(entry, "connections", PG_INT32_MAX, &connections, &no_connections))
		return "connections is not a whole number";
	good->address[good->n] = CStringGetTextDatum(address);
	good->port[good->n] = Int32GetDatum(port);
	good->protocol[good->n] = CStringGetTextDatum(protocol ? protocol : "tcp");
	good->direction[good->n] = CStringGetTextDatum(direction);
	good->connections[good->n] = Int32GetDatum(no_connections ? 1 : connections);
	good->n++;
	return NULL;
}

static void
reject(Good *good, int entry, const char *why)
{
	good->rejected++;
	if (good->first_error == NULL)
		good->first_error = psprintf("entry %d: %s", entry, why);
}

static void
read_peers(Jsonb *peers, Good *good)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;
	int entry = 0;

	if (!JB_ROOT_IS_ARRAY(peers) || JB_ROOT_IS_SCALAR(peers))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("peers must be an array of objects")));
	*good = (Good){.address = palloc(sizeof(Datum) * MAX_PEERS),
				   .port = palloc(sizeof(Datum) * MAX_PEERS),
				   .protocol = palloc(sizeof(Datum) * MAX_PEERS),
				   .direction = palloc(sizeof(Datum) * MAX_PEERS),
				   .connections = palloc(sizeof(Datum) * MAX_PEERS)};
	iterator = JsonbIteratorInit(&peers->root);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE) {
		const char *why;

		if (token != WJB_ELEM)
			continue;
		entry++;
		why = good->n < MAX_PEERS ? read_peer(&element, good)
								  : "more than " CppAsString2(MAX_PEERS) " entries at once";
		if (why != NULL)
			reject(good, entry, why);
	}
}

/* The addresses of the VPS as a text array of those that can be read. */
static Datum
read_addresses(ArrayType *given, Good *good)
{
	Datum *elements, *texts;
	bool *nulls;
	int n, kept = 0;

	deconstruct_array(given, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	texts = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++) {
		char address[INET6_ADDRSTRLEN];

		if (nulls[i] || kept >= MAX_ADDRESSES || !read_address(TextDatumGetCString(elements[i]), address))
			reject(good, i + 1, "not an IP address of the VPS, or more than " CppAsString2(MAX_ADDRESSES));
		else
			texts[kept++] = CStringGetTextDatum(address);
	}
	return observ_array(texts, kept, TEXTOID);
}

/* ---- storing them */

/* Returns how many rows went because there are too many or they are too old. */
static int64
store(Datum vps_name, Datum app_name, Datum at, const Good *good)
{
	static SPIPlanPtr upsert_plan = NULL, trim_plan = NULL;
	static const Oid types[] = {TEXTOID,      TEXTOID,      TIMESTAMPTZOID, TEXTARRAYOID,
								INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,   INT4ARRAYOID};
	static const Oid trim_types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum values[] = {vps_name,
					  app_name,
					  at,
					  observ_array(good->address, good->n, TEXTOID),
					  observ_array(good->port, good->n, INT4OID),
					  observ_array(good->protocol, good->n, TEXTOID),
					  observ_array(good->direction, good->n, TEXTOID),
					  observ_array(good->connections, good->n, INT4OID)};
	Datum trim_values[] = {vps_name, at};

	observ_spi_kept(&upsert_plan, SPI_OK_INSERT, upsert_sql, lengthof(types), types, values, NULL);
	return observ_spi_kept(&trim_plan, SPI_OK_DELETE, trim_sql, lengthof(trim_types), trim_types, trim_values,
						   NULL);
}

static void
store_addresses(Datum vps_name, Datum addresses, Datum at)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[] = {TEXTOID, TEXTARRAYOID, TIMESTAMPTZOID};
	Datum values[] = {vps_name, addresses, at};

	observ_spi_kept(&plan, SPI_OK_INSERT, addresses_sql, lengthof(types), types, values, NULL);
}

/* The one row that says what was done. */
static Datum
reply(FunctionCallInfo fcinfo, const Good *good, int64 dropped)
{
	Datum values[4];
	bool nulls[4] = {false};

	values[0] = Int32GetDatum(good->n);
	values[1] = Int32GetDatum(good->rejected);
	values[2] = Int64GetDatum(dropped);
	nulls[3] = good->first_error == NULL;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(good->first_error);
	return observ_row(fcinfo, values, nulls);
}

/*
 * observ.record_peers(vps_name, app_name, peers, at, addresses) → one row; see its COMMENT.
 */
Datum
observ_record_peers(PG_FUNCTION_ARGS)
{
	Oid caller = GetUserId();
	ObservIdentity saved;
	Datum app_name, at, addresses = (Datum) 0;
	int64 dropped;
	Good good;

	observ_require_versions();
	observ_require_armed();
	if (PG_ARGISNULL(ARG_VPS_NAME) || PG_ARGISNULL(ARG_PEERS))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("vps_name and peers of a report must not be null")));
	if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(ARG_VPS_NAME)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("vps_name of a report must not be empty")));
	app_name = PG_ARGISNULL(ARG_APP_NAME) ? CStringGetTextDatum("") : PG_GETARG_DATUM(ARG_APP_NAME);
	at = TimestampTzGetDatum(observ_reported_time(fcinfo, ARG_AT, caller, "a report of peers"));
	read_peers(PG_GETARG_JSONB_P(ARG_PEERS), &good);
	if (!PG_ARGISNULL(ARG_ADDRESSES))
		addresses = read_addresses(PG_GETARG_ARRAYTYPE_P(ARG_ADDRESSES), &good);

	saved = observ_as_owner_begin();
	SPI_connect();
	observ_require_vps(caller, TextDatumGetCString(PG_GETARG_DATUM(ARG_VPS_NAME)));
	dropped = store(PG_GETARG_DATUM(ARG_VPS_NAME), app_name, at, &good);
	if (addresses != (Datum) 0)
		store_addresses(PG_GETARG_DATUM(ARG_VPS_NAME), addresses, at);
	SPI_finish();
	observ_as_owner_end(&saved);
	return reply(fcinfo, &good, dropped);
}
