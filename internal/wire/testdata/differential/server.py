"""Home Assistant's own HTTP server, aiohttp, which says what it understood.

Prints its port, answers every request with JSON, and ends with standard input.
"""

import asyncio
import sys

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

# As in homeassistant/components/http/__init__.py.
MAX_LINE = 24570


async def answer(request):
    body = await request.read()
    return web.json_response({
        "method": request.method,
        "target": request.raw_path,
        "headers": [[name.hex(), value.hex()] for name, value in request.raw_headers],
        "body": body.hex(),
    })


async def main():
    python = HttpRequestParser is HttpRequestParserPy
    if python != (sys.argv[1] == "python"):
        sys.exit("aiohttp has the other parser than the one that was asked for")
    runner = web.ServerRunner(web.Server(answer, max_line_size=MAX_LINE, max_field_size=MAX_LINE, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


asyncio.run(main())
