"""Files that an import reads: packed, damaged, cut off, hostile, in another encoding, and pipes."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session_sqlite import InvalidInputError, SessionError, SQLiteSessionService
from session_sqlite.transfer.importers import json_files

MEMORY = 512 * 1024 * 1024
SECONDS = 60  # far more than it takes: the machine may be busy. The bombs took minutes, and would take hours


@pytest.fixture
def service() -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(":memory:") as service:
        yield service


def chat(number: int, text: str = "") -> dict[str, Any]:
    return {"id": f"chat-{number}", "messages": [{"role": "user", "content": text or f"Question {number}"}]}


def chats(count: int) -> list[dict[str, Any]]:
    return [chat(number) for number in range(count)]


def contents(service: SQLiteSessionService) -> set[str]:
    return {row["content"] for row in service.query("SELECT content FROM events")}


# ---------------------------------------------------------------- what follows, what is missing


@pytest.mark.parametrize("rest", ["[{}]", "]", ", 7", "x", '{"messages": []}', "\n\n  words"])
def test_what_follows_the_end_of_a_list_is_reported(service: SQLiteSessionService, rest: str) -> None:
    report = service.import_(io.StringIO(json.dumps(chats(3)) + rest))
    assert (report.sessions, report.skipped_count) == (3, 1)
    assert "follows" in report.skipped[0].reason
    assert f"{len(rest.strip())} bytes" in report.skipped[0].reason


def test_white_space_after_the_end_is_nothing(service: SQLiteSessionService) -> None:
    report = service.import_(io.StringIO("\n " + json.dumps(chats(3)) + " \r\n\t\n"))
    assert (report.sessions, report.skipped_count) == (3, 0)


def test_documents_one_after_the_other_all_come(service: SQLiteSessionService) -> None:
    text = "\n".join(json.dumps(one, indent=2) for one in chats(3))
    report = service.import_(io.StringIO(text))
    assert (report.sessions, report.skipped_count) == (3, 0)
    report = service.import_(io.StringIO(json.dumps(chat(7), indent=2) + "\nand a word"))
    assert (report.sessions, report.skipped_count) == (1, 1)
    assert "follows" in report.skipped[0].reason


@pytest.mark.parametrize("end", [0, 1, 2, 10, 30])
def test_a_list_that_is_cut_off_says_so_and_gives_what_is_whole(service: SQLiteSessionService, end: int) -> None:
    text = json.dumps(chats(5))
    whole = text.rindex(', {"id"')
    report = service.import_(io.StringIO(text[: whole + end]))
    assert report.sessions == 4
    assert report.skipped_count >= 1
    assert "ends in the middle" in report.skipped[-1].reason


def test_lines_that_are_cut_off_say_so(service: SQLiteSessionService) -> None:
    lines = [json.dumps(one) for one in chats(3)]
    report = service.import_(io.StringIO("\n".join([*lines[:2], lines[2][:40]])))
    assert (report.sessions, report.skipped_count) == (2, 1)
    assert report.skipped[0].where == "line 3"
    assert "ends in the middle" in report.skipped[0].reason


def packed(data: bytes, *, method: int = zipfile.ZIP_DEFLATED, name: str = "conversations.json") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def noise(count: int) -> bytes:
    """Chats that do not pack well."""
    words = random.Random(7)
    return json.dumps([chat(number, words.randbytes(400).hex()) for number in range(count)]).encode()


def damaged(data: bytes, at: float) -> bytes:
    place = int(len(data) * at)
    return data[:place] + bytes(255 - byte for byte in data[place : place + 40]) + data[place + 40 :]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_damaged_zip_reports_that_something_is_missing_or_wrong(service: SQLiteSessionService, method: int) -> None:
    report = service.import_(io.BytesIO(damaged(packed(noise(3000), method=method), 0.5)))
    assert 0 < report.sessions <= 3000
    assert report.skipped_count >= 1
    assert any("could not be read" in fault.reason for fault in report.skipped)


def test_a_checksum_is_verified_although_the_list_ended_before(service: SQLiteSessionService) -> None:
    data = bytearray(packed(noise(100), method=zipfile.ZIP_STORED))
    place = data.index(b"content") + 12
    data[place : place + 3] = b"xyz"
    report = service.import_(io.BytesIO(bytes(data)))
    assert report.sessions > 50
    assert any("damaged" in fault.reason for fault in report.skipped)


def test_a_member_among_several_that_is_cut_off_or_damaged_is_named(service: SQLiteSessionService) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("conversations-000.json", json.dumps(chats(3))[:-30])
        archive.writestr("conversations-001.json", "")
        archive.writestr("conversations-002.json", json.dumps([chat(number) for number in (7, 8)]))
        archive.writestr("__MACOSX/conversations.json", b"\0\1\2")
        archive.writestr("._conversations.json", b"\0\1\2")
    report = service.import_(io.BytesIO(file.getvalue()))
    assert report.sessions == 4
    assert {fault.where.split(",")[0] for fault in report.skipped} == {
        "conversations-000.json", "conversations-001.json",
    }  # fmt: skip
    assert any("is empty" in fault.reason for fault in report.skipped)


@pytest.mark.parametrize("at", [0.3, 0.6, 0.99])
def test_a_gzip_that_is_cut_off_or_damaged_gives_what_is_before(service: SQLiteSessionService, at: float) -> None:
    data = gzip.compress(noise(3000))
    report = service.import_(io.BytesIO(data[: int(len(data) * at)]))
    assert 0 < report.sessions < 3000 or at > 0.9
    assert any("could not be read" in fault.reason for fault in report.skipped)


# ---------------------------------------------------------------- errors of ours


def encrypted() -> bytes:
    data = bytearray(packed(b"[]" * 30))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    return bytes(data)


def with_unknown_method() -> bytes:
    data = bytearray(packed(b"[]" * 30))
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(mark) + offset] = 97
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n\t ", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (gzip.compress(b""), "is empty"),
        (packed(b""), "is empty"),
        (b'{"messages": [{"role": "user", "con', "ends in the middle"),
        (b'[{"messages": [{"role": "user", "con', "ends in the middle"),
        (b'[\n{\n"messages": [\n{\n"role": "user",\n', "ends in the middle"),
        ('{"messages": [{"role": "user", "content": "请帮我分析代码"}]}'.encode("gbk"), "GBK"),
        ('{"messages": [{"role": "user", "content": "naïve"}]}'.encode("cp1252"), "Windows-1252"),
        (json.dumps(chats(1)).encode("utf-16")[:-30], "ends in the middle"),
        (b"hello", "not valid JSON"),
        (b"{]", "not valid JSON"),
        (encrypted(), "encrypted"),
        (with_unknown_method(), "not supported"),
        (packed(b"[]", name="readme.txt"), "no conversations.json"),
        (packed(b"[]")[:-30], "damaged"),
        (b"PK\x03\x04 and no zip", "damaged"),
        (b"\x1f\x8b and no gzip", "damaged"),
    ],
)
def test_what_cannot_be_read_is_named_as_what_it_is(service: SQLiteSessionService, data: bytes, message: str) -> None:
    with pytest.raises(SessionError, match=message):
        service.import_(io.BytesIO(data))
    assert service.stats()["sessions"] == 0


@pytest.mark.parametrize("seed", range(30))
def test_no_damage_brings_a_foreign_exception(service: SQLiteSessionService, seed: int) -> None:
    random_ = random.Random(seed)
    text = json.dumps(chats(40), indent=random_.choice([None, 0, 2])).encode()
    data = random_.choice([text, gzip.compress(text), packed(text), packed(text, method=zipfile.ZIP_BZIP2)])
    changed = bytearray(data[: random_.choice([len(data), random_.randrange(len(data))])])
    for _ in range(random_.randrange(6)):
        if changed:
            changed[random_.randrange(len(changed))] = random_.randrange(256)
    with contextlib.suppress(SessionError):
        service.import_(io.BytesIO(bytes(changed)))


# ---------------------------------------------------------------- encodings and forms


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("form", ["list", "lines", "document", "indent 0", "indent 2", "list indent 0"])
def test_every_form_is_read_in_every_unicode_encoding(service: SQLiteSessionService, encoding: str, form: str) -> None:
    all_ = [chat(1, "请帮我分析代码"), chat(2, "naïve 😀")]
    text = {
        "list": json.dumps(all_, ensure_ascii=False),
        "lines": "\n".join(json.dumps(one, ensure_ascii=False) for one in all_),
        "document": json.dumps(all_[0], ensure_ascii=False),
        "indent 0": json.dumps(all_[0], ensure_ascii=False, indent=0),
        "indent 2": json.dumps(all_[0], ensure_ascii=False, indent=2),
        "list indent 0": json.dumps(all_, ensure_ascii=False, indent=0),
    }[form]
    report = service.import_(io.BytesIO(text.encode(encoding)))
    assert report.skipped_count == 0
    assert contents(service) == ({"请帮我分析代码"} if "list" not in form and form != "lines" else
                                 {"请帮我分析代码", "naïve 😀"})  # fmt: skip


def test_half_of_a_surrogate_pair_costs_a_character_and_not_a_message(service: SQLiteSessionService) -> None:
    for number, half in enumerate([b"\\ud83d", b"\xed\xa0\xbd", b"\\udc00", b"\xed\xb8\x80"]):
        text = b'{"id": %d, "messages": [{"role": "user", "content": "so %b it is"}]}' % (number, half)
        report = service.import_(io.BytesIO(text))
        assert (report.events, report.skipped_count) == (1, 0)
    assert contents(service) == {"so \ufffd it is"}
    pair = b'{"messages": [{"role": "user", "content": "so \xed\xa0\xbd\xed\xb8\x80"}]}'  # as some databases write it
    service.import_(io.BytesIO(pair))
    assert "so 😀" in contents(service)


@pytest.mark.parametrize("form", ["list", "lines", "document", "documents"])
def test_a_value_whose_name_another_one_has_is_reported(service: SQLiteSessionService, form: str) -> None:
    one, two = json.dumps(chat(1)), json.dumps(chat(2)).replace('"content"', '"content": "lost", "content"')
    text = {
        "list": f"[{one}, {two}]", "lines": f"{one}\n{two}\n", "document": two, "documents": one + two,
    }[form]  # fmt: skip
    report = service.import_(io.StringIO(text))
    assert report.skipped_count == 1
    assert "two values of one name" in report.skipped[0].reason
    assert contents(service) == ({"Question 2"} if form == "document" else {"Question 1", "Question 2"})


def test_numbers_that_json_cannot_hold_cost_no_conversation(service: SQLiteSessionService) -> None:
    scored = {**chat(1), "score": float("nan"), "other": [float("inf")]}
    report = service.import_(io.StringIO(json.dumps([scored])))
    assert (report.events, report.skipped_count) == (1, 0)
    assert service.get_session("chat-1").metadata == {"id": "chat-1", "score": "NaN", "other": ["Infinity"]}


def test_the_json_beside_the_conversations_of_a_zip_is_said_to_be_left_out(service: SQLiteSessionService) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, value in (("conversations.json", chats(1)), ("projects.json", [{}]), ("a/users.json", [{}])):
            archive.writestr(name, json.dumps(value))
        archive.writestr("chat.html", "")
    file.seek(0)
    report = service.import_(file)
    assert (report.sessions, report.left_out) == (1, {"a/users.json": 1, "projects.json": 1})


def test_a_list_is_cut_into_elements_however_it_is_read() -> None:
    texts = ['"a,]"', "[1, [2]]", '{"k\\"": "}\\\\"}', "3", '"' + "长" * 50 + '\\\\"', "{}", '"\\\\\\""']
    document = ("[ " + " ,\n".join(texts) + " ]  ").encode()
    block = json_files.BLOCK
    try:
        for size in range(1, 40):
            json_files.BLOCK = size  # type: ignore[misc]
            elements = list(json_files._elements(io.BytesIO(document)))
            found = [element.strip().decode() for element in elements if isinstance(element, bytes)]
            assert len(found) == len(elements)
            assert found == texts
    finally:
        json_files.BLOCK = block  # type: ignore[misc]


# ---------------------------------------------------------------- hostile files


def zipped(write: Callable[[Any], None]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("conversations.json", "w") as member:
        write(member)
    return file.getvalue()


def repeated(begin: bytes, text: bytes, end: bytes = b"", *, megabytes: int) -> Callable[[Any], None]:
    def write(member: Any) -> None:
        member.write(begin)
        block = text * (1024 * 1024 // len(text))
        for _ in range(megabytes):
            member.write(block)
        member.write(end)

    return write


GOOD = b'[{"messages": [{"role": "user", "content": "Hi"}]},'
BOMBS = {
    "brackets": repeated(b"", b"[", megabytes=180),
    "braces": repeated(b"", b'{"a":', megabytes=180),
    "brackets behind a chat": repeated(GOOD, b"[", megabytes=180),
    "a string": repeated(b'["', b"x", b'"]', megabytes=600),
    "escapes": repeated(b'["', b'\\"', b'"]', megabytes=300),
    "a string that is a chat": repeated(
        b'[{"messages": [{"role": "user", "content": "', b"x", b'"}]}]', megabytes=300
    ),
    "wide characters": repeated(
        '{"messages": [{"role": "user", "content": "😀'.encode(), b"x", b'"}]}', megabytes=63
    ),
    "empty objects": repeated(GOOD, b"{},", b"{}]", megabytes=60),
    "empty lists in one": repeated(b'[{"messages": [', b"[],", b"[]]}]", megabytes=60),
    "a document of lists": repeated(b'{"messages": [', b"[],", b"[]]}", megabytes=60),
    "lines": repeated(b"", b"{}\n", megabytes=60),
    "blank": repeated(b"", b" ", megabytes=300),
    "zeros": repeated(b"", b"\0", megabytes=300),
    "wide zeros": repeated(b"\xff\xfe", b"[\0", megabytes=180),
}  # fmt: skip

# Prints the most memory that it had. On Linux that of getrusage begins with what the tests had at the fork.
READ = """
import pathlib, re, resource, sys
from session_sqlite import SessionError, SQLiteSessionService
with SQLiteSessionService(":memory:") as service:
    try:
        report = service.import_(sys.argv[1])
        print("skipped", report.skipped_count > 0)
    except SessionError as error:
        print("refused", type(error).__name__)
