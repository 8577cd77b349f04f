"""An engine within a job: what keeps the job in also holds the engine, and it is kept from the job.

The job plays the harness: it has a result, a secret in its environment, and a service.
"""

import json
import sys
from pathlib import Path

import pytest

from sandbox import landlock, levels
from sandbox.job import JobSpec, Level
from sandbox.local import LocalSandbox
from tests.sandbox.battery import attacks

ROOT = Path(__file__).parents[2]
ON_THE_HARNESS = [
    *("read_a_file_outside", "list_a_folder_outside", "change_a_file_outside"),
    *("open_a_file_outside_to_all", "read_through_a_link", "link_a_file_outside"),
    *("take_a_file_outside", "forge_a_result", "read_through_the_root_of_a_process"),
    *("read_the_environment_of_every_process", "read_the_memory_of_a_process"),
    *("trace_a_process", "copy_the_memory_of_a_process", "signal_a_process"),
    *("take_a_descriptor_of_a_process", "call_a_tcp_service", "connect_to_an_abstract_socket"),
    *(
        "find_a_way_to_the_internet",
        "mount_something",
        "make_a_user_namespace",
        "keep_capabilities",
        "become_root",
    ),
]
HARNESS = """
import json, os, socket, subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from sandbox.confined import confined_argv
from sandbox.landlock import runtime_paths

place, attacks = Path.cwd(), Path(sys.argv[2])
(place / "harness").mkdir()
(place / "harness" / "result.json").write_text("{}")
for name in ("secret", "spare"):
    (place / name).write_text("x")
services = [socket.socket(socket.AF_UNIX)]
services[0].bind("\\0harness")
services[0].listen()
tcp = 1
if "tcp" in sys.argv:
    services.append(socket.create_server(("127.0.0.1", 0)))
    tcp = services[-1].getsockname()[1]
engine = place / "engine"
engine.mkdir()
setting = {
    "place": str(place), "secret": str(place / "secret"), "spare": str(place / "spare"),
    "victim": os.getpid(), "canary": "of-the-harness", "tcp": tcp, "abstract": "harness",
}
(engine / "setting.json").write_text(json.dumps(setting))
argv = (sys.executable, "-I", "-S", str(attacks), *json.loads(sys.argv[3]))
run = subprocess.Popen(
    confined_argv(argv, read=(*runtime_paths(), attacks), write=(engine,),
                  takes_network="network" in sys.argv),
    cwd=engine, env={}, stdout=subprocess.PIPE,
)
said = json.loads(run.communicate()[0])
print(json.dumps({"through": [name for name, is_through in said.items() if is_through]}))
"""


@pytest.mark.skipif(landlock.abi() < 6, reason="signals are kept in from ABI 6 on")
@pytest.mark.parametrize("network", [False, True], ids=["", "in a network of its own"])
@pytest.mark.parametrize("level", ["bubblewrap", "landlock", "none"])
async def test_an_engine_does_not_get_at_its_harness(
    level: Level, network: bool, tmp_path: Path
) -> None:
    reason = levels.why_not(level)
    if reason is not None:
        pytest.skip(reason)
    code, file = tmp_path / "job" / "code", Path(attacks.__file__)
    code.mkdir(parents=True)
    (code / "sandbox").symlink_to(ROOT / "sandbox")
    arguments = (str(code), str(file), json.dumps(ON_THE_HARNESS))
    words = ["tcp"] * (level != "landlock") + ["network"] * network
    spec = JobSpec(
        job="harness",
        argv=(sys.executable, "-I", "-c", HARNESS, *arguments, *words),
        folder=tmp_path / "job",
        environment={"TOKEN": "of-the-harness"},
        wall_seconds=60,
        readable=(file, ROOT / "sandbox", *landlock.runtime_paths()),
        connects=True,
        networks=network,
    )
    result = await (await LocalSandbox(level=level).start(spec)).result()

    assert result.exit_code == 0, result.stderr_tail
    assert json.loads(result.stdout) == {"through": []}
