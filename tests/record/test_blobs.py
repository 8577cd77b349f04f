"""Content beside the record: stored once, found again, never taken for something else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import RecordError
from tools.record.blobs import FILE, Blobs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / FILE


def test_what_was_put_comes_back_in_another_process(file: Path) -> None:
    name = Blobs(file).put("a prompt")

    assert Blobs(file).get(name) == b"a prompt"


def test_the_same_content_is_stored_once(file: Path) -> None:
    Blobs(file).put(b"rules" * 1000)
    size = file.stat().st_size
    Blobs(file).put(b"rules" * 1000)

    assert file.stat().st_size == size


def test_a_list_comes_back_part_by_part(file: Path) -> None:
    blobs = Blobs(file)

    assert list(blobs.get_list(blobs.put_list(["tools", "", "tools"]))) == ["tools", "", "tools"]


@pytest.mark.parametrize("size", [0, 1, 32_768, 32_769, 300_000])
def test_content_of_any_size_comes_back(file: Path, size: int) -> None:
    content = bytes(number * number % 251 for number in range(size))

    assert Blobs(file).get(Blobs(file).put(content)) == content


def test_a_list_and_its_new_parts_are_written_behind_what_a_kill_tore(file: Path) -> None:
    Blobs(file).put("whole")
    with file.open("ab") as pack:
        pack.write(b"torn")
    blobs = Blobs(file)
    name = blobs.put_list(["whole", "new", "new"])

    assert list(Blobs(file).get_list(name)) == ["whole", "new", "new"]
    assert len(blobs.names()) == 3


def test_looking_for_a_blob_makes_no_file(file: Path) -> None:
    with pytest.raises(RecordError) as caught:
        Blobs(file).get("0" * 64)

    assert caught.value.code == "blob_missing"
    assert not file.exists()


def test_a_reader_sees_what_the_writer_adds(file: Path) -> None:
    writer, reader = Blobs(file), Blobs(file)
    writer.put("first")
    assert "0" * 64 not in reader

    assert reader.get(writer.put("second")) == b"second"


def test_a_changed_byte_is_found(file: Path) -> None:
    name = Blobs(file).put("a prompt of some length")
    whole = bytearray(file.read_bytes())
    whole[-3] ^= 1
    file.write_bytes(bytes(whole))

    with pytest.raises(RecordError) as caught:
        Blobs(file).get(name)
    assert caught.value.code == "blob_damaged"


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=8), st.integers(1, 400))
def test_a_torn_entry_costs_nothing_but_itself(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], torn: int
) -> None:
    file = tmp_path_factory.mktemp("torn") / FILE
    blobs, ends = Blobs(file), []
    for content in contents:
        blobs.put(content)
        ends.append(file.stat().st_size)
    kept = max(0, ends[-1] - torn)
    file.write_bytes(file.read_bytes()[:kept])

    again = Blobs(file)
    names = [again.put(content) for content in contents]
    assert [again.get(name) for name in names] == contents
    assert [Blobs(file).get(name) for name in names] == contents
