"""The online store on Redis: one server, Sentinels or a cluster; for threads and for asyncio."""
