"""`rldk diagnose`: the verdict on any log, what is behind it, and what could not be judged."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rldk.cli import rldk
from rldk.io.writer import open_writer
from tests.runs import make_event, run_python
from tests.shared import SHARED, needs_shared

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from click.testing import Result

PROBE = SHARED / "bench" / "probe"


def rows(count: int) -> list[dict[str, Any]]:
    """What a healthy run logs: a reward that rises, noise, a divergence that grows slowly."""
    noise = random.Random(1)  # noqa: S311 - figures, not secrets
    return [
        {
            "step": step,
            "reward_mean": 0.2 + 0.5 * step / count + noise.gauss(0, 0.02),
            "loss": 0.1 + noise.gauss(0, 0.01),
            "grad_norm": 0.5 + abs(noise.gauss(0, 0.05)),
        }
        for step in range(count)
    ]


def write(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    """A log of these records."""
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def diagnose(*words: object) -> Result:
    """Call the command."""
    return CliRunner().invoke(rldk, ["diagnose", *map(str, words)])


def verdict(*words: object) -> Any:
    """The verdict on the only run of a source, as JSON."""
    (run,) = json.loads(diagnose(*words, "--json").output)["runs"]
    return run["verdict"]


def found(*words: object) -> dict[str, tuple[str, int, int]]:
    """For each rule that has found something: how bad, since when and until when the first of it."""
    return {
        alert["rule"]: (alert["severity"], alert["first_step"], alert["last_step"])
        for alert in reversed(verdict(*words)["alerts"])
    }


@pytest.fixture
def healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of a healthy run, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "run.jsonl", rows(100))


@pytest.fixture
def broken(healthy: Path) -> Path:
    """The same, but from step 60 on the loss is NaN."""
    records = rows(100)
    for record in records[60:]:
        record["loss"] = float("nan")
    return write(healthy.with_name("broken.jsonl"), records)


def test_a_healthy_run_is_good(healthy: Path) -> None:
    """The verdict first, then what is fine, what could not be checked and why, and what was not understood."""
    write(healthy, [{**record, "mine": 1.0} for record in rows(100)])
    done = diagnose("run.jsonl")
    lines = done.output.splitlines()

    assert done.exit_code == 0
    assert lines[0].startswith("run: good. ")
    titles = [line.partition("  ")[0] for line in lines if line and not line.startswith(" ")][1:]
    assert titles == ["fine", "not checked", "not understood"]
    assert "          needs lr: lr_anomaly" in lines
    assert lines[-1] == "          mine"


@pytest.mark.usefixtures("broken")
def test_a_finding_says_what_since_when_with_which_numbers_and_what_to_do() -> None:
    """Heading, sentence, evidence, advice and sources, below a verdict that names the worst."""
    done = diagnose("broken.jsonl")
    lines = done.output.splitlines()
    at = lines.index("critical  non_finite  step 60 to 99")
    labels = [line[:10].strip() for line in lines[at + 1 : at + 5]]

    assert done.exit_code == 1
    assert lines[0].startswith("broken: bad. loss is nan")
    assert labels == ["", "evidence", "do", "see"]
    assert "40 times" in lines[at + 1]
    assert lines[at + 2].endswith("%")


def test_the_worst_comes_first(broken: Path) -> None:
    """Critical findings, then warnings, then what is worth knowing."""
    records = rows(100)
    for record in records[60:]:
        record["loss"] = float("nan")
    write(broken, [*records[:30], *records[30:50], *records[40:]])
    lines = diagnose("broken.jsonl").output.splitlines()
    severities = [word for line in lines if (word := line.partition(" ")[0]) in {"critical", "warning", "info"}]

    assert severities == sorted(severities, key=["critical", "warning", "info"].index)
    assert set(severities) >= {"critical", "info"}


@pytest.mark.parametrize(
    ("name", "fail_on", "code"),
    [
        ("run.jsonl", "warning", 0),
        ("run.jsonl", "critical", 0),
        ("torn.jsonl", "warning", 1),
        ("torn.jsonl", "critical", 0),
        ("broken.jsonl", "warning", 1),
        ("broken.jsonl", "critical", 1),
    ],
)
def test_the_exit_code_says_how_bad_it_is(broken: Path, name: str, fail_on: str, code: int) -> None:
    """1 from the severity on that was asked for, critical unless told otherwise."""
    torn = broken.with_name("torn.jsonl")
    torn.write_text(broken.with_name("run.jsonl").read_text() + '{"step": 100, "rew')

    assert diagnose(name, "--fail-on", fail_on).exit_code == code


def test_a_log_with_nothing_to_judge_is_no_success(healthy: Path) -> None:
    """Exit 2: a job that checks runs must not pass because there is none."""
    healthy.with_name("r_events.jsonl").write_text("garbage\n")
    done = diagnose("r_events.jsonl")

    assert done.exit_code == 2
    assert done.output.startswith("r: attention. A record cannot be read, first at r_events.jsonl:1: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nope.jsonl"], "rldk: nope.jsonl: No such file or directory\n"),
        (["run.jsonl", "--rules", "nope.toml"], "rldk: nope.toml: expected a file of rules in TOML, found "),
    ],
)
def test_what_cannot_be_read_is_a_sentence(healthy: Path, words: list[str], message: str) -> None:
    """Exit 2, no traceback."""
    done = run_python("-m", "rldk", "diagnose", *words, cwd=healthy.parent)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_rules_of_the_users_own_are_judged_too(healthy: Path) -> None:
    """Beside those of the preset; a mistake in the file is named with its line."""
    rules = healthy.with_name("rules.toml")
    rules.write_text('[[rule]]\nname = "steep"\nwhen = "grad_norm > 0.4"\nwindow = 5\nseverity = "critical"\n')
    done = diagnose("run.jsonl", "--rules", rules)
    rules.write_text('[[rule]]\nname = "steep"\nwhen = "grad_norm >"\n')
    wrong = run_python("-m", "rldk", "diagnose", "run.jsonl", "--rules", "rules.toml", cwd=healthy.parent)

    assert done.exit_code == 1
    assert "critical  steep  step 0 to 99" in done.output
    assert (wrong.returncode, wrong.stderr.partition(": expected")[0]) == (2, "rldk: rules.toml:3")


@pytest.mark.usefixtures("healthy")
def test_a_preset_chooses_the_rules() -> None:
    """Rules of preference training are not asked for in a run of supervised fine-tuning."""
    names = {}
    for preset in ("auto", "sft", "dpo"):
        judged = verdict("run.jsonl", "--preset", preset)
        names[preset] = {each["rule"] for each in (*judged["passed"], *judged["unchecked"], *judged["alerts"])}

    assert names["sft"] < names["auto"]
    assert "both_logps_fall" in names["dpo"] - names["sft"]


def test_names_can_be_mapped(healthy: Path) -> None:
    """A field map says what a key means, as for `rldk ingest`."""
    write(healthy, [{"iteration": row["step"], "score": row["reward_mean"]} for row in rows(100)])
    judged = verdict("run.jsonl", "--field-map", "step=iteration", "--field-map", "reward_mean=score")

    assert judged["points"] == 100
    assert "reward_stalled" in {each["rule"] for each in judged["passed"]}


@pytest.mark.usefixtures("broken")
def test_several_runs_are_summed_up_first() -> None:
    """A verdict for each on top, then each run with what is behind it; the worst decides."""
    done = diagnose("run.jsonl", "broken.jsonl")
    lines = done.output.splitlines()

    assert done.exit_code == 1
    assert [line.split(".")[0] for line in lines[:2]] == ["run: good", "broken: bad"]
    assert [line for line in lines if line.endswith(".jsonl")] == ["run  run.jsonl", "broken  broken.jsonl"]


def test_a_copy_of_a_run_is_no_second_run(healthy: Path) -> None:
    """Two runs that agree in every step are named."""
    healthy.with_name("again.jsonl").write_bytes(healthy.read_bytes())
    done = diagnose("run.jsonl", "again.jsonl")
    (clone,) = json.loads(diagnose("run.jsonl", "again.jsonl", "--json").output)["clones"]

    assert "warning   clone_run  step 0 to 99" in done.output
    assert "run" in clone["message"]
    assert diagnose("run.jsonl", "again.jsonl", "--fail-on", "warning").exit_code == 1


def test_all_ranks_of_a_run_are_judged_together(healthy: Path) -> None:
    """Ranks that do not agree are a finding of one run, not two runs."""
    for rank in (0, 1):
        writer = open_writer(healthy.parent / "ranks", run_id="r", rank=rank, world_size=2)
        for step in range(30):
            assert writer.write(make_event(step, metrics={"loss": 0.5, "grad_norm": 1.0 + rank}))
        writer.close()
    judged = verdict("ranks")

    assert judged["points"] == 30
    assert "rank_disagreement" in {each["rule"] for each in judged["alerts"]}


@pytest.mark.usefixtures("broken")
def test_json_has_everything() -> None:
    """Each run with its verdict and the account of its lines, and the files that were not read."""
    told = json.loads(diagnose("broken.jsonl", "--json").output)
    (run,) = told["runs"]

    assert list(told) == ["runs", "clones", "passed_over", "schema"]
    assert (run["run_id"], run["source"], run["verdict"]["health"]) == ("broken", "broken.jsonl", "bad")
    assert [(each["lines"], each["events"], each["adapter"]) for each in run["account"]] == [(100, 100, "custom_jsonl")]


def test_a_key_that_moves_the_cursor_is_shown_as_codes(healthy: Path) -> None:
    """A log of others may hold anything; no escape code of it reaches the terminal."""
    write(healthy, [{**record, "\x1b[2Jkey": 1.0} for record in rows(20)])
    done = diagnose("run.jsonl")

    assert "\x1b" not in done.output
    assert "\\x1b[2Jkey" in done.output


def test_a_pipe_gets_whole_lines_without_colours(broken: Path) -> None:
    """So that grep finds a sentence, and a path, as a whole."""
    done = run_python("-m", "rldk", "diagnose", "broken.jsonl", cwd=broken.parent, env={"TERM": "xterm-256color"})
    fine = next(line for line in done.stdout.splitlines() if line.startswith("          null_values"))

    assert "\x1b" not in done.stdout
    assert len(fine) > 200
    assert [line for line in done.stdout.splitlines() if line.endswith(" ")] == []


# Damaged logs


@needs_shared
def test_nan_that_was_hidden_as_null_is_critical() -> None:
    """The logger of verl writes NaN as null: half of gradient, loss and entropy is gone, and that is the verdict."""
    done = diagnose(PROBE / "verl_nan.jsonl")
    judged = verdict(PROBE / "verl_nan.jsonl")

    assert done.exit_code == 1
    assert judged["health"] == "bad"
    assert [
        (alert["rule"], alert["severity"], alert["metric"], alert["first_step"], alert["last_step"])
        for alert in judged["alerts"]
        if alert["severity"] == "critical"
    ] == [("null_values", "critical", name, 150, 299) for name in ("grad_norm", "policy_loss", "entropy_mean")]


@needs_shared
def test_a_torn_log_is_judged_on_its_good_lines() -> None:
    """The 200 lines before are judged, and line 201 is named as what it is."""
    judged = verdict(PROBE / "torn.jsonl")
    (torn,) = (alert for alert in judged["alerts"] if alert["rule"] == "torn_record")

    assert (judged["points"], judged["steps"], judged["health"]) == (200, [0, 199], "attention")
    assert torn["evidence"] == {"line": 201, "byte": 36526}
    assert torn["message"].startswith(f"The log ends in a torn record at {PROBE / 'torn.jsonl'}:201: ")
    assert {"reward_stalled", "reward_collapse", "entropy_collapse"} <= {each["rule"] for each in judged["passed"]}


@needs_shared
def test_a_rewound_log_is_judged_on_what_counts() -> None:
    """300 steps and not 350: the seam is named, the jump at it too, and the drop behind it is critical."""
    judged = verdict(PROBE / "rewind.jsonl")
    rules = found(PROBE / "rewind.jsonl")
    messages = {alert["rule"]: alert["message"] for alert in judged["alerts"]}

    assert (judged["points"], judged["steps"], judged["health"]) == (300, [0, 299], "bad")
    assert rules["rewound"] == ("info", 150, 150)
    assert rules["seam_jump"][:2] == ("warning", 150)
    assert rules["reward_collapse"][:2] == ("critical", 150)
    assert messages["rewound"] == (
        "Attempt 2 took over at step 150: steps 150 to 199 of the attempt before no longer count."
    )
