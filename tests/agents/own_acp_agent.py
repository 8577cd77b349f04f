"""An agent of our own that speaks ACP; run as a program: `own_acp_agent.py [MANNER]`.

Nothing but the standard library. Without a manner it plays well; the others are ways to fail.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MANNER = sys.argv[1] if len(sys.argv) > 1 else "well"


class Tools:
    """The tools we were given, as an MCP client sees them."""

    def __init__(self, server: dict[str, Any]) -> None:
        variables = {one["name"]: one["value"] for one in server["env"]}
        self._process = subprocess.Popen(
            [server["command"], *server["args"]],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._number = 0
        self.request("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}})
        self.names = [tool["name"] for tool in self.request("tools/list", {})["tools"]]

    def send(self, method: str, params: dict[str, Any]) -> int:
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return self._number

    def receive(self) -> Any:
        return json.loads(self._process.stdout.readline())["result"]

    def request(self, method: str, params: dict[str, Any]) -> Any:
        self.send(method, params)
        return self.receive()

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        answer = self.request("tools/call", {"name": name, "arguments": arguments})
        return answer["structuredContent"]


def tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def update(**fields: Any) -> None:
    tell({"method": "session/update", "params": {"sessionId": "s", "update": fields}})


def say(text: str) -> None:
    content = {"type": "text", "text": text}
    update(sessionUpdate="agent_message_chunk", content=content)


def may_i(title: str) -> str:
    """Ask for leave to use a tool; return the chosen option or `cancelled`."""
    options = [
        {"optionId": "yes", "name": "Yes", "kind": "allow_once"},
        {"optionId": "no", "name": "No", "kind": "reject_once"},
    ]
    call = {"toolCallId": "1", "title": title}
    params = {"sessionId": "s", "toolCall": call, "options": options}
    tell({"id": 900, "method": "session/request_permission", "params": params})
    outcome = json.loads(sys.stdin.readline())["result"]["outcome"]
    return outcome.get("optionId", "cancelled")


def play(tools: Tools, turn: int) -> None:
    """Read the board, propose, launch, post."""
    say("I look first. ")
    update(sessionUpdate="tool_call", toolCallId="1", title="mcp__paceline__read_board")
    update(sessionUpdate="tool_call", toolCallId="2", title="cat notes.txt", kind="read")
    tools.call("read_board")
    changes = {"batch_tokens": 64 + turn + os.getpid() % 1000}
    made = tools.call("propose_config", parent="a0000", changes=changes, hypothesis="a number")
    if "attempt" in made:
        tools.call("launch_benchmark", attempt=made["attempt"])
    tools.call("post_message", body=f"turn {turn} from {Path.cwd()}", type="chat")
    say("Proposed and launched.")


def break_down(tools: Tools) -> None:
    """Fail, in one of many ways."""
    match MANNER:
        case "dies":
            sys.stderr.write("out of luck\n")
            sys.exit(3)
        case "hangs":
            subprocess.Popen(["sleep", "600"])
            time.sleep(600)
        case "floods":
            while True:
                say("x" * 100_000)
        case "rubbish":
            sys.stdout.write("what is this\n" * 100)
            sys.stdout.flush()
            time.sleep(600)
        case "huge":
            sys.stdout.write("x" * (5 << 20))
            sys.stdout.flush()
            time.sleep(600)
        case "loops":
            while True:
                tools.call("rm_rf", path="/")


def try_out(tools: Tools) -> None:
    """See what is allowed."""
    match MANNER:
        case "unknown":
            say(tools.call("rm_rf", path="/")["code"])
            say(tools.call("post_messag")["hint"])
        case "greedy":
            codes = [tools.call("read_board").get("code") for _ in range(30)]
            say(f"{codes.count(None)} done, then {codes[-1]}")
        case "parallel":
            for n in range(3):
                arguments = {"body": f"post {n}", "type": "chat"}
                tools.send("tools/call", {"name": "post_message", "arguments": arguments})
            say(str([tools.receive()["isError"] for _ in range(3)].count(False)))
        case "asks":
            say(f"{may_i('mcp__paceline__post_message')} {may_i('rm -rf /')}")
        case "looks":
            say(json.dumps({"env": sorted(os.environ), "args": sys.argv[2:]}))
            for path in sys.argv[2:]:
                try:
                    Path(path).read_bytes()
                    say(f" read {path}")
                except OSError as error:
                    say(f" {error.strerror}")


def main() -> None:
    """Serve the client."""
    tools, turn = None, 0
    for line in sys.stdin:
        request = json.loads(line)
        match request.get("method"):
            case "initialize":
                result: dict[str, Any] = {"protocolVersion": 1, "agentCapabilities": {}}
            case "session/new":
                if MANNER == "refuses":
                    error = {"code": -32000, "message": "Authentication required"}
                    tell({"id": request["id"], "error": error})
                    continue
                tools = Tools(request["params"]["mcpServers"][0])
                result = {"sessionId": "s"}
            case "session/prompt":
                if MANNER == "well" and "propose_config" in tools.names:
                    play(tools, turn)
                break_down(tools)
                try_out(tools)
                turn += 1
                usage = {"totalTokens": 15, "inputTokens": 10, "outputTokens": 5}
                result = {"stopReason": "end_turn", "usage": usage}
            case _:
                continue
        tell({"id": request["id"], "result": result})
        if MANNER == "late" and turn:  # its turn is over
            answer = tools.call("post_message", body="late")
            Path("answer.txt").write_text(answer["code"])


if __name__ == "__main__":
    main()
