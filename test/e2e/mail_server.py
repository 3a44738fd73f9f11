"""A mail server that answers as told, on Debian's python3-aiosmtpd.

What belongs here: what listens and keeps the mails. What does not: web servers (receivers.py), the tests.

    server = make_mail_server()                     # fixture of conftest.py: STARTTLS required, AUTH user/secret
    make_mail_server(tls="implicit"), (tls="none"), (users=None: nobody logs in)
    server.url                                      -> "smtp://127.0.0.1:40123", "smtps://…"
    server.mails                                    -> [Mail]: mail_from, rcpt_to, content, message, tls, user, at
    server.script("RCPT", "550 5.1.1 no such user", None)   # in this order, the last one for ever; None: as usual
    server.refuse("bob@example.org", "550 5.1.1 no such user")

Commands of script(): GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA (before the message), DOT (after it), QUIT. Answers are texts, None, HANG (nothing
more comes) or CLOSE (the connection ends there).
"""

import asyncio
import contextlib
import dataclasses
import email
import email.policy
import socket
import time

import aiosmtpd.smtp

import harness
import receivers

HANG, CLOSE = object(), object()


@dataclasses.dataclass
class Mail:
    """What was accepted."""

    mail_from: str
    rcpt_to: list
    content: bytes
    tls: bool
    user: str | None
    ehlo: str
    at: float = dataclasses.field(default_factory=time.time)

    @property
    def message(self):
        """Parsed."""
        return email.message_from_bytes(self.content, policy=email.policy.default)


class Session(aiosmtpd.smtp.SMTP):
    """One connection."""

    def __init__(self, server, **options):
        self.mail_server, self.greeted = server, False
        super().__init__(server, hostname="mail.test", **options)

    def connection_made(self, transport):
        self.mail_server.transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error):
        self.mail_server.transports.discard(self.transport)
        super().connection_lost(error)

    async def push(self, status):
        if not self.greeted:
            self.greeted = True
            if await self.scripted("GREETING"):
                return
        await super().push(status)

    async def scripted(self, command, argument=""):
        """True when the script has answered."""
        answer = self.mail_server.next_answer(command, argument)
        if answer is HANG:
            await asyncio.Event().wait()
        if answer is CLOSE:
            self.transport.abort()
        elif answer is not None:
            await super().push(answer)
        return answer is not None


def scripted_command(name):
    """smtp_NAME, with the script before it."""
    original = getattr(aiosmtpd.smtp.SMTP, f"smtp_{name}")

    async def command(self, arg):
        if not await self.scripted(name, arg or ""):
            await original(self, arg)

    command.__doc__ = original.__doc__
    for attribute, value in vars(original).items():
        setattr(command, attribute, value)
    return command


for _name in ("EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"):
    setattr(Session, f"smtp_{_name}", scripted_command(_name))


class MailServer:
    """See the head of this file. context: for a server; tls: starttls, implicit or none."""

    def __init__(self, context=None, *, tls="starttls", users=None):
        self.context, self.tls, self.users = context, tls, users
        self.mails, self.commands, self.scripts, self.refused, self.transports = [], [], {}, {}, set()
        self.port, self.server = 0, None
        self.thread = receivers.LoopThread()
        self.start()

    @property
    def url(self):
        """Its address."""
        return f"{'smtps' if self.tls == 'implicit' else 'smtp'}://127.0.0.1:{self.port}"

    def start(self):
        """Listens, on the port of the last time if there was one."""
        def session():
            return Session(self, loop=self.thread.loop, tls_context=self.context if self.tls == "starttls" else None,
                           require_starttls=self.tls == "starttls", auth_require_tls=self.tls == "starttls",
                           auth_required=self.users is not None, authenticator=self.authenticate)

        async def listen():
            sock = socket.socket(proto=socket.IPPROTO_TCP)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", self.port))
            self.port = sock.getsockname()[1]
            self.server = await asyncio.get_running_loop().create_server(session, sock=sock, ssl=self.context if self.tls == "implicit" else None)

        self.thread.call(listen())
        return self

    def stop(self):
        """Nobody listens here any more; connections end."""
        async def end():
            self.server.close()
            for transport in list(self.transports):
                with contextlib.suppress(AttributeError):  # asyncio's, of TLS that was closed twice: there is nothing left to abort
                    transport.abort()

        self.thread.call(end())

    def close(self):
        """For good."""
        self.stop()
        self.thread.close()

    def script(self, command, *answers):
        """What is answered to that command from now on."""
        self.scripts[command] = list(answers)

    def refuse(self, address, answer):
        """What RCPT of that address is answered."""
        self.refused[address] = answer

    def next_answer(self, command, argument):
        """A text, None, HANG or CLOSE."""
        self.commands.append(f"{command} {argument}".strip() if command != "AUTH" else command)
        if command == "RCPT":
            for address, answer in self.refused.items():
                if f"<{address}>" in argument:
                    return answer
        script = self.scripts.get(command)
        if not script:
            return None
        return script.pop(0) if len(script) > 1 else script[0]

    def authenticate(self, server, session, envelope, mechanism, login):
        """AUTH LOGIN and PLAIN."""
        user, password = login.login.decode(), login.password.decode()
        ok = (self.users or {}).get(user) == password
        session.observ_user = user if ok else None
        return aiosmtpd.smtp.AuthResult(success=ok, handled=ok)

    async def handle_DATA(self, server, session, envelope):  # pylint: disable=invalid-name
        """The final dot."""
        answer = self.next_answer("DOT", "")
        if answer is HANG:
            await asyncio.Event().wait()
        if answer is CLOSE:
            server.transport.abort()
        if answer is not None:
            return "451 gone" if answer is CLOSE else answer
        tls = self.tls == "implicit" or session.ssl is not None
        self.mails.append(Mail(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content, tls,
                               getattr(session, "observ_user", None), session.host_name))
        return f"250 2.0.0 Ok: queued as {len(self.mails)}"

    def wait_for(self, n=1, deadline=harness.DEFAULT_DEADLINE):
        """At least n mails."""
        harness.wait_until(lambda: len(self.mails) >= n, deadline, f"{n} mails")
        return list(self.mails)
