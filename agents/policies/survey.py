"""What the offline riders remember of the board and the lineage, kept up to date step by step.

A fold over two folds: dropping it and reading again gives the same. Shared by all riders of a
session, so a turn costs only what is new.
"""

from collections import defaultdict

from bench.configs.engine_config import EngineConfig
from tools.record.board import Board, Message
from tools.record.lineage import Lineage, Node

ORGANISER = "organiser"


class Survey:
    """An index of who said and tried what."""

    def __init__(self, board: Board, lineage: Lineage) -> None:
        self.board = board
        self.lineage = lineage
        self.introduced: dict[str, Message] = {}
        self.attempts: defaultdict[str, list[Node]] = defaultdict(list)
        """By agent, the baseline's owner included."""
        self.configs: dict[EngineConfig, str] = {}
        self.reported: dict[tuple[str, str], int] = {}
        """(author, attempt) -> seq of the author's latest result or finding about it."""
        self.result_message: dict[str, Message] = {}
        """Attempt -> the latest result message about it."""
        self.checks: defaultdict[str, dict[str, None]] = defaultdict(dict)
        """Author -> attempts of others it announced to measure again."""
        self.answered: set[tuple[str, str]] = set()
        """(author, message) pairs: the author has replied to the message."""
        self.questioned: set[str] = set()
        """Attempts somebody asked a question about."""
        self.notices: list[Message] = []
        """What the organiser said of an attempt."""
        self.digests: list[Message] = []
        self.results_since_digest: list[Message] = []
        self._messages_read = 0
        self._nodes_read = 0
        self._unlaunched: list[Node] = []

    def update(self) -> None:
        """Read what is new."""
        nodes = self.lineage.nodes
        if len(nodes) > self._nodes_read:
            for node in list(nodes.values())[self._nodes_read :]:
                self.attempts[node.agent].append(node)
                self.configs.setdefault(node.config, node.attempt)
                self._unlaunched.append(node)
            self._nodes_read = len(nodes)
        messages = self.board.messages
        for message in messages[self._messages_read :]:
            self._read(message)
        self._messages_read = len(messages)

    def unlaunched(self) -> list[Node]:
        """Return attempts proposed and never run, oldest first."""
        self._unlaunched = [node for node in self._unlaunched if not node.runs]
        return self._unlaunched

    def _read(self, message: Message) -> None:
        author, first = message.author, message.refs[0] if message.refs else ""
        if message.type == "introduction":
            self.introduced.setdefault(author, message)
        elif message.type == "result":
            self.reported[author, first] = message.seq
            self.result_message[first] = message
            self.results_since_digest.append(message)
        elif message.type == "digest":
            self.digests.append(message)
            self.results_since_digest = []
        elif message.type == "notice" and author == ORGANISER and first in self.lineage.nodes:
            self.notices.append(message)
        elif message.type == "plan":
            node = self.lineage.nodes.get(first)
            if node and node.agent != author:
                self.checks[author].setdefault(first)
        elif message.type == "chat":
            self.questioned.update(ref for ref in message.refs if ref in self.lineage.nodes)
        elif message.type == "reply":
            self.answered.update((author, ref) for ref in message.refs)
            self.reported[author, first] = message.seq
