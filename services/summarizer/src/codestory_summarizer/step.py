"""The step: reads the graph, finds the order, takes what is held, and has the rest made by rules or by a model."""

from collections import Counter
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field, JsonValue

from codestory import redaction, telemetry
from codestory.graph import Label, RelationshipType
from codestory.steps import PipelineStep, StepContext, StepResult
from codestory_summarizer import keys, order, providers, reading, stored
from codestory_summarizer.extractive import Extractive
from codestory_summarizer.making import Making, Work, over_budget
from codestory_summarizer.provider import Provider
from codestory_summarizer.settings import SummarizerSettings
from codestory_summarizer.subjects import Choice, Subjects
from codestory_summarizer.texts import Texts

Kind = Literal["function", "method", "class", "file", "directory", "repository"]
_KINDS: tuple[Kind, ...] = ("function", "method", "class", "file", "directory", "repository")


class Options(BaseModel):
    """What a user may set for summarizer."""

    provider: Annotated[
        Literal["extractive", "openai", "azure"],
        Field(
            description="What makes the summaries: extractive (rules; nothing leaves the machine), openai (any "
            "endpoint that speaks OpenAI's protocol) or azure. The last two send code to the endpoint that the service "
            "is set up for."
        ),
    ] = "extractive"
    model: Annotated[
        str,
        Field(max_length=200, description="The model, or Azure deployment. Empty: the one the service is set up for."),
    ] = ""
    kinds: Annotated[
        list[Kind], Field(description="What the model summarizes. Of everything else the summaries are made by rules.")
    ] = list(_KINDS)
    parallel: Annotated[int, Field(ge=1, le=200, description="Calls to the model at once.")] = 5
    max_code_chars: Annotated[
        int, Field(ge=200, le=60_000, description="Longer code is cut before a model sees it; its summary says so.")
    ] = 24_000
    token_limit: Annotated[
        int,
        Field(
            ge=0,
            description="The most tokens that one run may take, prompts and answers. The step stops before it takes "
            "more, and keeps what was made. 0: no limit.",
        ),
    ] = 0


class SummarizerStep(PipelineStep[Options]):
    """What every symbol, file and directory does, in plain English."""

    name = "summarizer"
    owns = (Label.SUMMARY,)
    phases: ClassVar = {"reading the graph": 15, "reading files": 10, "summarizing": 40, "writing": 35}
    settings_classes = (SummarizerSettings,)

    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        provider = _provider(ctx)
        try:
            return await _Run(ctx, provider).result()
        finally:
            await provider.close()


def _provider(ctx: StepContext[Options]) -> Provider:
    if ctx.options.provider == stored.EXTRACTIVE:
        return Extractive()
    return providers.create(ctx.options.provider, ctx.options.model, SummarizerSettings(), ctx.graph.budget)


