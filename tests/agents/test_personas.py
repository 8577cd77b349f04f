"""Persona files: what is read, what is refused and in which words, and who rides."""

import textwrap
from pathlib import Path
from typing import get_args

import pytest

from agents.library import SHIPPED, check_file, find_personas, load_personas, new_persona_text
from agents.persona import Policy
from agents.persona_file import LARGEST_FILE_BYTES, parse_persona, read_persona
from sandbox.errors import ConfigError

EXAMPLES = Path(__file__).parents[2] / "examples"

NATIVE = """\
---
name: code-reviewer
description: "Use PROACTIVELY after changes. Example: reviews a diff."
tools: Read, Grep, Glob, mcp__github__get_issue
disallowedTools: [Write, Edit]
model: sonnet
permissionMode: plan
maxTurns: 12
skills: [style]
mcpServers:
  - github
hooks: {Stop: []}
memory: project
background: true
effort: high
isolation: worktree
color: cyan
---
You are a reviewer.
"""


def write(folder: Path, name: str, *lines: str, file: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{file or name}.md"
    header = "\n".join([f"name: {name}", "description: rides", *lines])
    path.write_text(f"---\n{header}\n---\nYou are {name}.\n", encoding="utf-8")
    return path


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse_persona(textwrap.dedent(text), where="x.md")
    return str(error.value)


def names(root: Path, spec: str | None, count: int) -> list[str]:
    return [rider.agent_name for rider in load_personas(spec, count=count, root=root)]


def test_a_claude_code_subagent_file_works_as_it_is() -> None:
    persona = parse_persona(NATIVE, where="x.md")

    assert (persona.name, persona.model, persona.max_turns) == ("code-reviewer", "sonnet", 12)
    assert persona.x_paceline.policy == "explorer"
    assert persona.prompt == "You are a reviewer."


def test_tools_of_another_program_leave_all_our_verbs() -> None:
    assert parse_persona(NATIVE, where="x.md").tools is None


@pytest.mark.parametrize("tools", ["read_board, claim, Bash", "[read_board, claim, Bash]"])
def test_verbs_are_granted_by_comma_string_or_list(tmp_path: Path, tools: str) -> None:
    persona = read_persona(write(tmp_path, "mira", f"tools: {tools}"))

    assert persona.tools == ("read_board", "claim")


def test_an_empty_list_of_tools_grants_nothing(tmp_path: Path) -> None:
    assert read_persona(write(tmp_path, "mira", "tools: []")).tools == ()


def test_a_key_left_empty_keeps_its_default(tmp_path: Path) -> None:
    persona = read_persona(write(tmp_path, "mira", "tools:", "x-paceline:", "  budget:"))

    assert persona.tools is None
    assert persona.x_paceline.budget is None


def test_a_misspelt_native_key_names_the_nearest() -> None:
    said = refusal("---\nname: mira\ndescription: d\ndisalowedTools: Bash\n---\n")

    assert said == "x.md:4: unknown key 'disalowedTools'; did you mean 'disallowedTools'?"


def test_a_misspelt_key_of_ours_names_the_nearest() -> None:
    said = refusal("---\nname: mira\ndescription: d\nx-paceline:\n  policies: tuner\n---\n")

    assert said == "x.md:5: unknown key 'policies' in x-paceline; did you mean 'policy'?"


def test_a_key_of_ours_at_the_top_is_told_where_it_belongs() -> None:
    said = refusal("---\nname: mira\ndescription: d\npolicy: tuner\n---\n")

    assert said == "x.md:4: unknown key 'policy'; it belongs under 'x-paceline'"


def test_a_misspelt_verb_names_the_nearest() -> None:
    said = refusal("---\nname: mira\ndescription: d\ntools: read_boards\n---\n")

    assert said == "x.md:4: tools: did you mean 'read_board'?"


def test_a_misspelt_focus_names_the_nearest() -> None:
    said = refusal("---\nname: m\ndescription: d\nx-paceline:\n  focus: weights.haed\n---\n")

    assert "x.md:5: x-paceline.focus" in said
    assert "did you mean 'weights.head'?" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("You are Mira.\n", "x.md:1: a persona file starts with '---'"),
        ("---\nname: mira\n", "x.md:1: the front matter has no closing '---'"),
        ("---\nname: [mira\n---\n", "x.md:3: front matter is not YAML"),
        ("---\nname: mira\ndescription: a: b\n---\n", "x.md:3: front matter is not YAML"),
        ("---\nborn: 2026-13-45\n---\n", "x.md:1: front matter is not YAML: month must be"),
        ("---\n- mira\n---\n", "front matter must be 'key: value' lines"),
        ("---\nname: mira\n---\n", "x.md:1: description: Field required"),
        ("---\nname: Mira Q\ndescription: d\n---\n", "x.md:2: name = 'Mira Q': a name is"),
        ("---\nname: lane\ndescription: d\n---\n", "x.md:2: name = 'lane': 'lane' means"),
        ("---\nname: 7\ndescription: d\n---\n", "x.md:2: name = 7: Input should be"),
        ("---\nname: m\ndescription: d\nmaxTurns: 0\n---\n", "x.md:4: maxTurns = 0"),
        ("---\nname: m\ndescription: d\ntools: 3\n---\n", "x.md:4: tools = 3"),
        ("---\nname: m\ndescription: d\nx-paceline: fast\n---\n", "x.md:4: x-paceline = 'fast'"),
        (
            "---\nname: m\ndescription: d\nx-paceline:\n  temperature: 3\n---\n",
            "x.md:5: x-paceline.temperature = 3: Input should be less than or equal to 2",
        ),
        (
            "---\nname: m\ndescription: d\nx-paceline:\n  policy: climbr\n---\n",
            "x.md:5: x-paceline.policy = 'climbr'",
        ),
    ],
)
def test_a_broken_file_is_one_sentence_with_its_line(text: str, said: str) -> None:
    message = refusal(text)

    assert said in message
    assert "\n" not in message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_bytes(b"---\nname: \xff\n---\n")

    assert [f"{path}: not UTF-8 at byte 10"] == check_file(path)


