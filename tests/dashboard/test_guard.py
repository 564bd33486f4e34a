"""Every row of the table of threats, against a real server."""

from __future__ import annotations

import gzip
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from rldk.dashboard.guard import HEADERS, new_token, token_in
from rldk.errors import RLDKError
from rldk.io.codec import encode
from rldk.io.event_schema import MAX_LINE
from tests.dashboard.served import Served, events, frames, served
from tests.runs import make_event, run_python, write_attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAYLOADS = (
    "..",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "%252e%252e%252fetc%252fpasswd",
    "..\\..\\etc\\passwd",
    "..%5c..%5cetc%5cpasswd",
    "/etc/passwd",
    "//etc/passwd",
    "%00",
    "a%0a",
    "con",
    "r_events.jsonl",
    "0123456789ab%0a",
    "0123456789ab/../../..",
    "0123456789AB",
    "%D9%A0" * 12,
    ";id",
    "file:///etc/passwd",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all that leaves it as it is."""
    folder = tmp_path_factory.mktemp("guarded")
    write_attempt(folder / "runs", map(make_event, range(3)))
    with served(folder / "runs", folder / "cache") as found:
        yield found


def handshake(server: Served, headers: dict[str, str]) -> int:
    """The status of a WebSocket handshake with exactly these headers beside the usual ones; 101 is success."""
    lines = {
        "Host": f"127.0.0.1:{server.port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    } | headers
    request = "GET /api/stream HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request.encode("latin-1"))
        return int(connection.recv(4096).split(b" ")[1])


def test_only_this_machine_is_listened_to(server: Served) -> None:
    """By default nothing but the loopback addresses is listened on."""
    listening = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    port = f"{server.port:04X}"
    addresses = {line[1].partition(":")[0] for line in listening if line[3] == "0A" and line[1].endswith(f":{port}")}

    assert addresses <= {"0100007F", "00000000000000000000000001000000"}
    assert "0100007F" in addresses
    with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
        socket.create_connection((_other_address(), server.port), timeout=2).close()


def _other_address() -> str:
    """An address of this machine that is none of its loopback's, or one where nobody is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.2"


def test_another_host_needs_a_flag(tmp_path: Path) -> None:
    """A host that others can reach is refused without --allow-remote, and a name without it is of no use."""
    remote = run_python("-m", "rldk", "serve", tmp_path, "--host", "0.0.0.0")  # noqa: S104 - it is refused
    name = run_python("-m", "rldk", "serve", tmp_path, "--allow-host", "trainer")

    assert (remote.returncode, name.returncode) == (2, 2)
    assert "forward the port by ssh, or add --allow-remote" in " ".join(remote.stderr.split())
    assert "--allow-host: it is of use with --allow-remote only" in name.stderr


def test_a_host_that_was_allowed(folder: Path, cache: Path) -> None:
    """With --allow-remote and a name, that name is answered, with the token, and no other one."""
    with served(folder, cache, "--allow-remote", "--allow-host", "trainer.example") as server:
        statuses = [
            server.ask("/api/runs", headers).status
            for headers in (
                server.bearer | {"Host": f"trainer.example:{server.port}"},
                {"Host": "trainer.example"},
                server.bearer | {"Host": "other.example"},
            )
        ]

    assert statuses == [200, 401, 421]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "localhost.", "", "[::1", "127.0.0.1:1:2"],
)
def test_the_wrong_host(server: Served, host: str) -> None:
    """A name that is none of this machine's is not answered, whatever else is right: DNS may have been rebound."""
    assert server.ask("/api/runs", server.bearer | {"Host": host}).status in {400, 421}
    assert handshake(server, server.bearer | {"Host": host}) in {400, 421}


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "LOCALHOST:9999", "[::1]:80", "127.0.0.1"])
def test_any_port_will_do(server: Served, host: str) -> None:
    """The port of the host may be any: it is another one when ssh forwards it."""
    assert server.ask("/api/runs", server.bearer | {"Host": host}).status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", ""]
)
def test_the_wrong_origin(server: Served, origin: str) -> None:
    """A page of anybody else is refused by WebSocket and HTTP, though it brings the cookie and the token."""
    headers = server.bearer | {
        "Cookie": f"rldk_{server.port}={server.token}",
        "Origin": origin.format(port=server.port),
    }

    assert handshake(server, headers) == 403
    assert server.ask("/api/runs", headers).status == 403


def test_the_right_origin(server: Served) -> None:
    """The server's own page gets its WebSocket by the cookie, by any name and port of this machine."""
    cookie = {"Cookie": f"a=1; rldk_{server.port}={server.token}"}

    assert handshake(server, cookie | {"Origin": f"http://127.0.0.1:{server.port}"}) == 101
    assert handshake(server, cookie | {"Host": "localhost:8000", "Origin": "http://localhost:8000"}) == 101


def test_no_origin(server: Served) -> None:
    """Without an origin a WebSocket needs the header that no page can send; the cookie will not do."""
    assert handshake(server, server.bearer) == 101
    assert handshake(server, {"Cookie": f"rldk_{server.port}={server.token}"}) == 403


