"""Reads what it is given with the readers that Home Assistant uses, a line of JSON at a time.

{"kind": "json" | "target" | "form" | "yaml" | "configuration", "data": hex, …} is answered with
{"ok": what was understood} or {"refused": why}.
"""

import asyncio
import binascii
import json
import os
import sys

import orjson
import yaml
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from aiohttp.test_utils import make_mocked_request


def read_json(case, data):
    """Return id and type of each command, as websocket_api/connection.py takes them."""
    message = orjson.loads(data)
    commands = []
    for c in message if isinstance(message, list) else [message]:
        if not isinstance(c, dict):
            raise ValueError("not an object")
        id_, type_ = c.get("id"), c.get("type")
        commands.append([str(id_) if type(id_) is int and id_ > 0 else "0", type_ if type(type_) is str else ""])
    try:
        again = orjson.dumps(message)
    except TypeError:  # it writes less deep than it reads
        again = b""
    return {"commands": commands, "again": binascii.hexlify(again).decode()}


async def read_target(case, data):
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16)
    messages, _, _ = parser.feed_data(b"GET " + data + b" HTTP/1.1\r\nHost: home\r\n\r\n")
    ((message, _),) = messages
    url = message.url
    return {"host": url.raw_host or "", "raw": url.raw_path, "path": url.path, "safe": url.path_safe, "query": url.raw_query_string,
            "sig": url.query.get("authSig", "")}


async def read_form(case, data):
    stream = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**20, loop=asyncio.get_running_loop())
    stream.feed_data(data)
    stream.feed_eof()
    request = make_mocked_request("POST", "/auth/token", headers={"Content-Type": case["type"], "Content-Length": str(len(data))}, payload=stream)
    form = await request.post()
    return [[k, v if isinstance(v, str) else "not text"] for k, v in form.items()]


class Loader(yaml.SafeLoader):
    """The tags of annotatedyaml's loader.py."""


def beside(loader, node):
    return os.path.join(os.path.dirname(loader.name), node.value)


def load(name):
    with open(name, encoding="utf-8") as f:
        loader = Loader(f)
        loader.name = name
        return loader.get_single_data()


def files(directory):
    for root, dirs, names in os.walk(directory):
        dirs[:] = sorted(d for d in dirs if not d.startswith("."))  # there in any order
        for n in sorted(names):
            if not n.startswith(".") and n.endswith(".yaml") and n != "secrets.yaml":
                yield os.path.join(root, n)


def include(loader, node):
    value = load(beside(loader, node))
    return {} if value is None else value


def secret(loader, node):
    directory = os.path.dirname(loader.name)
    while True:
        name = os.path.join(directory, "secrets.yaml")
        if os.path.exists(name) and node.value in (found := load(name) or {}):
            return found[node.value]
        if directory == Loader.top:
            raise yaml.YAMLError("no such secret")
        directory = os.path.dirname(directory)


def merged(loader, node):
    out = {}
    for f in files(beside(loader, node)):
        if isinstance(value := load(f), dict):
            out.update(value)
    return out


Loader.add_constructor("!include", include)
Loader.add_constructor("!secret", secret)
Loader.add_constructor("!input", lambda loader, node: node.value)
Loader.add_constructor("!env_var", lambda loader, node: " ".join(node.value.split()[1:]))
Loader.add_constructor("!include_dir_named", lambda loader, node: {
    os.path.splitext(os.path.basename(f))[0]: ({} if (v := load(f)) is None else v) for f in files(beside(loader, node))})
Loader.add_constructor("!include_dir_merge_named", merged)
Loader.add_constructor("!include_dir_list", lambda loader, node: [v for f in files(beside(loader, node)) if (v := load(f)) is not None])
Loader.add_constructor("!include_dir_merge_list", lambda loader, node: [
    i for f in files(beside(loader, node)) if isinstance(v := load(f), list) for i in v])


def text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def read_yaml(case, data):
    """Return the http options of a configuration, each as a list of texts, or None for no http."""
    Loader.top = case["folder"]
    config = load(os.path.join(Loader.top, "configuration.yaml")) or {}
    found = "http" in config
    options = dict(config.get("http") or {})
    for package in ((config.get("homeassistant") or {}).get("packages") or {}).values():
        if package and "http" in package:
            found = True
            for k, v in (package["http"] or {}).items():
                options.setdefault(k, v)
    if not found:
        return None
    return {k: [text(i) for i in v] if isinstance(v, list) else [text(v)] for k, v in options.items()}


def plain(value):
    """Return mappings as lists of pairs, sorted, and everything else as text; what is empty is null."""
    if isinstance(value, dict):
        return sorted(([text(k), plain(v)] for k, v in value.items()), key=lambda pair: pair[0]) or None
    if isinstance(value, list):
        return {"list": [plain(v) for v in value]}
    return None if value is None else text(value)


def read_configuration(case, data):
    """Return a whole configuration."""
    Loader.top = case["folder"]
    config = load(os.path.join(Loader.top, "configuration.yaml"))
    if config is not None and not isinstance(config, dict):
        raise yaml.YAMLError("not a mapping")
    return {"all": plain(config)}


def read_tree(case, data):
    """Return all that a configuration says, with the type of each value."""
    Loader.top = case["folder"]
    return repr(load(os.path.join(Loader.top, "configuration.yaml")))


async def main():
    readers = {"configuration": read_configuration, "json": read_json, "target": read_target, "form": read_form, "yaml": read_yaml, "tree": read_tree}
    for line in sys.stdin:
        case = json.loads(line)
        try:
            answer = readers[case["kind"]](case, bytes.fromhex(case["data"]))
            if asyncio.iscoroutine(answer):
                answer = await answer
            answer = {"ok": answer}
        except Exception as e:  # whatever a reader raises is a refusal
            answer = {"refused": f"{type(e).__name__}: {e}"[:200]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


asyncio.run(main())
