"""Log lines: one for each event, whatever is in it."""

from __future__ import annotations

import json
import logging

import pytest

from node.logs import JsonLines, TextLines, configure


def record(message, level=logging.INFO, **fields):
    made = logging.makeLogRecord({"name": "quorate.compute", "msg": message, "levelno": level, "levelname": "INFO"})
    vars(made).update(fields)
    return made


def test_json_lines_carry_the_event_and_its_fields():
    line = json.loads(JsonLines().format(record("bid", job="j1", addresses=["/ip4/1.2.3.4"])))
    assert (line["part"], line["event"], line["job"], line["addresses"]) == ("compute", "bid", "j1", ["/ip4/1.2.3.4"])


@pytest.mark.parametrize("style", [JsonLines(), TextLines()])
def test_a_line_stays_one_line_whatever_a_field_says(style):
    assert "\n" not in style.format(record("declined", reason='a\nfake: line\r\x1b[31m"'))


def test_text_lines_quote_what_has_spaces():
    assert TextLines().format(record("declined", reason="no room", job="j")).endswith('declined reason="no room" job=j')


@pytest.fixture
def _as_before():
    loggers = [logging.getLogger(name) for name in (None, "quorate", "quorate.node")]
    levels, handlers = [logger.level for logger in loggers], loggers[0].handlers
    yield
    loggers[0].handlers = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("_as_before")
def test_that_a_node_is_ready_is_told_at_every_level(capsys):
    configure("json", "warning")
    for part, event in (("node", "ready"), ("compute", "bid")):
        logging.getLogger(f"quorate.{part}").info(event)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "ready"
