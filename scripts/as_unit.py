#!/usr/bin/env python3
"""Runs a program under the restrictions of a unit file, without systemd as PID 1.

    scripts/as_unit.py UNIT PROGRAM [ARGUMENT…]

What systemd would apply is read from the unit and applied in the same order and with the same means: no new privileges, no
capabilities, umask, environment, limits, PR_SET_MDWE where the kernel has it, and one seccomp filter each for SystemCallFilter=,
RestrictAddressFamilies=, RestrictNamespaces=, MemoryDenyWriteExecute=, RestrictRealtime=, RestrictSUIDSGID= and LockPersonality=
(libseccomp, which systemd uses as well). Sets of calls come from `systemd-analyze syscall-filter`. Namespaces are not made here:
scripts/test_unit.sh puts bubblewrap around it. What was applied is told on stderr.
"""

import ctypes
import os
import re
import resource
import subprocess
import sys

ALLOW, ENOSYS, EPERM, EAFNOSUPPORT = 0x7FFF0000, 38, 1, 97
NE, EQ, MASKED_EQ = 1, 4, 7
PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_SET_MDWE, PR_CAP_AMBIENT = 38, 24, 65, 47
NAMESPACES = [0x00000080, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00020000]
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}

libc = ctypes.CDLL(None, use_errno=True)
seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
seccomp.seccomp_init.restype = ctypes.c_void_p


class Argument(ctypes.Structure):
    _fields_ = [("number", ctypes.c_uint), ("is_what", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def settings(path):
    """What the unit says of [Service]: a list of values a key, emptied by an empty one."""
    found, section = {}, None
    for line in open(path):
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and line[0] not in "#;":
            key, value = line.split("=", 1)
            found.setdefault(key.strip(), []).append(value.strip())
    return found


def errno(number):
    return 0x00050000 | number


def call(name):
    return seccomp.seccomp_syscall_resolve_name(name.encode())


def members(name):
    """The calls of a set, those of the sets in it included."""
    if not name.startswith("@"):
        return {name}
    told = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
    lines = [line.strip() for line in told.splitlines()[1:]]
    return set().union(*(members(line) for line in lines if line and not line.startswith("#")), set())


def allowed(values):
    calls = set()
    for value in values:
        takes_away = value.startswith("~")
        for word in value.lstrip("~").split():
            calls = calls - members(word) if takes_away else calls | members(word)
    # systemd always allows these (@default).
    return calls | members("@default")


class Filter:
    def __init__(self, default):
        self.context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(default)))

    def rule(self, action, name, *arguments):
        number = call(name)
        if number < 0:
            return  # Of another architecture.
        items = (Argument * len(arguments))(*(Argument(*a) for a in arguments))
        done = seccomp.seccomp_rule_add_array(self.context, ctypes.c_uint32(action), number, len(arguments), items)
        if done != 0:
            sys.exit(f"as_unit: {name}: libseccomp says {done}")

    def load(self):
        done = seccomp.seccomp_load(self.context)
        if done != 0:
            sys.exit(f"as_unit: the kernel does not take a filter ({done})")


def restrict(unit, told):
    yes = lambda key: unit.get(key, ["no"])[-1] in ("yes", "true", "1")
    families = [FAMILIES[name] for name in unit["RestrictAddressFamilies"][-1].split()]
    sockets = Filter(ALLOW)
    for family in range(0, 64):
        if family not in families:
            sockets.rule(errno(EAFNOSUPPORT), "socket", (0, EQ, family, 0))
    filters = [("RestrictAddressFamilies", sockets)]
    if yes("MemoryDenyWriteExecute"):
        memory = Filter(ALLOW)
        memory.rule(errno(EPERM), "mmap", (2, MASKED_EQ, 6, 6))
        for name in ("mprotect", "pkey_mprotect"):
            memory.rule(errno(EPERM), name, (2, MASKED_EQ, 4, 4))
        memory.rule(errno(EPERM), "shmat", (2, MASKED_EQ, 0o100000, 0o100000))
        filters.append(("MemoryDenyWriteExecute", memory))
    if yes("RestrictNamespaces"):
        namespaces = Filter(ALLOW)
        for flag in NAMESPACES:
            for name in ("clone", "unshare"):
                namespaces.rule(errno(EPERM), name, (0, MASKED_EQ, flag, flag))
        namespaces.rule(errno(EPERM), "setns")
        namespaces.rule(errno(ENOSYS), "clone3")
        filters.append(("RestrictNamespaces", namespaces))
    if yes("RestrictRealtime"):
        realtime = Filter(ALLOW)
        for policy in range(1, 8):
            if policy not in (3, 5):  # batch and idle
                realtime.rule(errno(EPERM), "sched_setscheduler", (1, EQ, policy, 0))
        filters.append(("RestrictRealtime", realtime))
    if yes("RestrictSUIDSGID"):
        modes = Filter(ALLOW)
        for bit in (0o4000, 0o2000):
            for name, at in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2), ("mknod", 1), ("mknodat", 2)):
                modes.rule(errno(EPERM), name, (at, MASKED_EQ, bit, bit))
        filters.append(("RestrictSUIDSGID", modes))
    if yes("LockPersonality"):
        personality = Filter(ALLOW)
        personality.rule(errno(EPERM), "personality", (0, NE, 0, 0))
        filters.append(("LockPersonality", personality))
    calls = allowed(unit["SystemCallFilter"])
    if unit.get("SystemCallErrorNumber") != ["EPERM"]:
        sys.exit("as_unit: SystemCallErrorNumber=EPERM is what is known here")
    default = Filter(errno(EPERM))
    for name in sorted(calls):
        default.rule(ALLOW, name)
    # Our own way to the program.
    default.rule(ALLOW, "execve")
    # libseccomp loads by seccomp(2): the filter without it comes last.
    filters.append((f"SystemCallFilter ({len(calls)} calls)", default))
    for name, built in filters:
        built.load()
        told.append(name)


def main():
    unit = settings(sys.argv[1])
    told = []
    for words in unit.get("Environment", []):
        for name, value in re.findall(r"(\w+)=(\S*)", words):
            # Folders of the unit are made by systemd; here the caller names others.
            if name not in ("HOME", "GST_REGISTRY"):
                os.environ[name] = value
    os.umask(int(unit["UMask"][-1], 8))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        told.append("NoNewPrivileges")
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(PR_CAP_AMBIENT, 4, 0, 0, 0)
    empty = (ctypes.c_uint32 * 6)()
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc.capset(header, empty)
    if unit.get("CapabilityBoundingSet") == [""]:
        effective = re.search(r"CapEff:\s*(\w+)", open("/proc/self/status").read()).group(1)
        if int(effective, 16):
            sys.exit("as_unit: capabilities are left")
        told.append("no capabilities")
    if libc.prctl(PR_SET_MDWE, 1, 0, 0, 0) == 0:
        told.append("PR_SET_MDWE")
    restrict(unit, told)
    print("as_unit: " + ", ".join(told), file=sys.stderr)
    os.execvp(sys.argv[2], sys.argv[2:])


main()
