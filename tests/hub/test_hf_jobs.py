"""Jobs on HF Jobs, run by the fake Hub: what travels, and what comes back."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from sandbox.errors import ConfigError, JobError
from sandbox.hf_jobs_options import job_labels, label
from sandbox.hf_jobs_parcel import pack
from tests.hub.stand import (
    FOR_EVER,
    make_options,
    make_spec,
    remote,
    stand,
)

ROOT = Path(__file__).parents[2]
SHOW = """
import json, os, sys
from pathlib import Path
asked = json.loads(Path(sys.argv[1]).read_text())
print(Path(asked["text"]).read_text(), end="")
print("a problem", file=sys.stderr)
Path("result.json").write_text(json.dumps({"asked": asked, "path": os.environ["PYTHONPATH"]}))
Path("deep").mkdir()
Path("deep/er.txt").write_text("kept")
Path(asked["cache"], "built").write_text("once")
raise SystemExit(7)
"""


def names_in(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def linked(folder: Path) -> str:
    """Lay the harness beside the job as `tools.jobs` does."""
    code = folder / "code"
    code.mkdir()
    (code / "sandbox").symlink_to(ROOT / "sandbox", target_is_directory=True)
    return str(code)


async def test_a_job_travels_and_its_outputs_come_back(folder: Path, tmp_path: Path) -> None:
    text, cache = tmp_path / "texts/public.txt", tmp_path / "cache"
    text.parent.mkdir()
    text.write_text("hello\n")
    request = folder / "request.json"
    request.write_text(json.dumps({"text": str(text), "cache": str(cache), "n": [1, None]}))
    spec = make_spec(
        folder,
        *(sys.executable, "-c", SHOW, str(request)),
        environment={"PYTHONPATH": linked(folder), "PATH": "/bin"},
        readable=(text,),
        writable=(cache,),
    )
    async with stand(tmp_path) as here:
        result = await here.run(spec)

    assert (
        *result[:2],
        result.stdout,
        result.stderr_tail,
    ) == ("exited", 7, "hello\n", "a problem\n")
    left = json.loads((folder / "result.json").read_text())
    assert left["path"] == "/paceline/harness"
    assert left["asked"]["text"] == "/paceline/input/public.txt"
    assert (folder / "deep/er.txt").read_text() == "kept"
    assert (folder / "stderr.txt").read_text() == "a problem\n"
    assert json.loads(request.read_text())["text"] == str(text)  # ours is as it was


async def test_what_it_waited_ran_and_cost_lies_beside_it(folder: Path, tmp_path: Path) -> None:
    async with stand(tmp_path, flavor="a10g-small") as here:
        await here.run(make_spec(folder, "sleep", "1.1"))
        url = here.fake.endpoint
    found = remote(folder)

    assert found["usd_per_hour"] == pytest.approx(1.0)
    assert found["durations"]["running_seconds"] == 1
    assert found["usd"] == pytest.approx(1 / 3600)
    assert [one["stage"] for one in found["stages"]][-1] == "COMPLETED"
    assert found["url"].startswith(url)
    assert (found["flavor"], found["try"], found["adopted"]) == ("a10g-small", 1, False)


async def test_the_harness_and_the_package_import_there(folder: Path, tmp_path: Path) -> None:
    code = "import sandbox.hub; print(sandbox.__file__)"
    spec = make_spec(folder, sys.executable, "-c", code, environment={"PYTHONPATH": linked(folder)})
    async with stand(tmp_path) as here:
        result = await here.run(spec)
        again = await here.run(spec.model_copy(update={"job": "ann-0002-1"}))
        uploads = [one.path for one in here.fake.buckets.entries("paceline/jobs", "harness/")]

    assert result.stdout == again.stdout == "/paceline/harness/sandbox/__init__.py\n"
    assert len(uploads) == len({path.split("/", 2)[2] for path in uploads})  # sent once


async def test_root_of_a_container_does_not_count_as_root(folder: Path, tmp_path: Path) -> None:
    """It may not become other users, so a harness there keeps its engine in by Landlock alone."""
    code = "from sandbox import identity; print(identity.can_choose())"
    environment = {"PYTHONPATH": linked(folder)}
    async with stand(tmp_path) as here:
        result = await here.run(
            make_spec(folder, sys.executable, "-c", code, environment=environment)
        )

    assert result.stdout == "False\n"


async def test_no_secret_is_anywhere_in_what_a_job_sees(folder: Path, tmp_path: Path) -> None:
    look = "env; cat /proc/*/environ /proc/*/cmdline; cat /etc/hosts; find / -xdev -name '*.json'"
    read = "find /paceline /tmp -type f -exec cat {} +"
    async with stand(tmp_path) as here:
        (tmp_path / "token").write_text(here.fake.token)
        spec = make_spec(folder, "sh", "-c", f"({look}; {read}) 2>/dev/null; cat {tmp_path}/token")
        result = await here.run(spec)
        seen = str(here.fake.jobs()[0].info())
        token = here.fake.token

    assert "PWD=" in result.stdout  # it did look
    assert token not in result.stdout + result.stderr_tail + seen
    assert result.exit_code != 0


async def test_a_token_in_the_job_is_refused_before_anything_starts(
    folder: Path, tmp_path: Path
) -> None:
    async with stand(tmp_path) as here:
        spec = make_spec(folder, environment={"HF_TOKEN": here.fake.token})
        with pytest.raises(ConfigError, match="token") as caught:
            await here.sandbox.start(spec)

        assert caught.value.code == "secret_in_job"
        assert here.fake.jobs() == []


async def test_inputs_are_read_only_and_the_rest_of_this_machine_is_out_of_sight(
    folder: Path, tmp_path: Path
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for one in (mine, other):
        one.mkdir()
        (one / "x").write_text("x")
    script = 'cat "$1/x" && ! (echo y > "$1/x") 2>/dev/null && ! cat "$2/x" 2>/dev/null'
    spec = make_spec(folder, "sh", "-c", script, "sh", str(mine), str(other), readable=(mine,))
    async with stand(tmp_path) as here:
        result = await here.run(spec)

    assert (result.exit_code, result.stdout) == (0, "x")


async def test_a_kept_cache_outlasts_a_job(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    script = 'cat "$1/built" 2>/dev/null; echo built > "$1/built"'
    spec = make_spec(folder, "sh", "-c", script, "sh", str(cache), writable=(cache,))
    outputs = []
    for keeps in (True, False):
        async with stand(tmp_path / str(keeps), keeps_cache=keeps) as here:
            for job in ("one", "two"):
                result = await here.run(spec.model_copy(update={"job": job}))
                outputs.append(result.stdout)

    assert outputs == ["", "built\n", "", ""]


async def test_a_running_job_prints_into_its_folder(folder: Path, tmp_path: Path) -> None:
    async with stand(tmp_path) as here:
        job = await here.sandbox.start(make_spec(folder, *FOR_EVER))
        file = folder / "stdout.txt"
        async with asyncio.timeout(10):
            while not file.exists() or not file.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await job.cancel()

    assert file.read_text() == "here\n"


@pytest.mark.parametrize(
    "script",
    [
        "printf x > 'a\nb'",
        "mkdir -p 'x\x07y' && touch 'x\x07y/z'",
    ],
)
async def test_a_file_with_a_wicked_name_is_not_fetched(
    folder: Path, tmp_path: Path, script: str
) -> None:
    """Names that do not print are not even listed by the fake; the real Hub may."""
    async with stand(tmp_path) as here:
        result = await here.run(make_spec(folder, "sh", "-c", f"{script}; echo ok"))

    assert result.stdout == "ok\n"
    assert names_in(folder) == {"stdout.txt", "stderr.txt", "remote.json"}


async def test_an_output_does_not_pass_through_a_link_here(folder: Path, tmp_path: Path) -> None:
    """The job's folder holds links to our own code."""
    target = tmp_path / "ours"
    target.mkdir()
    (folder / "code").symlink_to(target)
    script = "mkdir code; echo evil > code/evil.py; echo good > good.txt"
    async with stand(tmp_path) as here:
        await here.run(make_spec(folder, "sh", "-c", script))

    assert list(target.iterdir()) == []
    assert (folder / "good.txt").read_text() == "good\n"


