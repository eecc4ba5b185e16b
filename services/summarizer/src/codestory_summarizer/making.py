"""One run of the summarizer: what is held is taken, the rest is made from the leaves up, each stored as it is made."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from codestory import cancelling
from codestory.contracts.results import Gap
from codestory.files.repository import Unreadable
from codestory.graph import Node, Relationship
from codestory.steps import StepError
from codestory_summarizer import extractive, keys, prompt, stored
from codestory_summarizer.order import Plan, only_seen
from codestory_summarizer.provider import Filtered, Provider, Unanswered, Usage
from codestory_summarizer.reading import Structure
from codestory_summarizer.stored import Status, Stored
from codestory_summarizer.subject import Subject
from codestory_summarizer.subjects import Subjects
from codestory_summarizer.texts import Changed, Redact

#: Stands for a summary that is still to be made when tokens are estimated.
TYPICAL_SUMMARY = "x" * 300
#: Summaries by rules between two looks at what else there is to do.
_RULES_AT_ONCE = 200
#: As much of a reason as is kept.
_REASON_CHARS = 300

_NOTHING = frozenset[int]()

Report = Callable[[int, int, str], None]


class Puts(Protocol):
    async def put(self, nodes: Iterable[Node], relationships: Iterable[Relationship]) -> dict[str, int]: ...


@dataclass(frozen=True)
class Work:
    """What is to be summarized, and by whom. `order`: the components of `structure`, leaves first."""

    repository: str
    structure: Structure
    subjects: Subjects
    order: Sequence[Sequence[int]]
    provider: Provider
    #: As the job calls it.
    provider_name: str
    redact: Redact
    #: 0: there is none.
    token_limit: int = 0


@dataclass
class Tally:
    """What became of all: each is in exactly one of made, reused, filtered and failed. `usage`: of this run's calls."""

    made: int = 0
    reused: int = 0
    usage: Usage = field(default_factory=Usage)
    filtered: list[Gap] = field(default_factory=list[Gap])
    failed: list[Gap] = field(default_factory=list[Gap])


