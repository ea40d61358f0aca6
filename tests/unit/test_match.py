"""Which entry takes a process, and what its group is called."""

import pytest
from support.facts import Facts, facts

from exporter.config import parse
from exporter.errors import Refused
from exporter.watch.match import Decision, decide


def taken(entries: str, of: Facts) -> Decision | None:
    decision, refused = decide(parse(f"processes: [{entries}]".encode(), "f").processes, of)
    assert refused == []
    return decision


JAVA = facts()


@pytest.mark.parametrize(
    ("selectors", "takes"),
    [
        ("comm: [java]", True),
        ("comm: [python, java]", True),
        ("comm: [jav]", False),
        ("comm: [Java]", False),
        ("comm: ['*']", False),
        ("exe: [/usr/bin/java]", True),
        ("exe: [/usr/bin/*]", True),
        ("exe: [/nowhere, /usr/**]", True),
        ("exe: [java]", False),
        ("exe: [/usr/*]", False),
        ("argv0: [/opt/java]", True),
        ("argv0: ['/opt/*']", True),
        ("argv0: [/usr/bin/java]", False),
        ("user: [app]", True),
        ("user: ['1000']", True),
        ("user: [root, app]", True),
        ("user: [ap]", False),
        ("cgroup: ['/system.slice/app-*.service']", True),
        ("cgroup: ['/system.slice']", False),
        ("cgroup: ['/system.slice/**']", True),
        ("cmdline: [shop]", True),
        ("cmdline: ['^/opt/java -jar shop']", True),
        ("cmdline: [shop, port]", True),
        ("cmdline: [shop, nope]", False),
        ("cmdline: ['a b']", False),
        ("comm: [java], exe: [/usr/bin/java], user: [app]", True),
        ("comm: [java], exe: [/usr/bin/java], user: [root]", False),
        ("comm: [java], exe: [/no], user: [app]", False),
        ("comm: [java], exclude: {comm: [java]}", False),
        ("comm: [java], exclude: {comm: [python]}", True),
        ("comm: [java], exclude: {exe: ['/usr/**']}", False),
        ("comm: [java], exclude: {argv0: ['/opt/*']}", False),
        ("comm: [java], exclude: {cmdline: [nope, shop]}", False),
        ("comm: [java], exclude: {cmdline: [nope]}", True),
        ("comm: [java], exclude: {user: ['1000']}", False),
        ("comm: [java], exclude: {cgroup: ['/system.slice/*']}", False),
        ("comm: [java], exclude: {comm: [x], exe: [/x], user: [x], cgroup: [/x], argv0: [x]}", True),
        ("exclude: {comm: [x]}", True),
        ("smaps: true", True),
    ],
)
def test_selectors(selectors: str, takes: bool) -> None:
    assert taken(f"{{name: a, {selectors}}}", JAVA) == (Decision(0, "a") if takes else None)


@pytest.mark.parametrize(
    ("selectors", "takes"),
    [
        ("exe: ['/**']", False),
        ("argv0: ['?*']", False),
        ("cmdline: ['.']", False),
        ("cmdline: ['^$']", True),
        ("user: [app]", False),
        ("cgroup: ['/**']", False),
        ("exclude: {exe: ['/**'], argv0: ['?*'], cmdline: ['.'], user: [app], cgroup: ['/**']}", True),
    ],
)
def test_a_process_of_which_nothing_is_known(selectors: str, takes: bool) -> None:
    gone = facts(exe="", argv=(), user=(), cgroup="")
    assert taken(f"{{name: a, {selectors}}}", gone) == (Decision(0, "a") if takes else None)


@pytest.mark.parametrize(
    ("selectors", "takes"),
    [
        ("comm: [kswapd0]", True),
        ("comm: [kswapd0], user: [root]", True),
        ("comm: [other]", False),
        ("user: [root]", False),
        ("exclude: {comm: [x]}", False),
        ("cmdline: ['^$']", False),
        ("exe: ['']", False),
        ("smaps: false", False),
    ],
)
def test_a_kernel_thread_is_taken_by_comm_only(selectors: str, takes: bool) -> None:
    thread = facts(b"kswapd0", kernel_thread=True, exe="", argv=(), user=("root", "0"), cgroup="/")
    text = f"{{name: a, {selectors}}}".replace("exe: ['']", "exe: ['**']")
    assert taken(text, thread) == (Decision(0, "a") if takes else None)


def test_a_template_alone_does_not_take_kernel_threads() -> None:
    assert taken("{name: '{comm}'}", facts(b"kswapd0", kernel_thread=True)) is None
    assert taken("{name: '{comm}', comm: [kswapd0]}", facts(b"kswapd0", kernel_thread=True)) == Decision(0, "kswapd0")


