"""Why a process is in its group, or in none: what each entry makes of it, selector by selector.

Pure, and made of the steps that matching itself takes: it can't say otherwise than `decide`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from exporter.config import ProcessEntry
from exporter.errors import ParseError, Refused
from exporter.watch.match import KERNEL_THREAD, Facts, Step, fact, group_name, holds, steps

NAME = "name"
"""The last step of an entry: a process whose group's name comes out empty isn't taken."""

OWN_WORDS = ("argv0", "cmdline")
"""What a process was started with, which may hold a password."""

SHOWN_VALUES = 5
"""Values of a selector that are shown."""

SHOWN_LENGTH = 160
"""Characters of a value that are shown: a command line may have a million."""


class Outcome(Enum):
    """What an entry makes of a process."""

    TAKES = "takes it"
    TOO_LATE = "would take it, but an earlier entry does"
    PASSES = "does not take it"
    UNREAD = "cannot tell, so does not take it"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a step: whether it held, and what was found, by any of its names; None where it can't be read, and
    why.
    """

    step: Step
    held: bool | None
    found: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The key in the entry, what was found there, and what was expected."""
        return self._sentence(f"found {' or '.join(map(shown, self.found)) or 'nothing'}")

    @property
    def discreet(self) -> str:
        """The same without what the process was started with."""
        hidden = self.step.selector in OWN_WORDS and self.held is not None
        return self._sentence("what was found is not shown here") if hidden and self.found else self.sentence

    def _sentence(self, found: str) -> str:
        step = self.step
        key = key_of(step)
        if self.held is None:
            return f"{key}: cannot be read: {self.found[0]}"
        if step.selector == KERNEL_THREAD:
            return "kernel thread: it is none" if self.held else "kernel thread: it is one, and comm doesn't ask for it"
        if step.selector == NAME:
            return f"{key}: {shown(self.found[0])}" if self.held else f"{key}: {shown(step.values[0])} comes out empty"
        if self.held:
            return f"{key}: {found}, {'not excluded' if step.exclude else 'as asked'}"
        return f"{key}: {found}, {'excluded by' if step.exclude else 'expected'} {expected(step)}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one entry makes of a process; `name` is the name of the group that it takes it to, or would."""

    entry: ProcessEntry
    outcome: Outcome
    name: str
    answers: tuple[Answer, ...]


def verdicts(entries: Sequence[ProcessEntry], facts: Facts) -> list[Verdict]:
    """What each entry makes of a process, also those behind the one that takes it.

    Every selector is asked, not only up to the first that doesn't hold.
    """
    found: list[Verdict] = []
    taken = False
    for entry in entries:
        answers = [_answer(step, facts) for step in steps(entry)]
        if all(answer.held for answer in answers):
            answers.append(_named(entry, facts))
        stop = next((answer for answer in answers if not answer.held), None)
        if stop is None:
            outcome = Outcome.TOO_LATE if taken else Outcome.TAKES
            taken = True
        else:
            outcome = Outcome.UNREAD if stop.held is None else Outcome.PASSES
        found.append(Verdict(entry, outcome, answers[-1].found[0] if stop is None else "", tuple(answers)))
    return found


def _answer(step: Step, facts: Facts) -> Answer:
    try:
        return Answer(step, holds(step, facts), _looked_at(step, facts))
    except (Refused, ParseError) as error:
        return Answer(step, None, (str(error),))


def _looked_at(step: Step, facts: Facts) -> tuple[str, ...]:
    if step.selector == KERNEL_THREAD:
        return ()
    if step.selector == "user":
        return facts.user
    found = fact(step.selector, facts)
    return (found,) if found else ()


def _named(entry: ProcessEntry, facts: Facts) -> Answer:
    step = Step(NAME, (entry.name,))
    try:
        name = group_name(entry, facts)
    except (Refused, ParseError) as error:
        return Answer(step, None, (str(error),))
    return Answer(step, bool(name), (name,))


def shown(value: object) -> str:
    """A text in quotes, what can't be seen escaped, and not too long of it."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    # As repr has it, but for the backslashes of regular expressions.
    seen = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:SHOWN_LENGTH])
    return f"'{seen}…'" if len(text) > SHOWN_LENGTH else f"'{seen}'"


def key_of(step: Step) -> str:
    """The key in an entry that asks so."""
    return f"exclude.{step.selector}" if step.exclude else step.selector


def expected(step: Step) -> str:
    """The values that a step asks for, and whether one or all of them."""
    values = [shown(getattr(value, "pattern", value)) for value in step.values]
    if len(values) == 1:
        return values[0]
    if len(values) > SHOWN_VALUES:
        values[SHOWN_VALUES:] = [f"{len(values) - SHOWN_VALUES} more"]
    how = "all of" if step.selector == "cmdline" and not step.exclude else "one of"
    return f"{how} {', '.join(values)}"