class Making:
    """Takes what is held (`take`), tells what it would take to make the rest (`estimate`), makes it (`run`)."""

    def __init__(self, work: Work, graph: Puts, held: Mapping[str, Stored]) -> None:
        self._work, self._graph = work, graph
        things = work.structure.things
        self.keys = keys.chain(work.subjects.materials(), work.order)
        self.ids = [stored.summary_id(work.repository, thing) for thing in things]
        self.tally = Tally()
        self._held = [held.get(id_) for id_ in self.ids]
        self._done: list[Stored | None] = [None] * len(things)
        #: What those above are told of each.
        self._told = [""] * len(things)
        self._below = [[other.at for other in others] for others in work.structure.dependencies]
        self._only_seen = only_seen(self._below, work.order)
        #: What the filter refused in an earlier run. Its text is made anew: it follows what is around it.
        self._refused: dict[int, Stored] = {}
        self._answers: dict[str, asyncio.Future[Stored | None]] = {}
        self._flying = 0
        self._stop: StepError | None = None
        self._news = asyncio.Event()
        self._at_hand: dict[int, None] = {}  # the oldest first

    def take(self) -> list[str]:
        """Use what the graph holds under the same key. Returns the keys that a model would have to be asked for."""
        missing: list[str] = []
        for at, held in enumerate(self._held):
            if self._by_rules(at):
                continue
            if not held or held.key != self.keys[at] or held.status == Status.FAILED:
                missing.append(self.keys[at])
            elif held.status == Status.FILTERED:
                self._refused[at] = held
            else:
                self._reuse(at, held)
        return missing

    def copy(self, elsewhere: Mapping[str, Stored]) -> None:
        """Use what a model said of the same material in other repositories."""
        for at in self.asked():
            if found := elsewhere.get(self.keys[at]):
                self._reuse(at, found)

    def asked(self) -> list[int]:
        """What a model has to be asked for."""
        return [at for at, done in enumerate(self._done) if done is None and not self._by_rules(at)]

    def estimate(self) -> int:
        """About how many tokens the rest takes. What has the same key is asked for once."""
        first = {self.keys[at]: at for at in reversed(self.asked())}
        return sum(self._tokens(at) for at in sorted(first.values()))

    async def run(self, parallel: int, grace: float, report: Report) -> None:
        """Make the rest. What a model said is stored at once.

        StepError if nobody can go on. What is under way by then is paid for: it has `grace` seconds to be stored."""
        wanted = [at for at, done in enumerate(self._done) if done is None]
        plan = Plan(self._below, self._work.order, wanted)
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._worker(plan, report)) for _ in range(parallel)]
                group.create_task(self._end(workers, grace))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        if self._stop:
            raise self._stop

    def nodes(self) -> Iterator[Node]:
        for at, done in self._all():
            yield stored.node(self.ids[at], self._work.structure.things[at], done)

    def relationships(self) -> Iterator[Relationship]:
        for at, _ in self._all():
            yield stored.relationship(self.ids[at], self._work.structure.things[at])

    def counts(self) -> Counter[str]:
        """By kind, and how many are truncated."""
        counts = Counter[str]()
        for at, done in self._all():
            counts[f"summaries.{self._work.structure.things[at].kind}"] += 1
            counts["truncated"] += done.status == Status.TRUNCATED
        return counts

    def _all(self) -> Iterator[tuple[int, Stored]]:
        for at, done in enumerate(self._done):
            assert done, "every thing has a summary"
            yield at, done

    async def _end(self, workers: Sequence["asyncio.Task[None]"], grace: float) -> None:
        """Once one has stopped, the others may end what they are at, but not wait for ever."""
        _, others = await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
        if self._stop and others:
            _, late = await asyncio.wait(others, timeout=grace)
            await cancelling.end(*late)

    async def _worker(self, plan: Plan, report: Report) -> None:
        since_pause = 0
        while plan and not self._stop:
            at = plan.take()
            if at is None:
                await self._news.wait()
                continue
            self._at_hand[at] = None
            self._say(plan, report)
            if self._by_rules(at):
                self._make_by_rules(at)
                since_pause += 1
                if since_pause % _RULES_AT_ONCE == 0:
                    await asyncio.sleep(0)
            else:
                await self._make_by_model(at)
            if self._stop:
                break
            plan.done(at)
            del self._at_hand[at]
            self._wake()
            if self._at_hand or not plan:
                self._say(plan, report)
        self._wake()

    def _say(self, plan: Plan, report: Report) -> None:
        """Of several at hand the one that takes longest is named."""
        at = next(iter(self._at_hand), None)
        thing = self._work.structure.things[at] if at is not None else None
        said = f"{thing.path}: {thing.name}" if thing and thing.is_symbol else thing.path or thing.name if thing else ""
        report(len(self._done) - len(plan), len(self._done), said)

    def _wake(self) -> None:
        """Whoever waits looks at the plan again."""
        self._news.set()
        self._news = asyncio.Event()

    def _by_rules(self, at: int) -> bool:
        return at in self._refused or self._work.subjects.by_rules(at)

    def _make_by_rules(self, at: int) -> None:
        text = self._text_by_rules(at)
        if refused := self._refused.get(at):
            self._accept(at, replace(refused, text=text))
            return
        made = Stored(keys.made_by_rules(self.keys[at], text), text)
        is_used = bool(self._work.structure.used_by[at])
        self._told[at] = self._text_by_rules(at, for_others=True) if is_used else text
        self._done[at] = made
        held = self._held[at]
        if held and held.key == made.key:
            self.tally.reused += 1
        else:
            self.tally.made += 1

    def _text_by_rules(self, at: int, *, for_others: bool = False) -> str:
        """For others it does not say who uses it: no key goes by that."""
        subject = self._work.subjects.outline(at, self._only_seen.get(at, _NOTHING), self._told.__getitem__)
        if for_others:
            subject = replace(subject, used_by=())
        return extractive.summary(subject, self._work.subjects.remark(at))

    async def _make_by_model(self, at: int) -> None:
        """Once for each key: what is asked for already is waited for."""
        key = self.keys[at]
        if answer := self._answers.get(key):
            if found := await answer:
                self._same(at, found)
            return
        self._answers[key] = answer = asyncio.get_running_loop().create_future()
        made: Stored | None = None
        try:
            made = await self._asked(at)
        except StepError as error:
            self._stop = self._stop or error
        finally:
            answer.set_result(made)
        if made:
            self._accept(at, made)
            await self._store(at, made)

    async def _asked(self, at: int) -> Stored:
        work = self._work
        blank = Stored(self.keys[at], "", provider=work.provider_name)
        try:
            subject = self._subject(at)
            need = work.provider.tokens(subject)
            self._reserve(need)
            try:
                reply = await work.provider.summarize(subject)
            finally:
                self._flying -= need
        except Filtered as refused:
            self.tally.usage += refused.usage
            return self._without(at, blank, Status.FILTERED, f"content filter: {refused}", refused.usage)
        except Unanswered as error:
            self.tally.usage += error.usage
            return self._without(at, blank, Status.FAILED, f"no usable answer: {error}", error.usage)
        except (Unreadable, Changed) as error:
            reason = error.reason if isinstance(error, Unreadable) else "changed while it was summarized"
            return self._without(at, blank, Status.FAILED, reason, Usage())
        self.tally.usage += reply.usage
        text = prompt.clean(work.redact(reply.text))
        if not text:
            return self._without(at, blank, Status.FAILED, "no usable answer: it was empty", reply.usage)
        return replace(
            blank,
            text=text,
            status=Status.TRUNCATED if reply.truncated else Status.MADE,
            model=reply.model,
            truncated=subject.truncated or reply.shortened,
            usage=reply.usage,
        )

    def _without(self, at: int, blank: Stored, status: Status, reason: str, usage: Usage) -> Stored:
        text = self._text_by_rules(at)
        return replace(blank, text=text, status=status, reason=self._work.redact(reason)[:_REASON_CHARS], usage=usage)

    def _reserve(self, need: int) -> None:
        limit, spent = self._work.token_limit, self.tally.usage.input + self.tally.usage.output
        if limit and spent + self._flying + need > limit:
            raise over_budget(limit, f"{spent:,} are spent, and the next summary takes about {need:,}")
        self._flying += need

    def _tokens(self, at: int) -> int:
        try:
            return self._work.provider.tokens(self._subject(at, TYPICAL_SUMMARY))
        except (Unreadable, Changed):
            return 0  # it fails by name when its turn comes

    def _subject(self, at: int, unmade: str = "") -> Subject:
        return self._work.subjects.subject(
            at, self._only_seen.get(at, _NOTHING), lambda other: self._told[other] or unmade
        )

    def _accept(self, at: int, made: Stored) -> None:
        self._done[at] = made
        self._told[at] = made.text
        path = self._work.structure.things[at].path[-1024:]
        match made.status:
            case Status.MADE | Status.TRUNCATED:
                self.tally.made += 1
            case Status.FILTERED:
                self.tally.filtered.append(Gap(path=path, reason=made.reason))
            case Status.FAILED:
                self.tally.failed.append(Gap(path=path, reason=made.reason))

    def _same(self, at: int, made: Stored) -> None:
        """Of the same material something else has just been made, or could not be."""
        if made.status in {Status.FILTERED, Status.FAILED}:
            self._accept(at, replace(made, text=self._text_by_rules(at)))
        else:
            self._reuse(at, made)

    def _reuse(self, at: int, found: Stored) -> None:
        self._done[at] = found
        self._told[at] = found.text
        self.tally.reused += 1

    async def _store(self, at: int, made: Stored) -> None:
        thing = self._work.structure.things[at]
        await self._graph.put([stored.node(self.ids[at], thing, made)], [stored.relationship(self.ids[at], thing)])


def over_budget(limit: int, why: str) -> StepError:
    return StepError(
        f"Budget exceeded: {why}, and token_limit is {limit:,}. What was made is kept and will not be paid for again; "
        "raise token_limit, or choose fewer kinds."
    )