status = pathlib.Path("/proc/self/status")
unit = 1 if sys.platform == "darwin" else 1024
if status.exists():
    print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1]) * 1024)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


@pytest.mark.parametrize(("bomb", "packing"), [*((bomb, "zip") for bomb in BOMBS), ("a string", "gzip")])
def test_a_small_hostile_file_costs_neither_minutes_nor_the_memory(tmp_path: Path, bomb: str, packing: str) -> None:
    path = tmp_path / "bomb"
    if packing == "zip":
        path.write_bytes(zipped(BOMBS[bomb]))
    else:
        with gzip.open(path, "wb", compresslevel=1) as file:
            BOMBS[bomb](file)
    result = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS)),
    )
    assert result.returncode == 0, result.stderr[-500:]
    said, peak = result.stdout.splitlines()
    assert said in ("skipped True", "refused InvalidInputError", "refused StoreError")
    assert int(peak) < MEMORY


@pytest.mark.parametrize("bomb", ["a string", "escapes"])
def test_a_file_that_unpacks_to_far_too_much_is_said_to_do_so(
    service: SQLiteSessionService, tmp_path: Path, bomb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_files, "SMALL_BYTES", 1024 * 1024)
    path = tmp_path / "bomb"
    path.write_bytes(zipped(BOMBS[bomb]))
    with pytest.raises(InvalidInputError, match="unpacks to far more"):
        service.import_(path)