async def test_a_link_that_the_job_leaves_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    script = f"ln -s {tmp_path}/secret a; ln -s /etc/passwd b"
    async with stand(tmp_path) as here:
        result = await here.run(make_spec(folder, "sh", "-c", script))

    assert result.exit_code == 0
    assert not (folder / "a").exists()


async def test_more_output_than_allowed_is_not_fetched(folder: Path, tmp_path: Path) -> None:
    async with stand(tmp_path, output_bytes=1000) as here:
        result = await here.run(make_spec(folder, "sh", "-c", "head -c 2000 /dev/zero > x"))

    assert (result.end, result.code) == ("lost", "too_much_output")
    assert not (folder / "x").exists()


async def test_a_file_beyond_its_cap_is_not_written(folder: Path, tmp_path: Path) -> None:
    spec = make_spec(folder, "sh", "-c", "head -c 99999 /dev/zero > x", file_bytes=4096)
    async with stand(tmp_path) as here:
        await here.run(spec)

    assert (folder / "x").stat().st_size == 4096


def test_what_needs_this_machine_is_refused(folder: Path) -> None:
    for changes in ({"readable": None}, {"folder_bytes": 1 << 20}):
        with pytest.raises(JobError) as caught:
            pack(make_spec(folder, **changes), make_options())
        assert caught.value.code == "not_remote"


