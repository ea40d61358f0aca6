"""Configurations as people write them for process-exporter, and the groups that both exporters make of one /proc."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from support.daemon import daemon, free_address
from support.needs import program
from support.page import parsed
from unit.tree import Tree, Watch

from exporter.migrate.process_exporter import convert

STYLES = {
    "everything by name": """
process_names:
  - name: "{{.Comm}}"
    cmdline: ['.+']
""",
    "a list of services, and the rest": r"""
process_names:
  - name: web server
    comm: [nginx, apache2]
  - name: database
    exe: [postgres, /usr/sbin/mysqld]
  - name: cache
    cmdline: ['redis-server.*:6379']
  - name: workers
    cmdline: ['(?i)CELERY', '-Q\s+\w+']
  - name: other
    cmdline: ['.+']
""",
    "the program and what it works on": r"""
process_names:
  - name: "java:{{.Matches.jar}}"
    comm: [java]
    cmdline: ['-jar\s+(?:.*/)?(?P<jar>[^/ ]+)\.jar']
  - name: "{{.ExeFull}}:{{.Matches.Config}}"
    exe: [/usr/bin/agent]
    cmdline: ['-c(?:onfig)?[ =](?P<Config>\S+)']
  - name: "python {{.Matches.script}}"
    exe: [python3]
    cmdline: ['^\S+\s+(?P<script>[[:alnum:]_]+)\.py(?:\s|$)']
""",
    "one group for each user": """
process_names:
  - name: "{{.Username}}:{{.ExeBase}}"
    cmdline: ['.+']
""",
    "what a title says": r"""
process_names:
  - name: "fpm:{{.Matches.pool}}"
    cmdline: ['^php-fpm: pool (?P<pool>\S+)']
  - name: "db {{ .Matches.who }} {{ .Matches.doing }}"
    cmdline: ['^postgres: (?P<who>\w+) .*\) (?P<doing>idle|SELECT)']
  - name: "{{.Matches}}"
    cmdline: ['^sshd: (?P<login>\w+)']
""",
    "a program's own name where there is none": """
process_names:
  - comm: [nginx]
  - exe: [redis-server]
  - cmdline: ['manage.py', 'runserver']
""",
}

PROCESSES = (
    (b"nginx", "nginx: master process /usr/sbin/nginx"),
    (b"nginx", "nginx: worker process"),
    (b"apache2", "/usr/sbin/apache2 -k start"),
    (b"postgres", "/usr/lib/postgresql/16/bin/postgres -D /data"),
    (b"postgres", "postgres: shop store 10.0.0.5(4711) idle"),
    (b"postgres", "postgres: shop store 10.0.0.5(4712) SELECT"),
    (b"mysqld", "/usr/sbin/mysqld --defaults-file=/etc/my.cnf"),
    (b"mysqld", "/opt/mysql/bin/mysqld"),
    (b"redis-server", "/usr/bin/redis-server 127.0.0.1:6379"),
    (b"redis-server", "redis-server *:6380"),
    (b"celery", "python3 -m celery worker -Q mails"),
    (b"celery", "python3 -m celery beat"),
    (b"java", "/usr/bin/java -Xmx1g -jar /opt/shop/shop.jar"),
    (b"java", "java -jar cart.jar --port 80"),
    (b"java", "java -cp . Main"),
    (b"agent", "/usr/bin/agent -config=/etc/agent.yml"),
    (b"agent", "/opt/agent -c /etc/agent.yml"),
    (b"python3", "python3 import_all.py now"),
    (b"python3", "/usr/bin/python3 manage.py runserver"),
    (b"php-fpm8.2", "php-fpm: pool www"),
    (b"php-fpm8.2", "php-fpm: master process (/etc/php/fpm.conf)"),
    (b"sshd", "sshd: root@pts/0"),
    (b"a) (b", "/bin/a --title"),
    (b"cron", ""),
)
"""The name and the arguments of each; a title is one argument."""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """With what process-exporter asks for besides."""
    tree = Tree(tmp_path / "proc")
    for pid, (comm, line) in enumerate(PROCESSES, 100):
        arguments = [line.encode()] if re.match(r"[\w-]+: ", line) else line.encode().split()
        tree.process(pid, comm, arguments, uid=pid % 2)
    tree.process(2, b"kthreadd", kernel_thread=True)
    for folder in filter(lambda path: path.name.isdigit(), tree.root.iterdir()):
        (folder / "fd").mkdir()
        (folder / "task").mkdir()
        (folder / "io").write_text("".join(f"{key}: 0\n" for key in IO))
        shutil.copy("/proc/self/limits", folder / "limits")
    return tree


IO = ("rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes")


@pytest.mark.live
@pytest.mark.parametrize("style", STYLES)
def test_both_exporters_make_the_same_groups_of_it(style: str, tree: Tree, tmp_path: Path) -> None:
    file = tmp_path / "peer.yaml"
    file.write_text(STYLES[style])
    converted, problems = convert(file.read_bytes(), "peer.yaml")
    peer, address = program("prometheus-process-exporter"), free_address()
    flags = ["-procfs", tree.path, "-children=false", "-threads=false", "-gather-smaps=false"]
    command = [peer, "-config.path", str(file), "-web.listen-address", address, *flags]
    with daemon(command, address, "/metrics", tmp_path / "peer.log") as started:
        page = parsed(started.request("/metrics").text)
    found = {re.fullmatch(r'namedprocess_namegroup_num_procs{groupname="(.*)"}', key): page[key] for key in page}
    theirs = {match[1]: int(count) for match, count in found.items() if match and count}
    ours = {name: count for name, count in Watch(tree, converted).scrape().counts.items() if count}
    assert sum(theirs.values()) >= 3
    # The one name that is taken here: it is said.
    assert ours == {"other_processes" if name == "other" else name: count for name, count in theirs.items()}
    assert [problem.partition(": ")[2] for problem in problems] == (
        ["process_names[4].name: 'other' is the group of what max_groups folds here: called 'other_processes'"]
        if "name: other" in STYLES[style]
        else []
    )
