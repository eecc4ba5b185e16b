"""Jobs in a world as hostile as the real one: what is sent, said or written comes late, twice, out of order or never,
orchestrators act on records that have changed, workers die and come back. What must hold holds after every write, and
once all that is under way has arrived, every job has ended or waits for something that a user can change."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from codestory.contracts.api import RetryJob
from codestory.contracts.commands import RunStep
from codestory.contracts.events import StepInterrupted, StepStarted
from codestory.contracts.jobs import ATTEMPTS_KEPT, Job, Repository, Tombstone
from codestory.contracts.values import JobState, Priority, StepState, Verb, When
from codestory.testing_protocol import OUTCOMES, PLANS, Heard, Key, ModelBus, interrupted
from codestory_orchestrator import control, pipeline

AT = datetime(2026, 1, 1, tzinfo=UTC)
GRACE = 10.0
OVER = {StepState.COMPLETED, StepState.FAILED, StepState.STOPPED, StepState.CANCELLED, StepState.SKIPPED}


class World(ModelBus):
    """The bus and its workers, and the orchestrators around the records."""

    def __init__(self) -> None:
        super().__init__(AT)
        self.records: dict[str, list[Job]] = {}
        self.queues: dict[str, list[tuple[str, int]]] = {}
        self.unsent: list[tuple[Job, RunStep]] = []
        self.told: dict[tuple[str, str, int], RunStep] = {}

    def job(self, name: str) -> Job:
        return self.records[name][-1]

    # the record

    def write(self, job: Job, revision: int) -> bool:
        """Compare-and-set; `revision` counts the writes. Each one is judged."""
        history = self.records.setdefault(job.id, [])
        if revision != len(history):
            return False
        judge(history[-1] if history else None, job, self)
        history.append(job)
        return True

    def change(self, name: str, how: Callable[[Job], Job]) -> Job:
        before, revision = self.job(name), len(self.records[name])
        job = how(before)
        if job != before:
            assert self.write(job, revision)
        return job

    # what the orchestrators do

    def learn(self, heard: Heard, remembered: int) -> None:
        """With a mirror that is so many writes behind. Before news is dropped the record is read anew."""
        history = self.records[heard.key[0]]
        for revision in (max(1, len(history) - remembered), len(history)):
            before = history[revision - 1]
            job, commands = pipeline.advance(before, heard.key[1], heard.news, heard.sequence)
            if job != before and self.write(job, revision):
                self.unsent += [(job, command) for command in commands]
                return

    def send(self, job: Job, command: RunStep) -> None:
        key = job.id, command.step
        remember(self, job, command)
        place = self.sched if job.steps[command.step].due_at else self.ready
        place.setdefault(key, command)  # it waits already: refused

    def mend(self, job: Job, *, patient: bool) -> None:
        """`job` may be an old record. `patient`: the grace of a stop or cancel is not over."""
        if job.state.ending:
            self.withdraw(job, patient=patient)
            return
        for step in job.active:
            key = job.id, step
            if key in self.sched or key in self.ready or key in self.run:
                continue
            last = self.last(key)
            if last and last.ends(job.steps[step].attempt):
                self.learn(last, 0)
            else:
                self.send(job, pipeline.command(job, step))

    def withdraw(self, job: Job, *, patient: bool) -> None:
        verb = Verb.STOP if job.state is JobState.STOPPING else Verb.CANCEL
        attempts = {name: job.steps[name].attempt for name in job.active}
        self.tombstones[job.id] = Tombstone(verb=verb, attempts=attempts)
        for step, attempt in attempts.items():
            key = job.id, step
            self.sched.pop(key, None)
            self.ready.pop(key, None)
            admitted = self.run.get(key)
            if admitted and (patient or admitted.attempt > attempt):
                continue
            event = interrupted(verb)
            self.overrule(key, event(attempt=attempt, worker="o", at=self.tick(), admitted=admitted is not None))
            self.run.pop(key, None)
            last = self.last(key)
            if last and last.ends(attempt):
                self.learn(last, 0)

    def stand_in_line(self, name: str) -> None:
        """Who stands there for a run that has ended is put out of the line; then the first begins."""
        job = self.job(name)
        queue = self.queues.setdefault(job.repository.id, [])
        queue[:] = [
            (other, run) for other, run in queue if self.job(other).run == run and not self.job(other).state.ended
        ]
        if job.eligible and not job.state.ended and (name, job.run) not in queue:
            queue.append((name, job.run))
        if queue:
            first, revision = self.job(queue[0][0]), len(self.records[queue[0][0]])
            begun, commands = pipeline.begin(first, self.tick())
            if begun != first and self.write(begun, revision):
                self.unsent += [(begun, command) for command in commands]

    def release(self, name: str) -> None:
        states = {other: self.job(other).state if other in self.records else None for other in self.job(name).after}
        self.change(name, lambda job: control.release(job, states, self.tick()))

    # what the workers do

    def say(self, key: Key, news: pipeline.News, after: int) -> int | None:
        stored = super().say(key, news, after)
        if stored and isinstance(news, StepStarted):
            self.may_run(key)
        return stored

    def may_run(self, key: Key) -> None:
        """What a step depends on is there before it begins."""
        job = self.job(key[0])
        plan = job.plan_of(key[1])
        for name in plan.depends_on:
            state = job.steps[name].state
            assert satisfied(job, name) or (plan.when is When.ALWAYS and state in OVER), (key, name, state)

    # until nothing moves

    def settle(self) -> None:
        """Twice in a row nothing: an old command may have stood in the place of the one that is wanted."""
        quiet = 0
        for _ in range(100):
            before = [len(history) for history in self.records.values()], self.sequence
            self.tick(3600)
            while self.unheard:
                self.learn(self.unheard.pop(0), 0)
            while self.unsent:
                self.send(*self.unsent.pop(0))
            for name in self.records:
                self.change(name, lambda job: control.due(job, self.now))
                self.release(name)
                self.stand_in_line(name)
                self.mend(self.job(name), patient=False)
            for key in list(self.sched):
                self.fire(key)
            for key in list(self.ready):
                self.admit(key)
            for key in list(self.run):
                self.sweep(key)
            for key in list(self.run):
                self.take(key)
            for working in list(self.working):
                self.end(working, "completed", acknowledged=True)
            moved = [len(history) for history in self.records.values()], self.sequence
            still = moved == before and not (self.ready or self.sched or self.run or self.unsent or self.unheard)
            quiet = quiet + 1 if still else 0
            if quiet == 2:
                return
        raise AssertionError("it does not come to rest")


def satisfied(job: Job, name: str) -> bool:
    state = job.steps[name].state
    return state is StepState.COMPLETED or (state is StepState.FAILED and job.plan_of(name).optional)


# what must hold


def remember(world: World, job: Job, command: RunStep) -> None:
    """The same decision twice is the same message."""
    assert world.told.setdefault((job.id, command.step, command.attempt), command) == command


def judge(before: Job | None, job: Job, world: World) -> None:
    assert Job.model_validate_json(job.model_dump_json(exclude_defaults=True)) == job
    for name in job.active:
        remember(world, job, pipeline.command(job, name))
    for name, step in job.steps.items():
        if step.state in OVER - {StepState.SKIPPED}:
            kinds = [h.news.kind for h in world.events[job.id, name] if h.news.attempt == step.attempt]
            assert kinds[-1] == step.state.lower(), "it ended as its last attempt did"
    if job.state.ended:
        judge_end(job, world)
    else:
        assert job.ended_at is None
        waits = job.state in {JobState.SCHEDULED, JobState.PENDING} and not job.active
        assert waits or job.active, "it can go on"
    if before is not None:
        judge_change(before, job)


def judge_end(job: Job, world: World) -> None:
    states = [step.state for step in job.steps.values()]
    assert job.ended_at
    assert set(states) <= OVER, "nothing of an ended job is active, or waits"
    assert (job.state is JobState.COMPLETED) == all(satisfied(job, name) for name in job.steps)
    receipt = job.receipt
    if receipt and receipt.verb in {Verb.STOP, Verb.CANCEL}:
        interrupted = {
            name: world.last((job.id, name))
            for name, step in job.steps.items()
            if step.state in {StepState.STOPPED, StepState.CANCELLED}
        }
        tokens = sum(
            heard.news.admitted for heard in interrupted.values() if heard and isinstance(heard.news, StepInterrupted)
        )
        assert receipt.ended_at == job.ended_at
        assert (set(receipt.steps), receipt.tokens_released) == (set(interrupted), tokens)
        assert set(receipt.kept) == {name for name, step in job.steps.items() if step.state is StepState.COMPLETED}


def judge_change(before: Job, job: Job) -> None:
    assert job.run in {before.run, before.run + 1}
    again = job.run > before.run
    assert not again or before.state.ended, "only an ended job begins a new run"
    if before.state.ended and not again:
        assert (job.state, job.ended_at, job.receipt) == (before.state, before.ended_at, before.receipt)
    for plan in job.plan:
        old, new = before.steps[plan.name], job.steps[plan.name]
        assert old.attempt <= new.attempt <= old.attempt + (not before.state.ending)
        assert old.after <= new.after
        assert len(new.attempts) <= ATTEMPTS_KEPT
        if old.state in OVER and not again and new.state is not old.state:
            raise AssertionError(f"{plan.name} was {old.state} and is {new.state}")
        if old.state is StepState.COMPLETED and again and new.state is not StepState.COMPLETED:
            assert job.receipt
            assert job.receipt.verb is Verb.RETRY, "resume keeps what completed"
            assert plan.name in named(before, job, RetryJob.model_validate_json(job.receipt.request))
        if new.state is StepState.READY and new.attempt > old.attempt:
            for name in plan.depends_on:
                always = plan.when is When.ALWAYS and job.steps[name].state in OVER
                assert always or satisfied(job, name)


def named(before: Job, job: Job, request: RetryJob) -> set[str]:
    """The steps that a retry runs again: said in other words than the code's."""
    if request.from_step == control.START:
        return set(job.steps)
    direct = {name for name, step in before.steps.items() if step.state is not StepState.COMPLETED}
    direct |= {request.from_step} | set(request.step_options)

    def depends(name: str) -> bool:
        return name in direct or any(depends(other) for other in job.plan_of(name).depends_on)

    return {name for name in job.steps if depends(name)}


