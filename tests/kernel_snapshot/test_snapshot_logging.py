"""Log handlers that cells added write on in the next kernel."""

from typing import Any

from kernel_snapshot.conftest import Kernels, cell

ORDINARY = """
import logging, logging.handlers, sys
class Short(logging.Filter):
    def filter(self, record): return len(record.getMessage()) < limit
limit = 20
log = logging.getLogger('shop'); log.setLevel(logging.DEBUG); log.propagate = False
form = logging.Formatter('%(levelname)s|%(message)s')
for handler in (
    logging.FileHandler('plain.log', mode='w', encoding='utf-8'), logging.handlers.RotatingFileHandler('rotating.log', maxBytes=10_000, backupCount=2),
    logging.handlers.TimedRotatingFileHandler('timed.log', when='D', delay=True), logging.handlers.WatchedFileHandler('watched.log'),
    logging.StreamHandler(sys.stdout), logging.NullHandler(),
):
    handler.setFormatter(form); handler.setLevel(logging.INFO); handler.addFilter(Short()); log.addHandler(handler)
log.handlers[0].set_name('first')
logging.getLogger('shop.cart').addHandler(log.handlers[0])
log.info('before')
"""
CHECK = """
import pathlib
assert [type(h).__name__ for h in log.handlers] == ['FileHandler', 'RotatingFileHandler', 'TimedRotatingFileHandler', 'WatchedFileHandler', 'StreamHandler', 'NullHandler']
log.info('after'); log.debug('not shown'); log.info('x' * 30)
for name in ('plain.log', 'rotating.log', 'timed.log', 'watched.log'):
    assert pathlib.Path(name).read_text() == 'INFO|before\\nINFO|after\\n', (name, pathlib.Path(name).read_text())
limit = 100; log.info('y' * 30)
assert 'y' * 30 in pathlib.Path('plain.log').read_text()
assert not log.propagate and log.handlers[1].maxBytes == 10_000 and log.handlers[4].stream is sys.stdout
assert logging.getHandlerByName('first') is log.handlers[0] if hasattr(logging, 'getHandlerByName') else logging._handlers['first'] is log.handlers[0]
"""


def test_ordinary_handlers_come_back_with_level_format_and_filters(kernels: Kernels) -> None:
    saved = kernels.save(ORDINARY, "del handler")

    restored, put_back, checked, shared = kernels.run(
        *_restoring(kernels, saved),
        cell(CHECK),
        cell("assert logging.getLogger('shop.cart').handlers == [log.handlers[0]]"),
    )

    assert (saved["notes"], restored["notes"], put_back["notes"]) == ([], [], [])
    assert checked["error"] is None, checked["error"]
    assert shared["error"] is None


def test_a_handler_that_is_a_variable_too_is_one_object(kernels: Kernels) -> None:
    saved = kernels.save(
        "import logging\nclass Listed(logging.Handler):\n    def __init__(self, kept): super().__init__(); self.kept = kept\n"
        "    def emit(self, record): self.kept.append(record.getMessage())\nlines = []; mine = Listed(lines); logging.getLogger('a').addHandler(mine)"
    )

    *_, checked = kernels.run(
        *_restoring(kernels, saved),
        cell(
            "logging.getLogger('a').warning('x')\nassert lines == ['x'] and logging.getLogger('a').handlers == [mine]"
        ),
    )

    assert saved["unsaved"] == {}
    assert checked["error"] is None, checked["error"]


def test_basic_config_of_a_step_comes_back(kernels: Kernels) -> None:
    saved = kernels.save(
        "import logging\nlogging.basicConfig(filename='basic.log', level='INFO', format='%(message)s')\nlogging.info('one')"
    )

    *_, checked = kernels.run(
        *_restoring(kernels, saved),
        cell("import logging\nlogging.info('two')\nassert open('basic.log').read() == 'one\\ntwo\\n'"),
    )

    assert checked["error"] is None, checked["error"]