class _Run:
    """One run of the step."""

    def __init__(self, ctx: StepContext[Options], provider: Provider) -> None:
        self._ctx, self._provider = ctx, provider
        self._by_model = ctx.options.provider != stored.EXTRACTIVE
        self._redacted = Counter[str]()
        self._estimate = 0

    async def result(self) -> StepResult:
        ctx = self._ctx
        ctx.progress(0, None, "subjects", phase="reading the graph")
        structure = await reading.read(ctx.graph)
        subjects = self._subjects(structure)
        subjects.look(lambda done, total, path: ctx.progress(done, total, "files", path, phase="reading files"))
        with telemetry.part(telemetry.ORDER):
            strengths = [
                {other.at: reading.STRENGTHS[other.relation] for other in uses} for uses in structure.dependencies
            ]
            ordered = order.loosened(strengths, keys.MAX_SHARED_CYCLE)
        work = Work(
            repository=ctx.repository.id,
            structure=structure,
            subjects=subjects,
            order=ordered,
            provider=self._provider,
            provider_name=ctx.options.provider,
            redact=self._redact,
            token_limit=ctx.options.token_limit,
        )
        making = Making(work, ctx.graph, await stored.held(ctx.graph, by_model=self._by_model))
        making.copy(await stored.elsewhere(ctx.graph, making.take()))
        self._announce(making)
        where = f" by {self._provider.identity} at {self._provider.destination}" if self._by_model else ""
        await making.run(
            ctx.options.parallel,
            SummarizerSettings().llm_read_timeout,
            lambda done, total, name: ctx.progress(done, total, "summaries", f"{name}{where}", phase="summarizing"),
        )
        written = await ctx.graph.replace(
            making.nodes(),
            making.relationships(),
            progress=lambda done, total: ctx.progress(done, total, "rows", phase="writing"),
        )
        return self._told(making, subjects, written)

    def _subjects(self, structure: reading.Structure) -> Subjects:
        options, ctx = self._ctx.options, self._ctx
        identity = self._provider.identity if self._by_model else ""
        choice = Choice(identity, frozenset(options.kinds), options.max_code_chars)
        return Subjects(structure, Texts(ctx.files, self._redact), self._redact, choice)

    def _announce(self, making: Making) -> None:
        """Before the first call: what goes where, and about how much it is."""
        if not self._by_model:
            return
        calls = len({making.keys[at] for at in making.asked()})
        self._estimate = estimate = making.estimate()
        limit = self._ctx.options.token_limit
        said = (
            f"sends code of {calls:,} subjects (about {estimate:,} tokens, {making.tally.reused:,} summaries reused) "
            f"to {self._provider.destination} with {self._provider.identity}"
        )
        self._ctx.log.info(
            "summarizer.sends",
            extra={
                "subjects": calls,
                "tokens": estimate,
                "reused": making.tally.reused,
                "destination": self._provider.destination,
                "model": self._provider.identity,
            },
        )
        self._ctx.progress(0, None, "summaries", said, phase="summarizing")
        if limit and estimate > limit:
            raise over_budget(limit, f"about {estimate:,} tokens are needed for {calls:,} summaries")

    def _told(self, making: Making, subjects: Subjects, written: dict[str, int]) -> StepResult:
        tally, counts = making.tally, making.counts()
        total = len(making.ids)
        tokens = {"input": tally.usage.input, "cached": tally.usage.cached, "output": tally.usage.output}
        spent = tokens["input"] + tokens["output"]
        return StepResult(
            summary=_sentence(making, total, spent if self._by_model else None),
            counts={
                "summaries": total,
                "made": tally.made,
                "reused": tally.reused,
                "filtered": len(tally.filtered),
                "failed": len(tally.failed),
                "truncated": counts.pop("truncated"),
                **dict(sorted(counts.items())),
                **({f"tokens.{name}": count for name, count in tokens.items()} if self._by_model else {}),
                **{f"withheld.{reason}": count for reason, count in sorted(subjects.withheld.items())},
                **{f"redacted.{kind}": count for kind, count in sorted(self._redacted.items())},
            },
            skipped=[*tally.filtered, *subjects.gaps],
            failed=tally.failed,
            nodes={Label.SUMMARY: total},
            relationships={RelationshipType.SUMMARIZED_BY: total},
            written=written,
            details=self._details(spent) if self._by_model else {},
        )

    def _details(self, spent: int) -> dict[str, JsonValue]:
        return {
            "destination": self._provider.destination,
            "model": self._provider.identity,
            "tokens": {"estimated": self._estimate, "spent": spent},
        }

    def _redact(self, text: str) -> str:
        redacted = redaction.redact(text)
        if redacted:
            self._redacted.update(redacted.counts)
            telemetry.redacted(redacted.counts)
        return redacted.text


def _sentence(making: Making, total: int, spent: int | None) -> str:
    tally = making.tally
    parts = {"made": tally.made, "reused": tally.reused, "filtered": len(tally.filtered), "failed": len(tally.failed)}
    said = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)
    return f"{total:,} summaries: {said}" + (f"; {spent:,} tokens" if spent is not None else "")