# ---------------------------------------------------------------- pipes and devices

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@needs_pipes
@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_a_pipe_is_read_as_the_standard_input_is(service: SQLiteSessionService, tmp_path: Path, pause: float) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        time.sleep(pause)
        with path.open("w", encoding="utf-8") as pipe:
            time.sleep(pause)
            pipe.write(json.dumps(chats(3)))

    thread = threading.Thread(target=write)
    thread.start()
    report = service.import_(path)
    thread.join()
    assert (report.sessions, report.skipped_count) == (3, 0)


@needs_pipes
def test_a_pipe_that_is_opened_in_time_but_written_late_is_read(
    service: SQLiteSessionService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_files, "PIPE_SECONDS", 0.2)
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with path.open("w", encoding="utf-8") as pipe:
            time.sleep(1.5)
            pipe.write(json.dumps(chats(3)))

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.1)
    report = service.import_(path)
    thread.join()
    assert report.sessions == 3


@needs_pipes
def test_a_pipe_that_nobody_writes_to_is_an_error(
    service: SQLiteSessionService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json_files.PIPE_SECONDS == 5
    monkeypatch.setattr(json_files, "PIPE_SECONDS", 0.2)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    before = threading.active_count()
    with pytest.raises(SessionError, match="nobody writes"):
        service.import_(path)
    assert threading.active_count() == before


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no /dev/zero")
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused_at_once(service: SQLiteSessionService, device: str) -> None:
    with pytest.raises(InvalidInputError, match="device"):
        service.import_(device)