def test_weights_are_not_sent_along(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"0" * 5000)
    spec = make_spec(folder, readable=(tmp_path / "model.gguf",))

    with pytest.raises(JobError, match=r"'model\.gguf'") as caught:
        pack(spec, make_options(input_bytes=4096))
    assert caught.value.code == "too_much_input"


def test_python_and_the_system_are_not_sent(folder: Path, tmp_path: Path) -> None:
    from sandbox.landlock import runtime_paths  # noqa: PLC0415

    readable = (*runtime_paths(), Path("/usr/lib"), Path("/etc/passwd"), tmp_path / "none")

    assert pack(make_spec(folder, readable=readable), make_options()).inputs == {}


def test_neighbours_stay_neighbours(folder: Path, tmp_path: Path) -> None:
    """A challenge names its texts by where they lie beside it."""
    for name in ("race/challenge.toml", "race/texts/a.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    readable = (tmp_path / "race/challenge.toml", tmp_path / "race/texts/a.jsonl")

    assert set(pack(make_spec(folder, readable=readable), make_options()).inputs) == {
        "challenge.toml",
        "texts/a.jsonl",
    }


@pytest.mark.parametrize("text", ["a.b/c", "x" * 200, "ä", "a b"])
def test_labels_are_what_the_hub_takes_and_stay_apart(text: str) -> None:
    made = label(text)

    assert len(made) <= 80
    assert made.replace("-", "").replace("_", "").replace("=", "").isalnum()
    assert made != label(f"{text}x")
    assert label("plain-1_x") == "plain-1_x"
    assert job_labels("s", "j", 2) == {"paceline": "1", "session": "s", "job": "j", "try": "2"}


def test_an_image_is_pinned_by_its_digest() -> None:
    digest = f"vllm/vllm-openai@sha256:{'0' * 64}"

    assert make_options(image=digest).image == digest
    with pytest.raises(ValueError, match="image"):
        make_options(image="vllm/vllm-openai:latest")


async def test_an_unknown_flavor_names_those_there_are(tmp_path: Path) -> None:
    async with stand(tmp_path, flavor="a10g-huge") as here:
        with pytest.raises(ConfigError, match=r"a10g-small \(\$1\.00/h\)") as caught:
            await here.sandbox.check()
    assert caught.value.code == "unknown_flavor"


async def test_the_check_says_what_the_flavor_costs(tmp_path: Path) -> None:
    async with stand(tmp_path, flavor="a10g-small") as here:
        found = await here.sandbox.check()

        assert (found.usd_per_hour, found.accelerator) == (pytest.approx(1.0), "A10G")
        assert here.fake.buckets.exists("paceline/jobs")
        assert (here.sandbox.level, here.sandbox.confines) == ("container", False)


async def test_the_container_is_prepared_first(folder: Path, tmp_path: Path) -> None:
    async with stand(tmp_path, prepare="echo ready > /tmp/ready") as here:
        result = await here.run(make_spec(folder, "cat", "/tmp/ready"))
    async with stand(tmp_path / "2", prepare="echo no such package; false") as here:
        failed = await here.run(make_spec(folder))

    assert result.stdout == "ready\n"
    assert (failed.end, failed.code, failed.stdout) == ("lost", "not_prepared", "no such package\n")


async def test_models_are_mounted_for_every_job(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/config.json").write_text("{}")
    model = {"repository": "google/gemma", "revision": "abc", "mount_path": "/models/g"}
    known = {"models": {"google/gemma": tmp_path / "weights"}}
    async with stand(tmp_path, fake=known, models=[model]) as here:
        result = await here.run(make_spec(folder, "cat", "/models/g/config.json"))
        volumes = here.fake.jobs()[0].order.body["volumes"]

    assert result.stdout == "{}"
    assert {"google/gemma", "paceline/jobs"} == {one["source"] for one in volumes}
    assert [one["revision"] for one in volumes if one["type"] == "model"] == ["abc"]