def test_no_handler_is_doubled_by_a_setup_or_a_module_that_adds_it_again(kernels: Kernels) -> None:
    (kernels.directory / "pf_logs.py").write_text(
        "import logging\nlog = logging.getLogger('module')\nlog.addHandler(logging.FileHandler('module.log'))\ndef f(): log.error('m')"
    )
    begin, end = {"do": "begin_setup"}, {"do": "end_setup"}
    setup = cell(
        "import logging\nlogging.basicConfig(filename='setup.log', format='%(message)s')\nlogging.getLogger('s').addHandler(logging.NullHandler())"
    )
    step = cell(
        "import sys; sys.path.insert(0, '.')\nimport pf_logs\n"
        "logging.getLogger().addHandler(logging.FileHandler('step.log')); logging.getLogger('s').addHandler(logging.NullHandler())"
    )
    saved = kernels.run(begin, setup, end, step, {"do": "save", "folder": kernels.folder})[-1]
    restore, put_back = _restoring(kernels, saved)

    check = cell(
        "pf_logs.f()\nassert open('module.log').read() == 'm\\n' == open('setup.log').read() == open('step.log').read()\n"
        "assert len(logging.getLogger('s').handlers) == 2 and len(logging.getLogger().handlers) == 2"
    )
    save = {"do": "save", "folder": kernels.folder}
    *_ran, checked, again = kernels.run(restore, begin, setup, end, put_back, check, save)

    assert checked["error"] is None, checked["error"]
    restore, put_back = _restoring(kernels, again)
    *_, checked = kernels.run(
        restore, begin, setup, end, put_back, cell("assert len(logging.getLogger('s').handlers) == 2")
    )
    assert checked["error"] is None, checked["error"]


def test_what_cells_took_from_or_set_at_the_handlers_of_a_module_stays_so(kernels: Kernels) -> None:
    (kernels.directory / "pf_logs.py").write_text(
        "import logging\nfor name in ('pf.quiet', 'pf.level'): logging.getLogger(name).addHandler(logging.StreamHandler())\n"
        "logging.getLogger('pf.quiet').addFilter(lambda record: False)"
    )
    setup = cell("import logging\nlogging.getLogger('pf.setup').addHandler(logging.StreamHandler())")
    step = cell(
        "import sys; sys.path.insert(0, '.')\nimport pf_logs, logging\nquiet, level = (logging.getLogger(f'pf.{name}') for name in ('quiet', 'level'))\n"
        "for each in quiet.handlers[:]: quiet.removeHandler(each)\nquiet.filters.clear()\n"
        "form = logging.Formatter('!%(message)s'); level.handlers[0].setLevel('ERROR'); level.handlers[0].setFormatter(form)\n"
        "logging.getLogger('pf.setup').handlers[0].setLevel('ERROR')"
    )
    begin, end = {"do": "begin_setup"}, {"do": "end_setup"}
    *_, saved = kernels.run(begin, setup, end, step, {"do": "save", "folder": kernels.folder})
    restore, put_back = _restoring(kernels, saved)

    check = cell(
        "assert (quiet.handlers, quiet.filters, len(level.handlers)) == ([], [], 1)\n"
        "assert level.handlers[0].level == logging.ERROR and level.handlers[0].formatter is form\n"
        "(handler,) = logging.getLogger('pf.setup').handlers; assert handler.level == logging.ERROR"
    )
    *_, checked = kernels.run(restore, begin, setup, end, put_back, check)

    assert saved["notes"] == []
    assert checked["error"] is None, checked["error"]


def test_a_file_whose_folder_is_gone_is_said_by_name(kernels: Kernels) -> None:
    saved = kernels.save(
        "import logging, os\nos.mkdir('logs'); logging.getLogger('a').addHandler(logging.FileHandler('logs/a.log'))\n"
        "logging.getLogger('a').addHandler(logging.NullHandler()); os.remove('logs/a.log'); os.rmdir('logs')"
    )

    _, put_back, checked = kernels.run(
        *_restoring(kernels, saved), cell("import logging\nassert len(logging.getLogger('a').handlers) == 1")
    )

    (note,) = put_back["notes"]
    assert note.startswith("log handler of a: FileHandler to ")
    assert "logs/a.log: FileNotFoundError" in note
    assert checked["error"] is None, checked["error"]


def _restoring(kernels: Kernels, saved: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    restore = {"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}
    return restore, {"do": "put_back", "bound_by_setup": []}