@pytest.mark.parametrize(
    ("argv", "name", "base"),
    [
        ((), "kswapd0", "kswapd0"),
        (("",), "kswapd0", "kswapd0"),
        (("nginx: master process /usr/sbin/nginx -g x",), "nginx: master process /usr/sbin/nginx -g x", "nginx -g x"),
        (("/usr/bin/a/", "-b"), "/usr/bin/a/", "a"),
    ],
)
def test_the_first_argument_as_a_name(argv: tuple[str, ...], name: str, base: str) -> None:
    process = facts(b"kswapd0", argv=argv)
    assert taken("{name: '{argv0}'}", process) == Decision(0, name)
    assert taken("{name: '{argv0_base}'}", process) == Decision(0, base)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("name: '{comm}'", "java"),
        ("name: '{exe}'", "/usr/bin/java"),
        ("name: '{argv0}'", "/opt/java"),
        ("name: '{argv0_base}'", "java"),
        ("name: '{user}'", "app"),
        ("name: '{cgroup}'", "/system.slice/app-shop.service"),
        ("name: 'x-{comm}-{user}'", "x-java-app"),
        ("name: '{comm}{comm}'", "javajava"),
        ("name: '{app}', cmdline: ['(?P<app>\\w+)\\.jar']", "shop"),
        ("name: '{app}:{port}', cmdline: ['(?P<app>\\w+)\\.jar', 'port=(?P<port>\\d+)']", "shop:80"),
        ("name: '{comm}', cmdline: ['(?P<comm>\\w+)\\.jar']", "shop"),
        ("name: '{{{comm}}}'", "{java}"),
        ("name: '{app}!', cmdline: ['(?P<app>nope)?']", "!"),
    ],
)
def test_templates(entry: str, name: str) -> None:
    assert taken(f"{{{entry}}}", JAVA) == Decision(0, name)


def test_templates_of_what_is_odd() -> None:
    assert taken("{name: '{comm}'}", facts(b"a) (b\n\xff\xfe c")) == Decision(0, "a) (b\n�� c")
    assert taken("{name: 'u{user}'}", facts(user=())) == Decision(0, "u")
    assert taken("{name: '{comm}'}", facts(b"{user}")) == Decision(0, "{user}")


def test_a_process_without_a_name_is_left_to_the_next_entry() -> None:
    entries = "{name: '{app}', cmdline: ['(?P<app>nope)?']}, {name: rest}"
    assert taken(entries, JAVA) == Decision(1, "rest")
    assert taken("{name: '{comm}'}, {name: rest}", facts(b"")) == Decision(1, "rest")


def test_the_first_entry_wins() -> None:
    entries = "{name: none, comm: [x]}, {name: first, exe: [/usr/bin/java]}, {name: second, comm: [java]}"
    assert taken(entries, JAVA) == Decision(1, "first")
    assert taken("", JAVA) is None


def test_no_more_is_asked_than_is_needed() -> None:
    asked = facts()
    assert taken("{name: a, comm: [x], exe: [/x], user: [x], cgroup: [/x], cmdline: [x]}", asked) is None
    assert asked.asked == []
    assert taken("{name: a, comm: [java], user: [x], exe: [/x], cmdline: [x]}", asked) is None
    assert asked.asked == ["user"]


REFUSED = Refused("/proc/5/exe", PermissionError(13, "Permission denied"))


@pytest.mark.parametrize(
    ("secret", "entries", "decision", "errors"),
    [
        ("exe", "{name: a, exe: [/x]}, {name: b, comm: [java]}", Decision(1, "b"), 1),
        ("exe", "{name: a, exe: [/x]}, {name: b, exe: [/y]}", None, 2),
        ("exe", "{name: a, comm: [java]}, {name: b, exe: [/y]}", Decision(0, "a"), 0),
        ("exe", "{name: a, exclude: {exe: [/x]}}, {name: b}", Decision(1, "b"), 1),
        ("exe", "{name: '{exe}'}, {name: b}", Decision(1, "b"), 1),
        ("argv", "{name: a, argv0: [x]}", None, 1),
        ("argv", "{name: a, cmdline: [x]}", None, 1),
        ("argv", "{name: a, exclude: {cmdline: [x]}}", None, 1),
        ("user", "{name: '{user}'}", None, 1),
        ("cgroup", "{name: a, cgroup: [/x]}", None, 1),
    ],
)
def test_what_is_refused_on_the_way(secret: str, entries: str, decision: Decision | None, errors: int) -> None:
    hidden = facts()
    hidden.secret[secret] = REFUSED
    found = decide(parse(f"processes: [{entries}]".encode(), "f").processes, hidden)
    assert found == (decision, [REFUSED] * errors)