def test_a_request_that_another_page_made(server: Served) -> None:
    """Browsers say who made a request: one of another site, or another port, is refused below /api."""
    statuses = [
        server.ask("/api/runs", server.bearer | {"Sec-Fetch-Site": site}).status
        for site in ("cross-site", "same-site", "same-origin", "none")
    ]

    assert statuses == [403, 403, 200, 200]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic {token}"},
        {"Cookie": "rldk_{port}=x"},
        {"Cookie": "rldk={token}"},
        {"Cookie": "rldk_{port}={token}x"},
    ],
)
def test_no_token(server: Served, headers: dict[str, str]) -> None:
    """Without the token, or with another one, nothing is answered, not even the page."""
    given = {name: text.format(port=server.port, token=server.token) for name, text in headers.items()}

    for path in ("/", "/api/runs", "/app.js", "/api/nothing"):
        answer = server.ask(path, given)
        assert answer.status == 401
        assert server.token.encode() not in answer.body


def test_the_link(server: Served) -> None:
    """The link sets a cookie that no script sees, named after the port, and leads to an address without the token."""
    first, again, wrong = (server.ask(f"/?t={token}") for token in (server.token, server.token, "x"))
    cookie = first.headers["set-cookie"]

    assert (first.status, again.status, wrong.status) == (303, 303, 401)
    assert first.headers["location"] == "/"
    assert first.headers["referrer-policy"] == "no-referrer"
    assert cookie == f"rldk_{server.port}={server.token}; HttpOnly; SameSite=Strict; Path=/"
    assert server.ask("/api/runs", {"Cookie": cookie.partition(";")[0]}).status == 200
    assert "set-cookie" not in wrong.headers


def test_the_token_is_in_no_log(folder: Path, cache: Path) -> None:
    """Beside the link itself, nothing that the server prints or writes holds the token."""
    write_attempt(folder, [make_event(0)])
    with served(folder, cache) as server:
        server.ask(f"/?t={server.token}")
        server.ask(f"/?t={server.token}", method="POST")
        server.ask(f"/api/nothing?t={server.token}", server.bearer)
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{server.port}/api/runs/x/events?t={server.token}")
        server.run("r")
    written = b"".join(path.read_bytes() for path in [*folder.rglob("*"), *cache.rglob("*")] if path.is_file())

    assert "".join(server.said).count(server.token) == 1
    assert server.token.encode() not in written


def test_security_headers(server: Served) -> None:
    """Every answer, also a refusal, carries them."""
    for answer in (
        server.ask("/"),
        server.ask("/", server.bearer),
        server.ask("/api/runs", server.bearer),
        server.ask("/x", server.bearer),
        server.ask("/api/runs", {"Host": "evil"}),
        server.ask("/", server.bearer, "POST"),
    ):
        for name, value in HEADERS:
            assert answer.headers[name.decode()] == value.decode()
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
    assert "default-src 'self'" in dict(HEADERS)[b"content-security-policy"].decode()


@pytest.mark.parametrize("payload", _PAYLOADS)
@pytest.mark.parametrize("place", ["/api/runs/{}", "/api/runs/{}/series", "/api/runs/{}/report", "/{}", "/vendor/{}"])
def test_no_path_leads_out(server: Served, place: str, payload: str) -> None:
    """Ids and names are looked up and never joined to a path: whatever is no id is not found."""
    answer = server.ask(place.format(payload), server.bearer)

    assert answer.status in {400, 404}
    assert b"root:" not in answer.body


def test_links_are_not_followed(folder: Path, cache: Path, tmp_path: Path) -> None:
    """A link that somebody put into the folder shows nothing of what lies elsewhere; the list says that it is there."""
    secret = tmp_path / "secret"
    write_attempt(secret, map(make_event, range(5)))
    write_attempt(folder, [make_event(100)])
    (folder / "linked_events.jsonl").symlink_to(secret / "r_events.jsonl")
    (folder / "other.jsonl").symlink_to(secret / "r_events.jsonl")
    (folder / "folder").symlink_to(secret)
    (folder / "r_events.000001.jsonl").symlink_to(secret / "r_events.jsonl")
    with served(folder, cache) as server:
        run = server.run("r")
        listed = server.get("/api/runs")
        with server.listen(f"/api/runs/{run['id']}/events?from=0") as socket:
            found = frames(socket, lambda found: found[-1]["type"] == "live")

    assert [each["name"] for each in listed["runs"]] == ["r"]
    assert {each["why"] for each in listed["passed_over"]} == {"a symbolic link is not followed by the server"}
    assert run["steps"] == [100, 100]
    assert [event["step"] for event in events(found)] == [100]


