"""Where alerts go: a log, a terminal, a chat, a program; whatever happens there, nobody waits for it."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rldk.alerts.sinks import Command, Webhook, log, show
from rldk.alerts.sinks.outbox import Outbox, UndeliveredError
from rldk.alerts.sinks.webhook import slack_message
from tests.alerts.findings import an_alert
from tests.alerts.web import server
from tests.runs import run_python

LINE = "r1: CRITICAL reward_constant at step 40, since step 12: reward_mean is 0.25 at each of 28 steps"


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged."""
    return [record.getMessage() for record in caplog.records]


def until(what: Any) -> None:
    """Wait for something to come true, and not for long."""
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


# The log and the terminal


@pytest.mark.parametrize(
    ("changes", "level", "line"),
    [
        ({}, "ERROR", f"{LINE}. Check the reward function."),
        ({"severity": "warning", "advice": ""}, "WARNING", LINE.replace("CRITICAL", "WARNING")),
        ({"severity": "info", "advice": ""}, "INFO", LINE.replace("CRITICAL", "INFO")),
        ({"state": "resolved"}, "INFO", LINE.replace("CRITICAL reward_constant", "resolved: reward_constant")),
        (
            {"phase": "eval", "eval_set": "math", "first_step": 40, "advice": ""},
            "ERROR",
            LINE.replace("step 40, since step 12", "step 40 of eval math"),
        ),
    ],
)
def test_an_alert_is_logged_as_loud_as_it_is(
    caplog: pytest.LogCaptureFixture, changes: dict[str, Any], level: str, line: str
) -> None:
    """One record of `rldk.alerts`, whose level follows the severity; what is over is information."""
    with caplog.at_level(logging.INFO):
        log(an_alert(**changes), "r1")

    assert [(each.name, each.levelname, each.getMessage()) for each in caplog.records] == [("rldk.alerts", level, line)]


def test_an_alert_is_shown_without_colours_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on standard error, no escape codes."""
    show(an_alert(), "r1")

    assert capsys.readouterr() == ("", f"{LINE}\n")


@pytest.mark.parametrize(("no_color", "shown"), [("", f"\x1b[31m{LINE}\x1b[0m\n"), ("1", f"{LINE}\n")])
def test_a_terminal_shows_colours_unless_they_are_not_wanted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, no_color: str, shown: str
) -> None:
    """Red for what is critical; none with `NO_COLOR`."""
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show(an_alert(), "r1")

    assert capsys.readouterr().err == shown


def test_an_alert_is_one_line_whatever_a_key_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """A key of a log, or the message of a user's rule, tells no terminal what to do."""
    show(an_alert(message="a\x1b[31mb\nc\x9b is nan."), "r1")

    assert capsys.readouterr().err == (
        "r1: CRITICAL reward_constant at step 40, since step 12: a\\x1b[31mb\\x0ac\\x9b is nan.\n"
    )


# The message


def test_a_message_is_one_that_slack_takes() -> None:
    """Text for the notification, and an attachment with the colour, the advice, the run and the step."""
    assert slack_message(an_alert(), "r1") == {
        "text": LINE,
        "attachments": [
            {
                "color": "danger",
                "title": "CRITICAL reward_constant",
                "text": "reward_mean is 0.25 at each of 28 steps\nCheck the reward function.",
                "fields": [
                    {"title": "run", "value": "r1", "short": True},
                    {"title": "step", "value": "step 40, since step 12", "short": True},
                ],
            }
        ],
    }


def test_a_resolved_alert_is_green_and_has_no_advice() -> None:
    """There is nothing to be done any more."""
    (attachment,) = slack_message(an_alert(state="resolved"), "r1")["attachments"]

    assert (attachment["color"], attachment["text"]) == ("good", "reward_mean is 0.25 at each of 28 steps")


def test_a_message_calls_nobody() -> None:
    """A key of a log may be spelled as Slack's name for everybody; it stays a text."""
    message = json.dumps(slack_message(an_alert(message="<!channel> & more"), "r1"))

    assert "<!channel>" not in message
    assert "&lt;!channel&gt; &amp; more" in message


# The webhook


