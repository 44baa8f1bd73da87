"""A real Jupyter server with our extension, its store shared with the test."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403 - fixtures; only this folder pays for the automatic ones
from server.extension.loops import run_in
from tornado.httpclient import HTTPResponse
from traitlets.config import Config

from pauseflow_nb.settings import Settings

Fetch: TypeAlias = Callable[..., HTTPResponse]


@pytest.fixture  # type: ignore[no-redef]  # overriding is what fixtures are for
def jp_server_config(settings: Settings) -> Config:
    config = Config()
    config.ServerApp.jpserver_extensions = {"pauseflow_nb": True, "jupyter_server_terminals": False}
    config.PauseflowExtension.pauseflow_dir = str(settings.data_dir)
    config.PauseflowExtension.max_body = str(int(settings.max_body))
    config.PauseflowExtension.start_worker = False
    return config


@pytest.fixture
def fetch(jp_fetch: Callable[..., Any], jp_asyncio_loop: asyncio.AbstractEventLoop) -> Fetch:
    """Ask the server, signed in; any status is an answer. `json=` is sent as JSON."""

    def call(path: str, *, json: Any = None, **options: Any) -> HTTPResponse:
        if json is not None:
            options = {"method": "POST", "body": dumps(json), **options}
        options.setdefault("allow_nonstandard_methods", True)
        answer = run_in(jp_asyncio_loop, lambda: jp_fetch(*path.split("/"), raise_error=False, **options))
        return cast("HTTPResponse", answer)

    return call


@pytest.fixture
def stranger(http_server_client: Any, jp_base_url: str, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Fetch:
    """Ask the server without login, cookies or anything else; any status is an answer."""

    def call(path: str, **options: Any) -> HTTPResponse:
        options.setdefault("allow_nonstandard_methods", True)
        url = jp_base_url + path
        answer = run_in(jp_asyncio_loop, lambda: http_server_client.fetch(url, raise_error=False, **options))
        return cast("HTTPResponse", answer)

    return call


dumps = json.dumps
