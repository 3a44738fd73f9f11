/* health_probe.c: What the kinds of probes share. See health_probe.h for what belongs here. */
#include "collector/health_probe.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "core/slice.h"

static const struct probe_kind *const kinds[] = {
	[CHECK_HTTP] = &probe_http,   [CHECK_TCP] = &probe_tcp,   [CHECK_POSTGRES] = &probe_postgres,
	[CHECK_REDIS] = &probe_redis, [CHECK_UNIT] = &probe_unit,
};

void
probe_start(struct probe *p, struct probe_tools *tools, const struct health_check *check)
{
	p->check = check;
	p->tools = tools;
	p->kind = kinds[check->kind];
	p->over = false;
	p->result = (struct health_result){
		.dns_us = -1, .connect_us = -1, .tls_us = -1, .first_byte_us = -1, .total_us = -1};
	p->start_us = clock_us(CLOCK_MONOTONIC);
	p->deadline_ms = p->start_us / 1000 + (int64_t) check->timeout_s * 1000;
	p->fd = -1;
	p->transfer = NULL;
	p->connected = false;
	p->answer_len = 0;
	p->kind->start(p);
}

void
probe_run(struct probe *p, bool ready, int64_t now_ms)
{
	if (!p->over && ready)
		p->kind->ready(p);
	/* A transfer has a deadline of its own, and ends by itself. */
	if (!p->over && !p->transfer && p->kind->late && now_ms >= p->deadline_ms)
		p->kind->late(p);
}

void
probe_end(struct probe *p)
{
	if (!p->check)
		return;
	if (p->transfer)
		transfer_cancel(p->transfer);
	p->transfer = NULL;
	p->kind->stop(p);
	p->fd = -1;
	p->check = NULL;
}

void
probe_fail(struct probe *p, enum health_failure failure, const char *format, ...)
{
	char text[1000];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	slice_printable(slice_of(text), p->result.error, sizeof p->result.error);
	p->result.failure = failure;
	p->over = true;
}

void
probe_pass(struct probe *p)
{
	const struct health_check *check = p->check;
	struct health_result *r = &p->result;

	if (r->total_us < 0)
		r->total_us = clock_us(CLOCK_MONOTONIC) - p->start_us;
	if (check->max_latency_ms > 0 && r->total_us > (int64_t) check->max_latency_ms * 1000)
		probe_fail(p, HEALTH_SLOW, "%.0f ms, more than %d ms", (double) r->total_us / 1000,
				   check->max_latency_ms);
	p->over = true;
}

bool
probe_transfer(struct probe *p, const struct transfer_request *request, transfer_done done)
{
	if (!p->tools->transfers)
		probe_fail(p, HEALTH_NOT_TRIED, "%s", p->tools->no_transfers);
	else if (!(p->transfer = transfer_start(p->tools->transfers, request, done, p)))
		probe_fail(p, HEALTH_NOT_TRIED, "out of memory or descriptors");
	return p->transfer != NULL;
}

static void
fail_late(struct probe *p, enum transfer_phase phase)
{
	static const char *const missing[] = {[PHASE_CONNECT] = "no connection",
										  [PHASE_TLS] = "no end of the TLS handshake",
										  [PHASE_FIRST_BYTE] = "no answer",
										  [PHASE_BODY] = "no end of the answer"};

	/* Whoever lets itself be connected to is there, and so is the network. */
	p->result.lost = phase <= PHASE_CONNECT;
	if (phase == PHASE_DNS)
		probe_fail(p, HEALTH_NO_NAME, "no answer within %d s", p->check->timeout_s);
	else
		probe_fail(p, HEALTH_TOO_LATE, "%s within %d s", missing[phase], p->check->timeout_s);
}

bool
probe_take(struct probe *p, const struct transfer_response *response)
{
	struct health_result *r = &p->result;

	p->transfer = NULL;
	r->status = response->status;
	r->dns_us = response->dns_us;
	r->connect_us = response->connect_us;
	r->tls_us = response->tls_us;
	r->first_byte_us = response->first_byte_us;
	r->tls_expires_s = response->tls_expires_s;
	r->total_us = -1;
	switch (response->outcome) {
	case TRANSFER_ANSWERED:
		r->total_us = response->total_us;
		return true;
	case TRANSFER_DNS:
		r->again = r->lost = true;
		probe_fail(p, HEALTH_NO_NAME, "%s", response->error);
		break;
	case TRANSFER_CONNECT:
		r->again = r->lost = true;
		probe_fail(p, HEALTH_NO_CONNECTION, "%s", response->error);
		break;
	case TRANSFER_TLS:
		r->again = true;
		probe_fail(p, HEALTH_NO_TLS, "%s", response->error);
		break;
	case TRANSFER_UNTRUSTED:
		probe_fail(p, HEALTH_NO_TLS, "%s", response->error);
		break;
	case TRANSFER_TIMEOUT:
		fail_late(p, response->phase);
		break;
	case TRANSFER_BROKEN:
		r->again = true;
		probe_fail(p, response->phase == PHASE_BODY ? HEALTH_BAD_BODY : HEALTH_NO_CONNECTION, "%s",
				   response->error);
		break;
	case TRANSFER_REDIRECT:
		r->total_us = response->total_us;
		probe_fail(p, HEALTH_BAD_STATUS, "a redirect that is not followed: %s", response->error);
		break;
	case TRANSFER_REFUSED: /* checks neither log in nor forbid addresses */
	case TRANSFER_UNUSABLE:
		probe_fail(p, HEALTH_NOT_TRIED, "%s", response->error);
		break;
	}
	return false;
}
