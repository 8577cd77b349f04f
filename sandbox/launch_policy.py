"""What the launcher is told, as arguments: `key=value ... -- command`.

Loaded by a bare interpreter, so no `typing.NamedTuple` and no `json` (5 and 8 ms).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # see sandbox.landlock
    from collections.abc import Iterable

END = "--"


class Policy:
    """How to keep one job in; see `JobSpec` for the meaning of its limits."""

    def __init__(self) -> None:
        self.level = "none"
        self.folder = "."
        self.user: int | None = None
        """Become it; None = stay who we are."""
        self.status: int | None = None
        """Descriptor to report the exit code on."""
        self.copy: int | None = None
        """Descriptor of the real folder, where the job works on a copy of it."""
        self.read: list[str] = []
        self.write: list[str] = []
        self.scratch: list[str] = []
        """More folders in memory, whose files are counted."""
        self.late: list[str] = []
        """`NAME=TEXT` to add to the job's environment, not to our own."""
        self.group: int | None = None
        """Descriptor of the job's control group, where a process can be started in it."""
        self.doors: list[str] = []
        """Descriptors to write `0` to, to be in that group."""
        self.events: list[str] = []
        """Descriptors of that group's events, for `cgroup_events.limit_hit`."""
        self.internet = False
        self.connects = False
        self.networks = False
        """Whether it may make networks of its own for what it starts."""
        self.interfaces = False
        """Whether it may ask which network interfaces there are."""
        self.own_network = False
        """Take one first; only of `confined`."""
        self.cpu_seconds: int | None = None
        self.processes = 1024
        self.open_files = 1024
        self.file_bytes = 8 << 30
        self.bytes = 0
        """Of the copied `folder`."""
        self.files = 0
        """Of each folder in memory; 0 = not counted."""


_LISTS = ("read", "write", "scratch", "late", "doors", "events")
_TEXTS = ("level", "folder")
_FLAGS = ("internet", "connects", "networks", "interfaces", "own_network")


def arguments(fields: Iterable[tuple[str, object]]) -> list[str]:
    """Return the launcher's arguments, before the command."""
    return [*(f"{name}={value}" for name, value in fields if value is not None), END]


def parsed(given: list[str]) -> tuple[Policy, list[str]]:
    """Return the policy and the command of `arguments(...)` and what followed them."""
    policy = Policy()
    end = given.index(END)
    for one in given[:end]:
        name, value = one.split("=", 1)
        if name in _LISTS:
            vars(policy)[name].append(value)
        elif name in _TEXTS:
            vars(policy)[name] = value
        elif name in _FLAGS:
            vars(policy)[name] = value == "True"
        else:
            vars(policy)[name] = int(value)
    return policy, given[end + 1 :]
