"""Every error this project raises on purpose, as one tree.

The root sits in the rightmost package so that each package to its left may extend it.

    PacelineError
    ├── ConfigError            what a person or an agent typed cannot be used
    ├── ToolError              an agent's call was refused; the agent can correct it
    ├── JobError               a job could not be run or its result not read
    │   ├── SandboxUnavailable
    │   ├── HubRefused         the Hub where jobs run said no, or nothing
    │   └── JobTimeout
    ├── ModelError             the thinking model (not the measured one) failed
    ├── BudgetExhausted        the session may spend no more
    ├── RecordError            the session's record cannot be read or written
    │   ├── VersionConflict    somebody else appended first; read again and retry
    │   ├── SessionBusy        the session is open in another process
    │   └── ReplayMiss         a re-run came to something else than the record
    ├── VerificationUnavailable  nothing can be verified here: texts or judge would not be safe
    └── ReceiptError           a receipt that proves nothing

An error says what, the value, the limit and what to do next, and carries a stable code.
"""


class PacelineError(Exception):
    """Base of every deliberate error; `code` is stable, `hint` is the next thing to do."""

    exit_code = 1
    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.hint = hint

    def __str__(self) -> str:
        """Return the message and, where there is one, the hint, as one line."""
        message = super().__str__()
        return f"{message}. {self.hint}" if self.hint else message


class ConfigError(PacelineError):
    """A setting, config, challenge or persona that cannot be used."""

    exit_code = 2
    default_code = "bad_config"


class ToolError(PacelineError):
    """An agent's call that was refused; shown to the agent, which may correct it."""

    exit_code = 2
    default_code = "refused"


class JobError(PacelineError):
    """A job that could not be run, or whose result could not be read."""

    exit_code = 5
    default_code = "job_failed"


class SandboxUnavailable(JobError):
    """The asked-for isolation does not exist on this machine."""

    default_code = "sandbox_unavailable"


class HubRefused(JobError):
    """The Hub said no, or nothing.

    Codes: `bad_token`, `missing_scope`, `no_credit`, `quota_exhausted`, `rate_limited`,
    `hub_unreachable`, `hub_closed`, `hub_refused`.
    """

    default_code = "hub_refused"


class JobTimeout(JobError):
    """A job that used up its wall-clock limit."""

    default_code = "job_timeout"


class ModelError(PacelineError):
    """The thinking model gave no usable reply."""

    exit_code = 5
    default_code = "model_failed"
    was_billed: bool | None = False
    """False: it cost nothing. None: unknown, so what was reserved counts in full."""


class BudgetExhausted(PacelineError):
    """The session may reserve no more money, device time or attempts."""

    exit_code = 6
    default_code = "budget_exhausted"


class RecordError(PacelineError):
    """The record is damaged, of another format, or refuses the write."""

    exit_code = 3
    default_code = "record_unreadable"


class VersionConflict(RecordError):
    """The record moved on since the caller read it."""

    default_code = "version_conflict"


class SessionBusy(RecordError):
    """The session is open in another process."""

    exit_code = 4
    default_code = "session_busy"


class ReplayMiss(RecordError):
    """A re-run came to something else than the record; says where and what differs first."""

    default_code = "replay_miss"


class VerificationUnavailable(PacelineError):
    """Verification refuses to start; the ride goes on, and the operator sees why.

    Codes: `no_confinement`, `pool_missing`, `pool_readable`, `pool_unwritable`, `pool_revealed`,
    `key_unusable`, `remote_verification`.
    """

    exit_code = 5
    default_code = "verification_unavailable"


class ReceiptError(PacelineError):
    """A receipt that was altered, cannot be read, or is signed by nobody we trust."""

    exit_code = 3
    default_code = "receipt_unreadable"