def test_alerts_are_posted_in_their_order() -> None:
    """Each alert is one POST of its message to the address."""
    with server() as web:
        webhook = Webhook(web.url)
        for step in (40, 41, 42):
            webhook(an_alert(last_step=step), "r1")
        webhook.flush()

    assert web.got == [
        ("/services/T000/B000/SECRET", slack_message(an_alert(last_step=step), "r1")) for step in (40, 41, 42)
    ]
    assert webhook.lost == 0


def test_a_server_that_fails_is_asked_again() -> None:
    """After 500 and 429 the same message is tried again, later each time, until it is taken."""
    with server(500, 429, 200) as web:
        webhook = Webhook(web.url, waits=(0.05, 0.2))
        webhook(an_alert(), "r1")
        until(lambda: len(web.got) == 3)
        webhook.flush()

    first, second, third = web.times
    assert second - first >= 0.05
    assert third - second >= 0.2
    assert webhook.lost == 0


def test_a_server_that_always_fails_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """After the last try the message is lost and counted; a warning tells of the first, and shows no secret."""
    with server(503) as web:
        webhook = Webhook(web.url, waits=(0.0, 0.0))
        webhook(an_alert(), "r1")
        webhook(an_alert(), "r1")
        until(lambda: webhook.lost == 2)

    assert len(web.got) == 6
    assert said(caplog) == [
        (
            f"an alert was not delivered to {web.url.partition('/services')[0]}/...: HTTP status 503; "
            "others that are not are only counted"
        )
    ]


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_server_that_does_not_want_it_is_asked_once(status: int) -> None:
    """What is wrong with the message or the address is so the next time, too."""
    with server(status) as web:
        webhook = Webhook(web.url, waits=(0.0, 0.0))
        webhook(an_alert(), "r1")
        until(lambda: webhook.lost == 1)

    assert len(web.got) == 1


def test_a_redirect_is_not_followed() -> None:
    """The message goes to the address that was given, and nowhere else."""
    with server(302) as web:
        webhook = Webhook(web.url.partition("/services")[0] + "/moved")
        webhook(an_alert(), "r1")
        until(lambda: webhook.lost == 1)

    assert [path for path, _ in web.got] == ["/moved"]


def test_nobody_waits_for_a_slow_server() -> None:
    """Handing over an alert takes no time; the slow server gets it all the same."""
    with server(delay=0.3) as web:
        webhook = Webhook(web.url)
        began = time.monotonic()
        for _ in range(2):
            webhook(an_alert(), "r1")
        handed_over = time.monotonic() - began
        webhook.flush()

    assert handed_over < 0.1
    assert len(web.got) == 2
    assert webhook.lost == 0


def test_nobody_waits_for_a_server_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    """A server that never answers costs the end of a training no more than the patience it is given, and that once."""
    with server(delay=60) as web:
        webhook = Webhook(web.url)
        webhook(an_alert(), "r1")
        webhook(an_alert(), "r1")
        began = time.monotonic()
        webhook.flush(0.2)
        first = time.monotonic() - began
        webhook.flush(0.2)
        both = time.monotonic() - began

    assert 0.2 <= first < 1
    assert both - first < 0.1
    assert webhook.lost == 2
    assert "there was no time left for it at the end" in said(caplog)[0]


def test_a_server_that_answers_too_late_has_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    """After the timeout the try has failed."""
    with server(delay=60) as web:
        webhook = Webhook(web.url, timeout=0.05, waits=())
        webhook(an_alert(), "r1")
        until(lambda: webhook.lost == 1)

    assert "/...: no answer in time;" in said(caplog)[0]


def test_a_server_that_is_dead_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing listens there: the warning says so, and shows no more of the address than the host."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    webhook = Webhook(f"http://127.0.0.1:{port}/services/SECRET", waits=())
    webhook(an_alert(), "r1")
    webhook.flush()

    assert webhook.lost == 1
    assert said(caplog) == [
        (
            f"an alert was not delivered to http://127.0.0.1:{port}/...: Connection refused; "
            "others that are not are only counted"
        )
    ]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("hooks.slack.com/services/SECRET", "another one"),
        ("file:///etc/SECRET", "another one"),
        ("https://host/SECRET with a space", "another one"),
        ("https://host/SECRET\n", "another one"),
        ("https:///SECRET", "one without a host"),
        ("https://host:SECRET/", "one without a host"),
        (None, "another one"),
    ],
)
def test_an_address_that_is_none_is_refused_and_not_shown(url: Any, found: str) -> None:
    """It may be a secret that was pasted wrongly."""
    with pytest.raises(ValueError, match="webhook") as error:
        Webhook(url)

    assert str(error.value) == f"webhook: expected an address that begins with https:// or http://, found {found}"