# the machine

WHICH = st.integers(0, 50)


class Hostile(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def name(self, which: int) -> str:
        return sorted(self.world.records)[which % len(self.world.records)]

    def unfinished(self, which: int) -> str:
        """One that has not ended, as long as there is one."""
        names = [name for name in sorted(self.world.records) if not self.world.job(name).state.ended]
        return names[which % len(names)] if names else self.name(which)

    def old(self, which: int, behind: int) -> Job:
        history = self.world.records[self.name(which)]
        return history[max(0, len(history) - 1 - behind)]

    def one_of(self, items: Any, which: int) -> Any:
        things = list(items)
        return things[which % len(things)]

    # users

    @initialize(plan=st.sampled_from(sorted(PLANS)))
    def first(self, plan: str) -> None:
        self.submit(plan, 0, scheduled=False, after=False, when=When.SUCCESS)

    @rule(
        plan=st.sampled_from(sorted(PLANS)),
        repository=st.integers(0, 1),
        scheduled=st.booleans(),
        after=st.booleans(),
        when=st.sampled_from(When),
    )
    def submit(self, plan: str, repository: int, *, scheduled: bool, after: bool, when: When) -> None:
        world = self.world
        if len(world.records) >= 4:
            return
        made = pipeline.make(
            f"j{len(world.records)}",
            Repository(id=f"r{repository}", name="r", path="/r"),
            PLANS[plan],
            at=world.tick(),
            due_at=world.now + timedelta(seconds=20) if scheduled else None,
            after=tuple(sorted(world.records)[-2:]) if after else (),
            when=when,
        )
        assert world.write(made, 0)

    @rule(which=WHICH, verb=st.sampled_from([Verb.CANCEL, Verb.STOP, Verb.RESUME]))
    def ask(self, which: int, verb: Verb) -> None:
        verbs: dict[Verb, Callable[[Job], Job]] = {
            Verb.CANCEL: lambda job: control.cancel(job, self.world.now, GRACE),
            Verb.STOP: lambda job: control.stop(job, self.world.now, GRACE),
            Verb.RESUME: lambda job: control.resume(job, self.world.now),
        }
        self.asked(which, verbs[verb])

    def over(self) -> list[Job]:
        """What can be got going again."""
        jobs = [history[-1] for history in self.world.records.values()]
        return [job for job in jobs if job.state.ended and job.state is not JobState.COMPLETED]

    @precondition(lambda self: self.over())
    @rule(which=WHICH)
    def again(self, which: int) -> None:
        job, at = self.one_of(self.over(), which), self.world.tick()
        stopped = job.state is JobState.STOPPED
        self.world.change(
            job.id, lambda job: control.resume(job, at) if stopped else control.retry(job, RetryJob(), job.plan, at)
        )

    @rule(which=WHICH, step=st.sampled_from(["", "start", "a", "b", "c"]), option=st.sampled_from(["", "a", "b"]))
    def retry(self, which: int, step: str, option: str) -> None:
        job = self.world.job(self.name(which))
        known = {option: {"x": job.run}} if option in job.steps else {}
        request = RetryJob(from_step=step if step in {"", "start", *job.steps} else "", step_options=cast("Any", known))
        plan = tuple(
            p.model_copy(update={"options": p.options | known[p.name]}) if p.name in known else p for p in job.plan
        )
        self.asked(which, lambda job: control.retry(job, request, plan, self.world.now))

    @rule(which=WHICH, priority=st.sampled_from(Priority))
    def change(self, which: int, priority: Priority) -> None:
        self.asked(which, lambda job: control.prioritise(job, priority, self.world.now))

    def asked(self, which: int, how: Callable[[Job], Job]) -> None:
        """Done or refused, and the same the second time."""
        self.world.tick()
        name = self.name(which)
        try:
            job = self.world.change(name, how)
        except control.Conflict as conflict:
            note(str(conflict))
            with pytest.raises(control.Conflict):
                how(self.world.job(name))
        else:
            assert how(job) == job

    # orchestrators

    @rule(which=WHICH, waited=st.sampled_from([1, 30]))
    def go_on(self, which: int, waited: int) -> None:
        name = self.unfinished(which)
        self.world.tick(waited)
        self.world.change(name, lambda job: control.due(job, self.world.now))
        self.world.release(name)
        self.world.stand_in_line(name)

    @precondition(lambda self: self.world.unheard)
    @rule(which=WHICH, behind=st.integers(0, 4), arrives=st.booleans(), kept=st.booleans())
    def hear(self, which: int, behind: int, *, arrives: bool, kept: bool) -> None:
        """Any of what was said, not the oldest first. `kept`: it will be told again. Neither: it is lost."""
        heard = self.one_of(self.world.unheard, which)
        if arrives:
            self.world.learn(heard, behind)
        if not kept:
            self.world.unheard.remove(heard)

    @precondition(lambda self: self.world.events)
    @rule(which=WHICH, behind=st.integers(0, 4))
    def hear_of_long_ago(self, which: int, behind: int) -> None:
        told = [heard for history in self.world.events.values() for heard in history]
        heard = self.one_of(told, which)
        self.world.learn(heard, behind)

    @precondition(lambda self: self.world.unsent)
    @rule(which=WHICH, arrives=st.booleans(), kept=st.booleans())
    def send(self, which: int, *, arrives: bool, kept: bool) -> None:
        """`kept`: another sends it too. Neither arrives nor kept: the orchestrator died."""
        sent = self.one_of(self.world.unsent, which)
        if arrives:
            self.world.send(*sent)
        if not kept:
            self.world.unsent.remove(sent)

    @rule(which=WHICH, behind=st.integers(0, 6), patient=st.booleans())
    def mend(self, which: int, behind: int, *, patient: bool) -> None:
        self.world.mend(self.old(which, behind), patient=patient)

    @precondition(lambda self: self.world.sched)
    @rule(which=WHICH)
    def fire(self, which: int) -> None:
        key = self.one_of(self.world.sched, which)
        self.world.fire(key)

    @precondition(lambda self: self.world.ready)
    @rule(which=WHICH)
    def admit(self, which: int) -> None:
        key = self.one_of(self.world.ready, which)
        self.world.admit(key)

    @precondition(lambda self: self.world.run)
    @rule(which=WHICH)
    def sweep(self, which: int) -> None:
        key = self.one_of(self.world.run, which)
        self.world.sweep(key)

    @rule(which=WHICH, how=st.sampled_from(OUTCOMES), times=st.integers(1, 3))
    def go_well(self, which: int, how: str, times: int) -> None:
        """One job goes on, without any mishap: otherwise few would come far."""
        world, name = self.world, self.unfinished(which)
        for _ in range(times):
            self.go_on(which, 1)
            for job, command in [sent for sent in world.unsent if sent[0].id == name]:
                world.send(job, command)
                world.unsent.remove((job, command))
            for place, onward in ((world.sched, world.fire), (world.ready, world.admit), (world.run, world.take)):
                for key in [key for key in place if key[0] == name]:
                    onward(key)
            for working in [working for working in world.working if working.key[0] == name]:
                self.world.end(working, how, acknowledged=True)
            for heard in [heard for heard in world.unheard if heard.key[0] == name]:
                world.learn(heard, 0)
                world.unheard.remove(heard)

    # workers

    @precondition(lambda self: self.world.run)
    @rule(which=WHICH)
    def take(self, which: int) -> None:
        key = self.one_of(self.world.run, which)
        self.world.take(key)

    @precondition(lambda self: self.world.working)
    @rule(which=WHICH, how=st.sampled_from(OUTCOMES), acknowledged=st.booleans())
    def end(self, which: int, how: str, *, acknowledged: bool) -> None:
        working = self.one_of(self.world.working, which)
        self.world.end(working, how, acknowledged=acknowledged)

    @precondition(lambda self: self.world.working)
    @rule(which=WHICH)
    def crash(self, which: int) -> None:
        working = self.one_of(self.world.working, which)
        self.world.working.remove(working)

    # the end

    def teardown(self) -> None:
        if not self.world.records:
            return
        self.world.settle()
        for name, history in self.world.records.items():
            job = history[-1]
            assert job.state.ended or self.waits_for_a_stopped_one(job), (name, job)

    def waits_for_a_stopped_one(self, job: Job) -> bool:
        """Directly, or through one that waits so."""
        others = [self.world.job(name) for name in job.after]
        return not job.active and any(
            other.state is JobState.STOPPED or (not other.state.ended and self.waits_for_a_stopped_one(other))
            for other in others
        )


@pytest.mark.timeout(600)
def test_no_job_is_lost_and_none_ends_twice_whatever_happens() -> None:
    run_state_machine_as_test(  # pyright: ignore[reportUnknownVariableType] - hypothesis states no type
        Hostile,
        settings=settings(
            max_examples=150,
            stateful_step_count=80,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
