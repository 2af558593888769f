"""What a ``FeatureStore`` holds: settings, clock, and the parts that are opened when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from featurestore.intervals import utc_now
from featurestore.settings import Settings, load_settings, parse_settings

if TYPE_CHECKING:
    from featurestore.ingest.writer import OnlineWriter
    from featurestore.runtime.context import RuntimeContext
    from featurestore.serving.aio import AsyncOnlineClient
    from featurestore.serving.client import OnlineClient

__all__ = ["StoreParts"]


class StoreParts:
    """Opens parts lazily, and closes what it opened."""

    def __init__(
        self,
        repo_path: str | Path = ".",
        config: Mapping[str, Any] | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        spark: Any = None,
    ) -> None:
        repo = Path(repo_path).resolve()
        self.settings: Settings = load_settings(repo) if config is None else parse_settings(dict(config), repo=repo)
        self.clock = clock
        self._spark = spark

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened; the store opens it again when it is used again."""
        for name in ("runtime", "_client", "_writer"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what was opened, the connections of asyncio lookups too; to be called in their event loop."""
        if "_async_client" in self.__dict__:
            await self.__dict__.pop("_async_client").close()
        self.close()

    @cached_property
    def runtime(self) -> RuntimeContext:
        """What materialization runs in."""
        from featurestore.runtime.context import RuntimeContext

        self._import_repo()
        return RuntimeContext(self.settings, clock=self.clock, spark=self._spark)

    @cached_property
    def _client(self) -> OnlineClient:
        from featurestore.serving.connect import connect_client

        self._import_repo()
        return connect_client(self.settings, clock=self.clock)

    @cached_property
    def _async_client(self) -> AsyncOnlineClient:
        from featurestore.serving.connect import connect_async_client

        self._import_repo()
        return connect_async_client(self.settings, clock=self.clock)

    @cached_property
    def _writer(self) -> OnlineWriter:
        from featurestore.ingest.connect import connect_writer

        self._import_repo()
        return connect_writer(
            self.settings, clock=self.clock, infer=lambda view, rows: self._client.infer_rows(view, rows)
        )

    def _import_repo(self) -> None:
        repo = str(self.settings.repo)
        if repo not in sys.path:
            sys.path.insert(0, repo)
