"""Lists the paths that releases of Home Assistant serve, from their source.

    python3 routes.py 2026.11.0=DIR/homeassistant 2024.3.3=DIR/homeassistant >routes.txt

A line is: the methods, the pattern, the releases that have it, the file that it comes
from. It needs Python 3.13 or newer. Nothing of Home Assistant is run.
"""

import ast
import glob
import os
import re
import sys

METHODS = ("get", "head", "post", "put", "delete", "patch", "options")


def text(node, names):
    """Return what a string in the source is, as far as names are known."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, (ast.Name, ast.Attribute)):
        return names.get(node.id if isinstance(node, ast.Name) else node.attr)
    if isinstance(node, ast.FormattedValue):
        return text(node.value, names)
    if isinstance(node, ast.JoinedStr):
        parts = [text(v, names) for v in node.values]
        return None if None in parts else "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [text(node.left, names), text(node.right, names)]
        return None if None in parts else "".join(parts)
    return None


def parse(name):
    with open(name, encoding="utf-8") as f:
        source = f.read()
    # Python 3.14 takes "except A, B:" without parentheses.
    source = re.sub(r"^(\s*)except ([\w.]+(?:, [\w.]+)+):", r"\1except (\2):", source, flags=re.M)
    return ast.parse(source)


def assignments(body):
    for n in body:
        if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name):
            yield n.targets[0].id, n.value
        elif isinstance(n, ast.AnnAssign) and n.value is not None and isinstance(n.target, ast.Name):
            yield n.target.id, n.value


def routes(root):
    """Yield (methods, pattern, file) of a homeassistant folder."""
    files = sorted(glob.glob(root + "/components/*/**/*.py", recursive=True)) + sorted(glob.glob(root + "/helpers/*.py"))
    for name in files:
        with open(name, encoding="utf-8") as f:
            source = f.read()
        if not re.search(r"View\b|StaticPathConfig|register_static_path|register_redirect", source):
            continue
        tree = parse(name)
        names = {"DOMAIN": os.path.basename(os.path.dirname(name))}
        beside = [os.path.join(os.path.dirname(name), "const.py"), name]
        for other in [root + "/const.py"] + [b for b in beside if os.path.exists(b)]:
            for key, value in assignments(parse(other).body):
                if (t := text(value, names)) is not None:
                    names[key] = t
        classes = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}

        def methods(cls, seen=()):
            found = {n.name for n in cls.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and n.name in METHODS}
            found |= {key for key, _ in assignments(cls.body) if key in METHODS}
            for base in cls.bases:
                base = ast.unparse(base).split("[")[0].split(".")[-1]
                if base in ("FlowManagerIndexView", "_BaseFlowManagerView"):
                    found |= {"post"}
                elif base == "FlowManagerResourceView":
                    found |= {"get", "post", "delete"}
                elif base in classes and base not in seen:
                    found |= methods(classes[base], (*seen, base))
            return found

        short = os.path.relpath(name, root)
        for cls in classes.values():
            own = dict(assignments(cls.body))
            local = {**names, **{k: t for k, v in own.items() if (t := text(v, names)) is not None}}
            urls = [text(own["url"], local)] if "url" in own else []
            if isinstance(own.get("extra_urls"), ast.List):
                urls += [text(e, local) for e in own["extra_urls"].elts]
            for url in urls:
                if url and (found := methods(cls)):
                    yield ",".join(m.upper() for m in METHODS if m in found), url, short
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            called = ast.unparse(call.func).split(".")[-1]
            url = text(call.args[0], names)
            if called in ("StaticPathConfig", "register_static_path") and url:
                exact = "." in url.rsplit("/", 1)[-1] or url == "/auth/authorize"
                yield "GET,HEAD", url if exact else url + "/{path:.*}", short
            elif called == "register_redirect" and url:
                yield "GET", url, short


def main():
    found = {}
    for arg in sys.argv[1:]:
        release, root = arg.split("=")
        for methods, url, name in routes(root):
            if name.startswith("components/emulated_hue/"):
                continue  # on a port of its own
            found.setdefault((url, methods, name), []).append(release)
    for (url, methods, name), releases in sorted(found.items()):
        print(methods, url, ",".join(releases), name)


main()
