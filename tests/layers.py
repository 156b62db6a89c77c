#!/usr/bin/python3
"""Keeps the floors: reads every #include of our own and refuses arrows that point up, rings between modules, and
libraries outside the rooms that may use them.  docs/architecture.md shows the same floors."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Rooms from the bottom to the top, and the rooms that each may look down into.  A room may always see itself.
FLOORS = {
    "proto/wire": [],
    "proto/proof": ["proto/wire"],
    "proto/keys": ["proto/proof", "proto/wire"],
    "proto/rules": ["proto/keys", "proto/proof", "proto/wire"],
    "pocd/base": ["proto/wire"],
    "pocd/store": ["pocd/base", "proto/wire"],
    "pocd/ledger": ["pocd/store", "pocd/base", "proto/keys", "proto/proof", "proto/wire"],
    "pocd/directory": ["pocd/ledger", "pocd/store", "pocd/base", "proto/rules", "proto/keys", "proto/proof", "proto/wire"],
    "pocd/handlers": ["pocd/directory", "pocd/ledger", "pocd/base", "proto/rules", "proto/proof", "proto/wire"],
    "pocd/net": ["pocd/base", "proto/wire"],
    "clients/libpoc": ["proto/rules", "proto/keys", "proto/proof", "proto/wire"],
    "clients/cli": ["clients/libpoc", "pocd/base", "proto/rules", "proto/keys", "proto/proof", "proto/wire"],
    "clients/poc": ["clients/cli", "clients/libpoc", "pocd/base", "proto/rules", "proto/keys", "proto/proof", "proto/wire"],
    "clients/pocadm": ["clients/cli", "clients/libpoc", "pocd", "pocd/directory", "pocd/ledger", "pocd/store", "pocd/base",
                       "proto/rules", "proto/keys", "proto/proof", "proto/wire"],
    # the top of the daemon: joins both towers
    "pocd": ["clients/libpoc", "pocd/handlers", "pocd/net", "pocd/directory", "pocd/ledger", "pocd/store", "pocd/base", "proto/rules",
             "proto/keys", "proto/proof", "proto/wire"],
}

# Header pattern -> files (prefixes) that may include it.
LIBRARIES = {
    r"openssl/ssl\.h": ["pocd/net/", "clients/libpoc/transport"],
    r"lmdb\.h": ["pocd/store/store_lmdb.c"],
    r"event2/": ["pocd/net/", "pocd/base/mailbox"],
    r"ini\.h": ["pocd/base/ini.c"],
    r"jansson\.h": ["clients/"],
    r"utf8proc\.h": ["proto/", "clients/cli/"],
    r"proto/wire/poc\.pb-c\.h": ["pocd/handlers/", "clients/libpoc/", "pocd/directory/", "pocd/follow"],
}


def includes(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line)
        if match:
            yield match.group(1)


def room_of(name):
    return str(pathlib.PurePosixPath(name).parent)


def check_floors(sources):
    faults = []
    for source in sources:
        name = source.relative_to(ROOT).as_posix()
        room = room_of(name)
        if room not in FLOORS:
            faults.append(f"{name}: the room {room} is on no floor")
            continue
        for header in includes(source):
            if "/" in header and header.split("/")[0] in ("proto", "pocd", "clients", "tests"):
                target = room_of(header)
                if target != room and target not in FLOORS[room]:
                    faults.append(f"{name}: {room} may not look into {target} ({header})")
            for pattern, allowed in LIBRARIES.items():
                if re.fullmatch(pattern + (".*" if pattern.endswith("/") else ""), header) and not any(
                    name.startswith(prefix) for prefix in allowed
                ):
                    faults.append(f"{name}: {header} belongs to {', '.join(allowed)}")
    return faults


def module_of(name):
    """A module is a .c/.h pair; X_internal.h belongs to X."""
    return re.sub(r"(_internal)?\.[ch]$", "", name)


def check_rings(sources):
    arrows = {}
    for source in sources:
        module = module_of(source.relative_to(ROOT).as_posix())
        for header in includes(source):
            if header.endswith(".h") and (ROOT / header).exists():
                other = module_of(header)
                if other != module:
                    arrows.setdefault(module, set()).add(other)
    faults, done = [], set()

    def visit(module, trail):
        if module in trail:
            ring = trail[trail.index(module):] + [module]
            faults.append("ring: " + " -> ".join(ring))
            return
        if module in done:
            return
        for other in sorted(arrows.get(module, ())):
            visit(other, trail + [module])
        done.add(module)

    for module in sorted(arrows):
        visit(module, [])
    return sorted(set(faults))


def check_document():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    return [f"docs/architecture.md does not show the room {room}" for room in FLOORS if f"`{room}`" not in text]


def main():
    sources = [p for top in ("proto", "pocd", "clients") for p in sorted((ROOT / top).rglob("*.[ch]"))]
    faults = check_floors(sources) + check_rings(sources) + check_document()
    for fault in faults:
        print(fault)
    print(f"{len(sources)} files, {len(FLOORS)} rooms, {len(faults)} faults")
    return 1 if faults or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
