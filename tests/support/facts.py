"""A process as matching sees it, and what was asked of it."""

from dataclasses import dataclass, field

from exporter.errors import ParseError, Refused


@dataclass
class Facts:
    """What is known of a process; to ask for what is in `secret` is refused."""

    comm: bytes = b"java"
    kernel_thread: bool = False
    secret: dict[str, Refused | ParseError] = field(default_factory=dict)
    known: dict[str, object] = field(
        default_factory=lambda: {
            "exe": "/usr/bin/java",
            "argv": ("/opt/java", "-jar", "shop.jar", "--port=80"),
            "user": ("app", "1000"),
            "cgroup": "/system.slice/app-shop.service",
        }
    )
    asked: list[str] = field(default_factory=list)

    def _fact(self, name: str) -> object:
        self.asked.append(name)
        if name in self.secret:
            raise self.secret[name]
        return self.known[name]

    @property
    def exe(self) -> str:
        return str(self._fact("exe"))

    @property
    def argv(self) -> tuple[str, ...]:
        return self._fact("argv")  # type: ignore[return-value]

    @property
    def user(self) -> tuple[str, ...]:
        return self._fact("user")  # type: ignore[return-value]

    @property
    def cgroup(self) -> str:
        return str(self._fact("cgroup"))


def facts(comm: bytes = b"java", *, kernel_thread: bool = False, **known: object) -> Facts:
    found = Facts(comm, kernel_thread)
    found.known.update(known)
    return found