def test_an_address_is_never_shown_whole() -> None:
    """Neither user, password, path nor query."""
    assert repr(Webhook("https://user:SECRET@host:8443/SECRET?key=SECRET")) == "Webhook('https://host:8443/...')"


def test_user_and_password_of_an_address_are_sent_and_no_part_of_the_host() -> None:
    """They go to the server as a browser would send them, and to no name service."""
    with server() as told:
        address = told.url.replace("http://", "http://me:p%40ss@")
        webhook = Webhook(address, waits=())
        webhook(an_alert(), "r1")
        webhook.flush()

    assert (webhook.lost, told.who) == (0, ["Basic bWU6cEBzcw=="])


def test_a_proxy_that_cannot_be_used_is_named_as_an_error(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python has only a text for it, which may hold anything."""
    monkeypatch.setenv("http_proxy", "socks5://me:SECRET@localhost:1")
    webhook = Webhook("http://host.invalid/SECRET", waits=())
    webhook(an_alert(), "r1")
    webhook.flush()

    assert said(caplog)[0].startswith("an alert was not delivered to http://host.invalid/...: URLError;")


# The command


def script(folder: Path, text: str) -> list[str]:
    """A program, as a command runs it."""
    path = folder / "program.py"
    path.write_text(text)
    return [sys.executable, str(path)]


def test_a_command_gets_the_alert_as_json(tmp_path: Path) -> None:
    """On standard input: the run and the alert, whole."""
    program = script(tmp_path, "import sys; open('got.json', 'w').write(sys.stdin.read())")
    command = Command(["/bin/sh", "-c", f'cd "{tmp_path}" && exec "$@"', "sh", *program])
    command(an_alert(message="a `touch HERE` $(touch HERE) 'b"), "r1")
    command.flush()
    got = json.loads((tmp_path / "got.json").read_text())

    assert command.lost == 0
    assert got["run_id"] == "r1"
    assert got["alert"]["message"] == "a `touch HERE` $(touch HERE) 'b"
    assert set(got["alert"]) == set(an_alert().__struct_fields__)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["got.json", "program.py"]


def test_a_command_that_takes_too_long_is_killed_with_its_children(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After the timeout neither the program runs nor what it has started."""
    pids = tmp_path / "pids"
    program = script(
        tmp_path,
        "import os, subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "child.wait()\n",
    )
    command = Command(program, timeout=1.5)
    command(an_alert(), "r1")
    until(lambda: command.lost == 1)

    assert said(caplog) == [
        (
            f"an alert was not delivered to {sys.executable}: it took longer than 1.5 s; "
            "others that are not are only counted"
        )
    ]
    until(lambda: not any(running(int(pid)) for pid in pids.read_text().split()))


def running(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_is_killed_when_the_training_ends() -> None:
    """The end waits for it no longer than it has patience."""
    command = Command(["sleep", "600"])
    command(an_alert(), "r1")
    until(lambda: command._running is not None)
    program = command._running
    assert program
    began = time.monotonic()
    command.flush(0.1)

    assert time.monotonic() - began < 1
    assert command.lost == 1
    until(lambda: program.poll() is not None)


# From Python 3.12 on, a fork in a process with threads is warned of.
@pytest.mark.filterwarnings("ignore:.*is multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_leaves_the_program_alone(tmp_path: Path) -> None:
    """It is the parent's, whatever the child does with its copy."""
    command = Command(["sh", "-c", f"while ! [ -e {tmp_path}/go ]; do sleep 0.01; done"])
    command(an_alert(), "r1")
    until(lambda: command._running is not None)
    child = os.fork()
    if child == 0:
        command.flush(0.1)
        os._exit(0)
    os.waitpid(child, 0)
    (tmp_path / "go").touch()
    command.flush()

    assert command.lost == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["false"], "false: it ended with exit code 1"),
        (["/no/such/program"], "/no/such/program: No such file or directory"),
    ],
)
def test_a_command_that_fails_is_a_warning(caplog: pytest.LogCaptureFixture, words: list[str], why: str) -> None:
    """It is not tried again: it may have done half of what it does."""
    command = Command(words)
    command(an_alert(), "r1")
    command.flush()

    assert command.lost == 1
    assert said(caplog) == [f"an alert was not delivered to {why}; others that are not are only counted"]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ("mail -s alert me", TypeError, "command: expected a list of words, as ['notify-send', 'alert'], found "),
        (["mail", 3], TypeError, "command: expected a list of words, as ['notify-send', 'alert'], found "),
        ([], ValueError, "command: expected a program, found an empty list"),
    ],
)
def test_a_command_is_a_list_of_words(words: Any, error: type[Exception], message: str) -> None:
    """A text would have to be taken apart by a shell, and there is none."""
    with pytest.raises(error) as found:
        Command(words)

    assert str(found.value).startswith(message)