def test_a_file_too_large_for_a_persona_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_bytes(b"-" * (LARGEST_FILE_BYTES + 1))

    assert "a persona has at most" in check_file(path)[0]


def test_check_lists_every_problem_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "mira", "colour: red", "maxTurns: 0", "x-paceline: {policies: tuner}")

    assert [
        next(key for key in ("colour", "policies", "maxTurns") if key in problem)
        for problem in check_file(path)
    ] == ["colour", "policies", "maxTurns"]


def test_shipped_personas_are_sound_and_cover_every_policy() -> None:
    shipped = [read_persona(path) for path in sorted(SHIPPED.glob("*.md"))]

    assert len(shipped) >= 20
    assert set(get_args(Policy)) - {"cheat"} == {one.x_paceline.policy for one in shipped}
    assert all(persona.prompt and persona.x_paceline.role for persona in shipped)


def test_a_shipped_file_is_named_after_its_persona() -> None:
    for path in SHIPPED.glob("*.md"):
        assert path.stem == read_persona(path).name


def test_the_first_nine_riders_follow_nine_policies(tmp_path: Path) -> None:
    riders = load_personas(count=9, root=tmp_path)

    assert len({rider.persona.x_paceline.policy for rider in riders}) == 9


def test_the_example_is_short_and_rides(tmp_path: Path) -> None:
    example = EXAMPLES / "zoe.md"

    assert len(example.read_text("utf-8").splitlines()) <= 25
    assert names(tmp_path, str(example), 2) == ["zoe", "zoe-2"]


def test_a_new_persona_is_short_and_sound() -> None:
    text = new_persona_text("zoe")

    assert text.count("\n") <= 25
    assert parse_persona(text, where="zoe.md").name == "zoe"


def test_a_new_persona_needs_a_usable_name() -> None:
    with pytest.raises(ConfigError, match="a name is 1 to 40"):
        new_persona_text("Zoe Q")


def test_a_file_found_earlier_hides_a_later_namesake(tmp_path: Path) -> None:
    write(tmp_path / "personas", "ada", "model: ours")
    write(tmp_path / ".claude" / "agents", "ada", "model: later")
    write(tmp_path / ".claude" / "agents", "yara")

    found = {one.persona.name: one for one in find_personas(tmp_path)}

    assert (found["ada"].persona.model, found["ada"].origin) == ("ours", "./personas")
    assert (found["yara"].origin, found["boris"].origin) == ("./.claude/agents", "shipped")


def test_an_installed_package_brings_personas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "my_riders_for_a_test", "wanda")
    (tmp_path / "my_riders_for_a_test" / "__init__.py").touch()
    info = tmp_path / "my_riders-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-riders\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[paceline.personas]\nmine = my_riders_for_a_test\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert names(tmp_path / "nothing-here", "wanda", 1) == ["wanda"]


def test_an_entry_point_without_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "my_riders-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-riders\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[paceline.personas]\nmine = not_there_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ConfigError, match=r"entry point 'mine'.*'not_there_at_all'"):
        find_personas(tmp_path)


def test_a_given_folder_rides_alone_and_in_order_of_its_files(tmp_path: Path) -> None:
    write(tmp_path / "mine", "zed", file="1")
    write(tmp_path / "mine", "abe", file="2")
    (tmp_path / "mine" / "README.md").write_text("not a persona")

    assert names(tmp_path, "mine", 5) == ["zed", "abe", "zed-2", "abe-2", "zed-3"]


def test_names_files_and_folders_mix(tmp_path: Path) -> None:
    path = write(tmp_path, "zed")

    assert names(tmp_path, f"boris, {path} ,ada", 3) == ["boris", "zed", "ada"]


def test_count_joins_before_others_repeat(tmp_path: Path) -> None:
    write(tmp_path / "mine", "abe", "x-paceline: {count: 2}")
    write(tmp_path / "mine", "zed")

    assert names(tmp_path, "mine", 5) == ["abe", "abe-2", "zed", "abe-3", "zed-2"]


def test_a_copy_never_takes_another_personas_name(tmp_path: Path) -> None:
    write(tmp_path / "mine", "abe", "x-paceline: {count: 2}")
    write(tmp_path / "mine", "abe-2")

    assert names(tmp_path, "mine", 4) == ["abe", "abe-3", "abe-2", "abe-4"]


def test_a_thousand_agents_have_a_thousand_names(tmp_path: Path) -> None:
    assert len(set(names(tmp_path, None, 1000))) == 1000


def test_an_unknown_persona_lists_the_known_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_personas("borris", count=1, root=tmp_path)

    assert error.value.code == "unknown_persona"
    assert "unknown persona 'borris'. Did you mean 'boris'? Known are: ada, boris," in str(
        error.value
    )


@pytest.mark.parametrize(
    ("spec", "said"),
    [("./nobody.md", "nobody.md: No such file"), (",", "names no persona"), ("empty", "names no")],
)
def test_a_spec_that_names_nobody_is_refused(tmp_path: Path, spec: str, said: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(ConfigError, match=said):
        load_personas(spec, count=1, root=tmp_path)


def test_nobody_rides_in_a_field_of_zero(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="agents = 0: at least 1 rides"):
        load_personas(count=0, root=tmp_path)
