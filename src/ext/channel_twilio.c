/*
 * Twilio, Messages resource (https://www.twilio.com/docs/messaging/api/message-resource): one text message per number, a step each.
 * There is no idempotency: what may have been sent is sent once more at most (once_when_unsure).
 */
#include "postgres.h"

#include "ext/channel_kind.h"

#include "ext/chat_text.h"
#include "ext/secrets.h"
#include "ext/sms_message.h"

#define ACCOUNT_SID_LEN 34
#define MIN_NUMBER      7 /* digits of a number with its country; E.164 has at most 15 */
#define MAX_NUMBER      15
#define MAX_RECIPIENTS  100
#define QUEUE_WAIT_MS   60000 /* a queue there is full */

static const ChannelField fields[] = {
	{.name = "account_sid", .type = FIELD_TEXT, .required = true, .help = "AC and 32 hexadecimal digits"},
	{.name = "api_key",
	 .type = FIELD_TEXT,
	 .help = "SID of an API key (SK…) that auth_token is the secret of"},
	{.name = "auth_token",
	 .type = FIELD_TEXT,
	 .required = true,
	 .secret = true,
	 .help = "token of the account, or secret of api_key"},
	{.name = "from",
	 .type = FIELD_TEXT,
	 .help = "number, short code or sender name; or messaging_service_sid"},
	{.name = "messaging_service_sid", .type = FIELD_TEXT, .help = "MG and 32 hexadecimal digits"},
	{.name = "to", .type = FIELD_LIST, .required = true, .help = "numbers, as +15551234567; at most 100"},
	{.name = "segments",
	 .type = FIELD_INTEGER,
	 .fallback = "2",
	 .min = 1,
	 .max = SMS_SEGMENTS_MAX,
	 .help = "parts that a text is cut to: 306 characters are two, 133 of other than Latin or Greek ones"},
	{.name = "validity_period",
	 .type = FIELD_INTEGER,
	 .fallback = "900",
	 .min = 1,
	 .max = 36000,
	 .help = "seconds after which Twilio gives up what it could not deliver"},
	{.name = "url",
	 .type = FIELD_URL,
	 .fallback = "https://api.twilio.com",
	 .help = "another region's API, say https://api.dublin.ie1.twilio.com"},
	{0},
};

/* Answers that are not what their HTTP status says: https://www.twilio.com/docs/api/errors */
static const struct {
	const char *code;
	enum ChannelOutcome outcome;
	int64 wait_ms; /* -1: by the schedule */
} codes[] = {
	{"20429", CHANNEL_RETRY, -1},            /* too many requests */
	{"30001", CHANNEL_RETRY, QUEUE_WAIT_MS}, /* queue overflow */
	{"21611", CHANNEL_RETRY, QUEUE_WAIT_MS}, /* queue of this sender is full */
	{"21610", CHANNEL_DEAD, -1},             /* they have opted out */
	{"21211", CHANNEL_DEAD, -1},             /* no such number */
	{"21408", CHANNEL_DEAD, -1},             /* not enabled for that region */
};

static bool
is_number(const char *text)
{
	size_t digits = strspn(text + (text[0] == '+'), "0123456789");

	return text[0] == '+' && digits >= MIN_NUMBER && digits <= MAX_NUMBER && text[1] != '0' &&
		   text[digits + 1] == '\0';
}

static bool
is_account(const char *sid)
{
	return strlen(sid) == ACCOUNT_SID_LEN && strncmp(sid, "AC", 2) == 0 &&
		   strspn(sid + 2, "0123456789abcdef") == ACCOUNT_SID_LEN - 2;
}

static void
check(const ChannelConfig *config)
{
	const char *sid = observ_config_text(config, "account_sid");
	List *to = observ_config_list(config, "to");
	ListCell *cell;

	if (!is_account(sid))
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("field \"account_sid\" is no SID of an account"), errdetail("\"%s\"", sid),
				errhint("It is AC and 32 hexadecimal digits, on the first page of Twilio's console."));
	if ((observ_config_text(config, "from") == NULL) ==
		(observ_config_text(config, "messaging_service_sid") == NULL))
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a twilio channel needs either \"from\" or \"messaging_service_sid\""));
	if (list_length(to) > MAX_RECIPIENTS)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("field \"to\" has more than %d numbers", MAX_RECIPIENTS));
	foreach (cell, to)
		if (!is_number(lfirst(cell)))
			ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("field \"to\" has something that is no telephone number"),
					errdetail("\"%s\"", (char *) lfirst(cell)),
					errhint("Write it with + and the country, without blanks: +15551234567."));
}

static int
steps(const ChannelConfig *config)
{
	return list_length(observ_config_list(config, "to"));
}

static void
render(const ChannelConfig *config, const Message *message, int step, int variant, ChannelRequest *request)
{
	const char *sid = observ_config_text(config, "account_sid"), *key = observ_config_text(config, "api_key");
	const char *from = observ_config_text(config, "from");
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfo(&url, "%s/2010-04-01/Accounts/", observ_base_url(config));
	observ_put_urlencoded(&url, sid);
	appendStringInfoString(&url, "/Messages.json");
	request->url = url.data;
	request->user = key != NULL ? key : sid;
	request->password = observ_config_text(config, "auth_token");
	observ_put_form_field(request, "To", list_nth(observ_config_list(config, "to"), step));
	if (from != NULL)
		observ_put_form_field(request, "From", from);
	else
		observ_put_form_field(request, "MessagingServiceSid",
							  observ_config_text(config, "messaging_service_sid"));
	observ_put_form_field(request, "Body",
						  observ_sms_message(message, (int) observ_config_integer(config, "segments")));
	observ_put_form_field(request, "ValidityPeriod",
						  psprintf(INT64_FORMAT, observ_config_integer(config, "validity_period")));
}

static void
classify(const ChannelConfig *config, const ChannelAnswer *answer, int variant, ChannelVerdict *verdict)
{
	const char *code, *error;

	observ_classify_http(answer, verdict);
	if (verdict->outcome == CHANNEL_SENT) {
		verdict->receipt = observ_answer_text(answer, "$.sid");
		return;
	}
	code = answer->status > 0 ? observ_answer_text(answer, "$.code") : NULL;
	if (code == NULL)
		return;
	for (int i = 0; i < (int) lengthof(codes); i++)
		if (strcmp(codes[i].code, code) == 0) {
			verdict->outcome = codes[i].outcome;
			verdict->retry_after_ms = Max(verdict->retry_after_ms, codes[i].wait_ms);
		}
	error = observ_answer_text(answer, "$.message");
	observ_verdict(verdict, verdict->outcome, "%s: %s", code, error != NULL ? error : "no message");
}

const ChannelKind observ_channel_twilio = {
	.name = "twilio",
	.description = "SMS through Twilio, one to each number",
	.fields = fields,
	.concurrency = 2,
	.rate_limit = 30, /* a long code takes one segment a second */
	.burst = 10,
	.once_when_unsure = true,
	.check = check,
	.steps = steps,
	.render = render,
	.classify = classify,
};