# The outbox


def test_only_so_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    """What comes when the queue is full is lost, counted, and told of once."""
    gate = threading.Event()
    got: list[int] = []

    def deliver(message: int) -> None:
        gate.wait(10)
        got.append(message)

    outbox = Outbox(deliver, "nowhere", limit=2)
    outbox.post(0)
    until(lambda: outbox._busy)
    for message in (1, 2, 3, 4):
        outbox.post(message)
    gate.set()
    outbox.flush()

    assert got == [0, 1, 2]
    assert outbox.lost == 2
    assert said(caplog) == [
        "an alert was not delivered to nowhere: 2 others wait already; others that are not are only counted"
    ]


def test_it_is_used_again_after_it_was_flushed() -> None:
    """A training in the same process may follow."""
    got: list[int] = []
    outbox = Outbox(got.append, "nowhere")
    for message in (1, 2):
        outbox.post(message)
        outbox.flush()

    assert got == [1, 2]


def test_flushing_does_not_wait_between_tries() -> None:
    """At the end each message is tried once more, at once."""
    tries: list[int] = []

    def deliver(message: int) -> None:
        tries.append(message)
        raise UndeliveredError("no", again=True)

    outbox = Outbox(deliver, "nowhere", waits=(60.0, 60.0))
    outbox.post(1)
    until(lambda: tries)
    began = time.monotonic()
    outbox.flush()

    assert time.monotonic() - began < 1
    assert tries == [1, 1]
    assert outbox.lost == 1


def test_an_error_of_any_kind_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    """The next message is delivered all the same."""
    got: list[int] = []

    def deliver(message: int) -> None:
        if message == 1:
            raise ZeroDivisionError
        got.append(message)

    outbox = Outbox(deliver, "nowhere")
    outbox.post(1)
    outbox.post(2)
    outbox.flush()

    assert got == [2]
    assert said(caplog)[0].startswith("an alert was not delivered to nowhere: ZeroDivisionError;")


# From Python 3.12 on, a fork in a process with threads is warned of.
@pytest.mark.filterwarnings("ignore:.*is multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_delivers_nothing() -> None:
    """What waits in the parent is the parent's, and a child that ends does not wait for it."""
    gate = threading.Event()
    outbox = Outbox(lambda _: gate.wait(10), "nowhere")
    outbox.post(1)
    child = os.fork()
    if child == 0:
        outbox.post(2)
        outbox.flush(5)
        os._exit(len(outbox._waiting))
    _, status = os.waitpid(child, 0)
    gate.set()
    outbox.flush()

    assert status == 0


def test_the_interpreter_exits_at_once_whatever_hangs() -> None:
    """A thread that is stuck does not hold up the exit of the program."""
    done = run_python(
        "-c",
        "import time\n"
        "from rldk.alerts.sinks.outbox import Outbox\n"
        "outbox = Outbox(lambda _: time.sleep(600), 'nowhere')\n"
        "outbox.post(1)\n"
        "began = time.monotonic()\n"
        "outbox.flush(0.1)\n"
        "print(time.monotonic() - began < 1)\n",
    )

    assert (done.returncode, done.stdout) == (0, "True\n")
