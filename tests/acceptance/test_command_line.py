"""`pauseflow run` and its companions as a shell sees them: exit codes, standard output, signals."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from acceptance.command import Pauseflow, Running
from acceptance.web import send, wait_until
from nbformat import v4, write

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings
from pauseflow_nb.store.database import transaction

pytestmark = pytest.mark.acceptance

IMPORT = "from pauseflow_nb import flow, steps"
ASK = "%%step ask\nflow.suspend('10m', title='Go on?')"


def notebook(folder: Path, *cells: str, name: str = "in.ipynb") -> Path:
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    write(v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells], metadata=metadata), folder / name)
    return folder / name


def in_step(running: Running, path: Path) -> None:
    """Wait until a cell has written its file."""
    wait_until(path.exists, f"the step began:\n{running.stderr}")


class TestExitCodes:
    @pytest.mark.new_process
    def test_0_when_the_notebook_completed(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow("run", notebook(pauseflow.folder, "1 + 1"), "out.ipynb")

        assert (ended.code, ended.stdout) == (0, "")
        assert ended.notebook.cells[0].outputs[0].data["text/plain"] == "2"

    @pytest.mark.new_process
    def test_1_when_it_failed_and_the_error_is_told(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow("run", notebook(pauseflow.folder, IMPORT, "%%step bad\n1 / 0"), "out.ipynb")

        assert ended.code == 1
        assert "ZeroDivisionError in step 'bad'" in ended.stderr
        assert "pauseflow retry" in ended.stderr

    def test_3_when_it_was_cancelled(self, pauseflow: Pauseflow) -> None:
        running = pauseflow.start("run", notebook(pauseflow.folder, IMPORT, ASK), "out.ipynb", "--json")
        send(running.link("cancel"))
        ended = running.end()

        assert (ended.code, ended.execution["state"]) == (3, "cancelled")
        assert ended.execution["reason"]["kind"] == "link"

    def test_75_when_it_waits(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow("run", notebook(pauseflow.folder, IMPORT, ASK), "out.ipynb", "--until-pause")

        assert ended.code == 75
        execution = ended.stdout.split()[1] if ended.stdout.startswith("execution") else ended.stderr.split()[1]
        answer = f"or answer with `pauseflow resume {execution} --wait"
        assert f"no worker is running to continue this: run `pauseflow serve`, {answer}" in ended.stderr
        assert (
            f"nobody answers these links now: start `pauseflow serve`, {answer}" in pauseflow("show", execution).stdout
        )

    def test_2_for_a_flag_that_does_not_exist(self, pauseflow: Pauseflow) -> None:
        assert pauseflow("run", "in.ipynb", "--no-such-flag").code == 2


class TestCtrlC:
    @pytest.mark.new_process
    def test_once_stops_at_the_next_cell_and_loses_nothing(self, pauseflow: Pauseflow) -> None:
        log = pauseflow.folder / "log"
        source = notebook(
            pauseflow.folder,
            f"{IMPORT}\nimport pathlib, time\nlog = pathlib.Path({str(log)!r})",
            "%%step first\nlog.open('a').write('first\\n')\ntime.sleep(2)",
            "%%step second\nlog.open('a').write('second\\n')",
        )
        running = pauseflow.start("run", source, "out.ipynb", "--json")
        in_step(running, log)
        running.process.send_signal(signal.SIGINT)
        ended = running.end()

        assert (ended.code, ended.execution["state"]) == (130, "queued")
        assert "no worker is running to continue this" in ended.stderr
        assert log.read_text() == "first\n"

        ended = pauseflow("show", ended.execution["id"], "--json")
        assert ended.execution["steps"]["first"]["state"] == "finished"

    def test_twice_interrupts_the_step_which_runs_again_as_a_new_attempt(self, pauseflow: Pauseflow) -> None:
        log = pauseflow.folder / "log"
        source = notebook(
            pauseflow.folder,
            f"{IMPORT}\nimport pathlib, time\nlog = pathlib.Path({str(log)!r})",
            "%%step slow\nattempt = flow.context.run.attempt\nlog.open('a').write(f'{attempt}\\n')\n"
            "time.sleep(60 if attempt == 1 else 0)",
        )
        running = pauseflow.start("run", source, "out.ipynb", "--json")
        in_step(running, log)
        running.process.send_signal(signal.SIGINT)
        running.line_with("Ctrl-C again")
        running.process.send_signal(signal.SIGINT)
        left = running.end()
        worker = pauseflow.start("worker")
        worker.line_with("is ready")
        wait_until(lambda: log.read_text() == "1\n2\n", "the step ran again")

        assert left.code == 130
        assert left.execution["state"] == "queued"
        wait_until(
            lambda: pauseflow("show", left.execution["id"], "--json").execution["state"] == "completed", "completed"
        )

    def test_sigterm_is_like_the_second_and_keeps_what_was_shown(self, pauseflow: Pauseflow) -> None:
        log = pauseflow.folder / "log"
        source = notebook(
            pauseflow.folder,
            f"{IMPORT}\nimport pathlib, time",
            f"%%step slow\nprint('so far', flush=True)\npathlib.Path({str(log)!r}).write_text('1\\n')\ntime.sleep(60)",
        )
        running = pauseflow.start("run", source, "out.ipynb", "--json")
        in_step(running, log)
        running.process.send_signal(signal.SIGTERM)
        left = running.end()

        assert (left.code, left.execution["state"]) == (130, "queued")
        assert "no worker is running to continue this" in left.stderr
        assert left.notebook.cells[-1].metadata.papermill.status == "interrupted"
        assert left.notebook.cells[-1].outputs[0].text == "so far\n"

    def test_while_it_waits_leaves_it_suspended(self, pauseflow: Pauseflow) -> None:
        running = pauseflow.start("run", notebook(pauseflow.folder, IMPORT, ASK), "out.ipynb", "--json")
        running.link("resume")
        running.process.send_signal(signal.SIGINT)
        ended = running.end()

        assert (ended.code, ended.execution["state"]) == (130, "suspended")
        assert "no worker is running to continue this" in ended.stderr

    @pytest.mark.parametrize("module", ["pauseflow_nb.cli.options", "pauseflow_nb.engine.queue"])
    def test_before_anything_runs_it_stops_with_a_sentence(self, pauseflow: Pauseflow, module: str) -> None:
        """The modules are imported before click takes over, and in the command."""
        program = (
            "import runpy, signal, sys\n"
            "class Interrupting:\n"
            "    def find_spec(self, name, *_):\n"
            f"        name == {module!r} and signal.raise_signal(signal.SIGINT)\n"
            "sys.meta_path.insert(0, Interrupting())\n"
            "sys.argv = ['pauseflow', 'list']\n"
            "runpy.run_module('pauseflow_nb', run_name='__main__', alter_sys=True)"
        )
        ended = pauseflow.start_process("-c", program).end()

        assert (ended.code, ended.stdout, ended.stderr.strip()) == (130, "", "pauseflow: stopped by Ctrl-C")

    @pytest.mark.thorough
    def test_while_an_answer_waits_for_the_end_the_command_names_the_execution(self, pauseflow: Pauseflow) -> None:
        log = pauseflow.folder / "log"
        slow = f"import pathlib, time\npathlib.Path({str(log)!r}).write_text('1\\n')\ntime.sleep(2)"
        source = notebook(pauseflow.folder, IMPORT, ASK, f"%%step slow\n{slow}")
        waits = pauseflow("run", source, "--until-pause", "--json").execution
        running = pauseflow.start("resume", waits["id"], "--wait")
        in_step(running, log)
        running.process.send_signal(signal.SIGINT)
        ended = running.end()

        assert ended.code == 130
        # Nobody else runs it, so that "no longer waiting" would not be true.
        stops = f"execution {waits['id']} stops before its next cell: `pauseflow show {waits['id']}` shows its state"
        assert stops in ended.stderr
        assert ended.stderr.endswith("pauseflow: stopped by Ctrl-C\n")


class TestDetach:
    def test_without_a_worker_says_so_and_stores_nothing(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow("run", notebook(pauseflow.folder, "1"), "out.ipynb", "--detach")

        assert ended.code == 1
        assert "no worker is alive" in ended.stderr
        assert pauseflow.executions() == []

    def test_with_a_worker_returns_at_once(self, pauseflow: Pauseflow) -> None:
        pauseflow.start("worker").line_with("is ready")
        ended = pauseflow("run", notebook(pauseflow.folder, IMPORT, ASK), "out.ipynb", "--detach", "--json")

        assert ended.code == 0
        assert ended.execution["state"] in {"queued", "running"}
        wait_until(lambda: pauseflow.executions()[0]["state"] == "suspended", "it runs")


class TestAnswers:
    def test_resume_with_wait_runs_it_here_when_nobody_else_would(self, pauseflow: Pauseflow) -> None:
        source = notebook(pauseflow.folder, IMPORT, ASK, "%%step after\nsteps.ask.data")
        waits = pauseflow("run", source, "out.ipynb", "--until-pause", "--json").execution
        ended = pauseflow("resume", waits["id"], "--data", '{"n": 1}', "--wait", "--json")

        assert (ended.code, ended.execution["state"]) == (0, "completed")
        assert ended.exports("after")["$return_value"] == {"n": 1}
        assert ended.notebook.cells[-1].outputs[0].data["text/plain"] == "{'n': 1}"

    @pytest.mark.thorough
    def test_resume_with_wait_after_its_run_was_killed_a_moment_ago(self, pauseflow: Pauseflow) -> None:
        """The dead still look alive for some seconds, and then nobody would run it."""
        source = notebook(pauseflow.folder, IMPORT, ASK, "%%step after\nsteps.ask.data")
        killed = pauseflow.start("run", source, "out.ipynb")
        execution = killed.line_with("execution ").split()[1]
        killed.link("resume")
        killed.kill()
        ended = pauseflow("resume", execution, "--data", "7", "--wait", "--json")

        assert (ended.code, ended.exports("after")["$return_value"]) == (0, 7)

    def test_resume_without_anybody_alive_says_that_nothing_will_wake_it(self, pauseflow: Pauseflow) -> None:
        waits = pauseflow("run", notebook(pauseflow.folder, IMPORT, ASK), "--until-pause", "--json").execution
        ended = pauseflow("resume", waits["id"])

        assert ended.code == 0
        assert "no worker is running to continue this" in ended.stderr

    def test_resume_of_the_wrong_step_or_state_says_what_is(self, pauseflow: Pauseflow) -> None:
        waits = pauseflow("run", notebook(pauseflow.folder, IMPORT, ASK), "--until-pause", "--json").execution

        wrong_step = pauseflow("resume", waits["id"], "--step", "other")
        pauseflow("cancel", waits["id"])
        cancelled = pauseflow("resume", waits["id"])

        assert (wrong_step.code, cancelled.code) == (2, 2)
        assert "'other'" in wrong_step.stderr
        assert "it is cancelled" in cancelled.stderr

    def test_cancel_is_written_into_the_notebook(self, pauseflow: Pauseflow) -> None:
        source = notebook(pauseflow.folder, IMPORT, ASK)
        waits = pauseflow("run", source, "out.ipynb", "--until-pause", "--json").execution
        ended = pauseflow("cancel", waits["id"], "--reason", "not today", "--wait", "--json")

        assert (ended.code, ended.execution["state"]) == (0, "cancelled")
        assert ended.execution["reason"]["text"] == "not today"
        shown = str(ended.notebook.cells[1].outputs)
        assert "ancelled" in shown
        assert "waits" not in shown


class TestTwoAtOnce:
    @pytest.mark.thorough
    def test_the_second_takes_over_the_links_when_the_first_has_gone(self, pauseflow: Pauseflow) -> None:
        source = notebook(pauseflow.folder, IMPORT, ASK, "%%step after\nsteps.ask.data")
        first = pauseflow.start("run", source, "--json")
        link_of_first = first.link("resume")
        second = pauseflow.start("run", source, "--json")
        link_of_second = second.link("resume")

        assert link_of_second.split("/pauseflow/")[0] == link_of_first.split("/pauseflow/")[0]

        assert send(link_of_first, "one")[0] == 200
        assert first.end().exports("after")["$return_value"] == "one"

        def settled() -> bool:
            try:
                return send(link_of_second, "two")[0] == 200
            except OSError:
                return False

        wait_until(settled, "the second listens on the same port")
        assert second.end().exports("after")["$return_value"] == "two"


def test_json_is_exactly_one_value_even_when_cells_print(pauseflow: Pauseflow) -> None:
    ended = pauseflow("run", notebook(pauseflow.folder, "print('hello')"), "--json", "--log-output")

    assert json.loads(ended.stdout)["state"] == "completed"
    assert "hello" in ended.stderr


@pytest.mark.new_process  # nor does an import warn of anything
def test_quiet_prints_nothing(pauseflow: Pauseflow) -> None:
    # Papermill would warn of a parameter that the notebook does not know.
    ended = pauseflow("run", notebook(pauseflow.folder, IMPORT, "%%step a\n1"), "--quiet", "-p", "unknown", "1")

    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")


def test_a_notebook_runs_where_the_standard_streams_are_closed(pauseflow: Pauseflow) -> None:
    path = notebook(pauseflow.folder, IMPORT, "%%step a\n1")
    command = [sys.executable, "-m", "pauseflow_nb", "run", str(path), "out.ipynb"]
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    code = subprocess.run(closed, cwd=pauseflow.folder, env=pauseflow.environment, check=False).returncode

    assert (code, pauseflow.executions()[0]["state"]) == (0, "completed")


def test_outputs_prints_the_notebook_as_it_stands(pauseflow: Pauseflow) -> None:
    waits = pauseflow("run", notebook(pauseflow.folder, IMPORT, ASK), "--until-pause", "--json").execution
    printed = json.loads(pauseflow("outputs", waits["id"]).stdout)

    assert printed["nbformat"] == 4
    assert "Go on?" in json.dumps(printed)


class TestOpen:
    def test_what_it_asks_while_somebody_answers_and_the_notebook_otherwise(self, pauseflow: Pauseflow) -> None:
        running = pauseflow.start("run", notebook(pauseflow.folder, IMPORT, ASK), "out.ipynb", "--json")
        link, execution = running.link("approve"), running.line_with("execution ").split()[1]
        asks = pauseflow("open", execution, "--json").execution
        send(running.link("resume"))
        running.end()
        done = pauseflow("open", execution, "--no-browser")

        assert asks == {"execution": execution, "url": link}
        page = Path(done.stdout.strip().removeprefix("file://"))
        assert "Resumed" in page.read_text() or "flow.suspend" in page.read_text()
        page.unlink()

    def test_nobody_answers(self, pauseflow: Pauseflow) -> None:
        waits = pauseflow("run", notebook(pauseflow.folder, IMPORT, ASK), "--until-pause", "--json").execution["id"]
        ended = pauseflow("open", waits, "--no-browser")

        assert ended.code == 1
        assert "pauseflow serve" in ended.stderr


def test_gc_removes_what_ended_long_ago(pauseflow: Pauseflow) -> None:
    done = pauseflow("run", notebook(pauseflow.folder, "1"), "out.ipynb", "--json").execution["id"]
    cleaned = pauseflow("gc", "--older-than", "1ms", "--json").execution

    assert cleaned["executions"] == [done]
    assert cleaned["bytes"] > 0
    assert pauseflow.executions() == []
    assert (pauseflow.folder / "out.ipynb").exists()


@pytest.mark.new_process
def test_doctor_says_where_a_setting_came_from(pauseflow: Pauseflow) -> None:
    found = json.loads(pauseflow("doctor", "--json").stdout)

    assert found["settings"]["data_dir"]["origin"] == "environment"
    assert found["settings"]["links"] == {"value": "confirm", "origin": "default"}


def test_show_state_lists_the_variables_of_the_last_checkpoint(pauseflow: Pauseflow) -> None:
    path = notebook(
        pauseflow.folder, "big = 'x' * 100_000; few = [1]", "%%step ask\nfrom pauseflow_nb import flow\nflow.suspend()"
    )
    waits = pauseflow("run", path, "--until-pause", "--json").execution["id"]

    variables = json.loads(pauseflow("show", waits, "--state", "--json").stdout)["variables"]
    printed = pauseflow("show", waits, "--state").stdout

    assert variables[0]["name"] == "big"
    assert variables[0]["size"] > 100_000
    assert re.search(r"\nbig +str +100\.\d kB +\S+ ms +restored", printed)
    assert printed.index("\nbig ") < printed.index("\nfew ")


@pytest.mark.thorough
def test_a_row_that_cannot_be_read_is_listed_with_its_reason(pauseflow: Pauseflow) -> None:
    for number in range(2):
        ended = pauseflow("run", notebook(pauseflow.folder, IMPORT, ASK), f"{number}.ipynb", "--until-pause")
        assert ended.code == 75
    bad, good = (each["id"] for each in pauseflow.executions())
    queue = Queue.open(Settings.load(flags={"data_dir": pauseflow.environment["PAUSEFLOW_DATA_DIR"]}, environment={}))
    with transaction(queue.engine) as connection:
        connection.execute(sa.text("UPDATE executions SET parameters = '{' WHERE id = :id"), {"id": bad})
    queue.close()

    listed, shown, cancelled = pauseflow("list"), pauseflow("show", bad), pauseflow("cancel", bad)
    problems = {each["id"]: each.get("problem") for each in pauseflow.executions()}

    assert (listed.code, shown.code, cancelled.code) == (0, 0, 0)
    assert good in listed.stdout
    assert "cannot be shown" in listed.stdout
    assert "not JSON" in listed.stderr
    assert "problem   this execution cannot be shown: a value is not JSON" in shown.stdout
    assert problems[good] is None
    assert "not JSON" in str(problems[bad])
    assert pauseflow("show", bad, "--json").execution["state"] == "cancelled"


def test_no_text_of_a_notebook_acts_on_the_terminal(pauseflow: Pauseflow) -> None:
    evil = r"'go\x1b]0;t\x07\u202e\n  usage     forged'"
    ask = f"%%step ask\nprint({evil})\nflow.suspend(title={evil}, message={evil})"
    waits = pauseflow("run", notebook(pauseflow.folder, IMPORT, ask), "a.ipynb", "--until-pause", "--log-output")
    fails = pauseflow("run", notebook(pauseflow.folder, f"raise ValueError({evil})"), "b.ipynb")
    (failed, open_) = (each["id"] for each in pauseflow.executions())
    shown = [waits, fails, pauseflow("show", failed), pauseflow("show", open_), pauseflow("list")]
    shown += [pauseflow("show", open_, "--json"), pauseflow("outputs", open_), pauseflow("show", "x\x1b[2J")]

    assert (waits.code, fails.code) == (75, 1)
    for ended in shown:
        text = ended.stdout + ended.stderr
        assert not [char for char in text if not char.isprintable() and char != "\n"], text
    assert "\n  usage     forged" not in shown[3].stdout
    assert json.loads(shown[5].stdout)["suspended"][0]["title"] == "go\x1b]0;t\x07\u202e\n  usage     forged"