def test_lines_that_are_too_long_or_too_deep(folder: Path, cache: Path) -> None:
    """They are told as problems, and the lines around them are served."""
    deep = b'{"step":1,"wall_time":1,"metrics":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}\n"
    with (folder / "r_events.jsonl").open("wb") as file:
        file.write(encode(make_event(0)) + deep + b"x" * (MAX_LINE + 1) + b"\n" + encode(make_event(3)))
    with served(folder, cache) as server:
        run = server.run("r")
        with server.listen(f"/api/runs/{run['id']}/events?from=0") as socket:
            found = frames(socket, lambda found: found[-1]["type"] == "live")
    problems = [each for frame in found for each in frame.get("problems", ())]

    assert [event["step"] for event in events(found)] == [0, 3]
    assert sorted((each["line"], each["kind"]) for each in problems) == [(2, "too_deep"), (3, "line_too_long")]
    assert run["problems"] == 2


def test_a_compression_bomb(folder: Path, cache: Path) -> None:
    """A compressed segment that swells beyond measure is left, and the server stays small."""
    with gzip.open(folder / "r_events.000001.jsonl.gz", "wb") as file:
        file.write(encode(make_event(0)))
        for _ in range(512):
            file.write(b"\0" * 2**20)
    with served(folder, cache) as server:
        run = server.run("r")
        status = _status(server.process.pid)

    assert run["events"] == 1
    assert run["problems"] >= 1
    assert int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) < 200_000  # type: ignore[index]


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text(encoding="ascii")


def test_a_client_that_sends_too_much(server: Served) -> None:
    """What a client says is not read; more than 64 KiB of it closes the connection with 1009."""
    with server.listen("/api/stream") as listening:
        listening.send("x" * 1000)
        listening.send("x" * 70_000)
        with pytest.raises(ConnectionClosed) as caught:
            frames(listening, lambda _: False)

    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009


def test_no_compression_is_agreed_on(server: Served) -> None:
    """Messages are not compressed, so none can swell."""
    with connect(
        f"ws://127.0.0.1:{server.port}/api/stream", additional_headers=server.bearer, compression="deflate"
    ) as listening:
        assert listening.protocol.extensions == []


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/api/runs", "/api/runs/0123456789ab/series", "/api/stream", "/nothing"])
def test_only_get(server: Served, method: str, path: str) -> None:
    """Nothing but GET is answered, anywhere."""
    answer = server.ask(path, server.bearer, method)

    assert (answer.status, answer.headers.get("allow")) == (405, "GET")


def test_nothing_is_written_into_the_folder(folder: Path, cache: Path) -> None:
    """Serving a run leaves its folder as it was, to the byte and the time."""
    write_attempt(folder, map(make_event, range(50)))
    before = [(path.name, path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
    changed = folder.stat().st_mtime_ns
    with served(folder, cache) as server:
        run = server.run("r")
        server.get(f"/api/runs/{run['id']}/series")
        server.ask(f"/api/runs/{run['id']}/report", server.bearer)

    assert [(path.name, path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())] == before
    assert folder.stat().st_mtime_ns == changed


def test_a_token_file(folder: Path, cache: Path, tmp_path: Path) -> None:
    """A token that is kept in a file is the same at the next start, and only its owner can read it."""
    path = tmp_path / "token"
    tokens = []
    for _ in range(2):
        with served(folder, cache, "--token-file", str(path)) as server:
            tokens.append(server.token)

    assert tokens[0] == tokens[1] == path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_token_file_that_is_no_good(tmp_path: Path) -> None:
    """A file that others can read, a link, and one without a token are refused."""
    path = tmp_path / "token"
    path.write_text(new_token())
    path.chmod(0o644)
    with pytest.raises(RLDKError, match="expected a file that only you can read, found mode 644 of user"):
        token_in(path)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(RLDKError, match="expected a token of at least 32 letters"):
        token_in(path)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        token_in(tmp_path / "link")


def test_a_slow_client(folder: Path, cache: Path) -> None:
    """One that reads nothing holds up neither the writer nor another client, and is told what it missed."""
    from rldk.io.writer import open_writer

    writer = open_writer(folder, run_id="r")
    writer.write(make_event(0))
    with served(folder, cache) as server:
        run = server.run("r")
        path = f"/api/runs/{run['id']}/events"
        with server.listen(path, max_queue=1) as slow, server.listen(path) as quick:
            for each in (slow, quick):
                frames(each, lambda found: found[-1]["type"] == "live")
            metrics = {f"metric_{index}": index + 0.123456789 for index in range(200)}
            seen: list[dict[str, Any]] = []
            began = time.monotonic()
            for step in range(1, 8001):
                writer.write(make_event(step, metrics=metrics))
                if step % 100 == 0:
                    time.sleep(0.01)
                    seen += frames(quick, lambda found, step=step: _last_step(found) == step)
            took = time.monotonic() - began
            found = frames(slow, lambda found: _last_step(found) == 8000, 60)
    writer.close()
    missed = [frame["missed"] for frame in found if frame["type"] == "gap"]

    assert [event["step"] for event in events(seen)] == list(range(1, 8001))
    assert took < 60
    assert missed
    assert sum(missed) + len(events(found)) == 8000


def _last_step(found: list[dict[str, Any]]) -> int:
    return max((event["step"] for event in events(found[-1:])), default=-1)
