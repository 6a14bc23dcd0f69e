"""The async side: what `_core` decides is done with asyncio and aiohttp."""
