"""Requests inside MiniStack: its application, the handler of each service, and the account and region of a request.

What a single service keeps does not belong here.
"""

import contextvars
import importlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

Result = TypeVar("Result")

Handler = Callable[[str, str, Any, bytes, Any], Awaitable[Any]]
"""Answers one request: method, path, headers, body, query -> (status, headers, body)."""


def application() -> Any:
    """Return MiniStack's ASGI application."""
    return app().app


def handler(service: str) -> Handler:
    """Return the handler of a service, such as "s3"."""
    found: Handler = app().SERVICE_HANDLERS[service]
    return found


def replace_handler(service: str, new: Handler) -> None:
    """Answer every request to `service` by `new` from now on."""
    app().SERVICE_HANDLERS[service] = new


def account() -> str:
    """Return the account of the current request."""
    found: str = responses().get_account_id()
    return found


def region() -> str:
    """Return the region of the current request."""
    found: str = responses().get_region()
    return found


def access_key(headers: Any, query: Any) -> str:
    """Return the access key that a request names; "" for an unsigned request."""
    router = importlib.import_module("ministack.core.router")
    found: str | None = router.extract_access_key_id(headers, query)
    return found or ""


def scope(account: str, region: str) -> AbstractContextManager[None]:
    """Return a context manager; code inside it runs as part of a request of that account and region."""
    found: AbstractContextManager[None] = responses().request_scope(account, region)
    return found


def within(account: str, region: str, call: Callable[[], Result]) -> Result:
    """Call `call` as part of a request of that account and region, and return its result."""

    def scoped() -> Result:
        with scope(account, region):
            return call()

    return contextvars.copy_context().run(scoped)


def app() -> Any:
    """Return the module of MiniStack's application. Only for this package."""
    return importlib.import_module("ministack.app")


def responses() -> Any:
    """Return the module that keeps a request's account and region. Only for this package."""
    return importlib.import_module("ministack.core.responses")


def service(name: str) -> Any:
    """Return a service's module, loaded as MiniStack's dispatcher loads it. Only for this package."""
    loaded: Any = app()._get_module(name)
    return loaded
